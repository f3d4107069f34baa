"""Photometric calibration: from electrons to AB magnitudes."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from processing.algorithms.apertures import aperture_corrections
from processing.algorithms.psf_model import PSFModel
from processing.algorithms.zero_point import PhotometryParameters, fit_zero_point, limiting_magnitude
from processing.catalogs.base import StarCatalogSource
from processing.instruments.base import Instrument
from processing.parameters import Parameters, param
from processing.providers import StarCatalog
from processing.step import Step
from products.models import PSF, Background, CoaddImage, ScienceImage, SourceList, WorldCoordinates, ZeroPoint
from products.sky import unit_vectors


class PhotoCalParameters(Parameters):
    catalog: StarCatalogSource = param(
        "local", help="Star catalogue: 'local' is any imported one that covers the image."
    )
    catalog_margin_arcsec: float = param(90.0, ge=0, unit="arcsec", help="Look for stars so far beyond the image.")
    catalog_min_cover: float = param(0.5, ge=0, le=1, help="Part of the image that an imported catalogue must cover.")
    faintest: float = param(21.5, unit="mag", help="Faintest catalogue stars to use.")
    match_radius: float = param(1.0, gt=0, unit="arcsec", help="A source is a catalogue star within this distance.")
    min_snr: float = param(20.0, ge=0, help="Stars with a smaller S/N are not used.")
    fit: PhotometryParameters = param(PhotometryParameters(), help="How the zero point is fitted.")


class PhotoCal(Step):
    """Compare PSF fluxes with catalogue magnitudes and fit the zero point."""

    name = "photocal"
    version = (1, 1, 0)
    parameters: PhotoCalParameters

    def run(
        self,
        image: ScienceImage | CoaddImage,
        sources: SourceList,
        psf: PSF,
        background: Background,
        world_coordinates: WorldCoordinates,
        catalog: StarCatalog,
        instrument: Instrument,
    ) -> ZeroPoint:
        p, table = self.parameters, sources.table
        good = (table["flux_psf"] > p.min_snr * table["flux_psf_err"]) & (table["flux_psf_err"] > 0)
        good &= ~table["is_masked"] & ~table["is_saturated"] & (table["sep_flag"] == 0)
        table = table[good]
        mag, err, color = instrument.catalog_magnitude(catalog.table, image.filter)
        usable = np.isfinite(mag) & catalog.table["is_star"].astype(bool) & (mag < p.faintest)
        rows, stars = self._match(table, catalog.table[usable], world_coordinates)
        fit = fit_zero_point(
            table["flux_psf"][rows],
            table["flux_psf_err"][rows],
            mag[usable][stars],
            err[usable][stars],
            color[usable][stars],
            p.fit,
        )
        model = PSFModel.from_planes(psf.planes, psf.model_header)
        stamp = model.stamp((image.width - 1) / 2, (image.height - 1) / 2)
        corrections = aperture_corrections(table["flux_aper"][rows][fit.used], table["flux_psf"][rows][fit.used])
        zero_point = ZeroPoint(
            world_coordinates=world_coordinates,
            zp=float(fit.zp),
            zp_error=float(fit.zp_err),
            color_term=float(fit.color_term),
            scatter=float(fit.scatter),
            n_stars=int(fit.n_stars),
            limiting_magnitude=float(limiting_magnitude(fit.zp, background.noise, stamp)),
            aperture_radii=sources.aperture_radii,
            aperture_corrections=[-float(value) for value in corrections.corrections],
            catalog=catalog.origin,
        )
        zero_point.related = {"catalog_excerpts": [row.pk for row in catalog.excerpts]}
        return zero_point

    def _match(
        self, table: np.ndarray, stars: np.ndarray, world_coordinates: WorldCoordinates
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of sources and of stars that are each other's nearest within the radius."""
        if len(table) == 0 or len(stars) == 0:
            return np.zeros(0, int), np.zeros(0, int)
        ra, dec = world_coordinates.wcs.all_pix2world(table["x"], table["y"], 0)
        here, there = unit_vectors(ra, dec), unit_vectors(stars["ra"], stars["dec"])
        reach = np.radians(self.parameters.match_radius / 3600)
        distance, nearest = cKDTree(there).query(here, distance_upper_bound=reach)
        _, back = cKDTree(here).query(there)
        rows = np.flatnonzero(np.isfinite(distance))
        rows = rows[back[nearest[rows]] == rows]
        return rows, nearest[rows]
