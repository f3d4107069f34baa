"""Photometric calibration: from electrons to AB magnitudes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from processing.algorithms.apertures import aperture_corrections
from processing.algorithms.pairing import mutual_pairs
from processing.algorithms.psf_model import PSFModel
from processing.algorithms.zero_point import (
    MeasuredStars,
    PhotometryParameters,
    ZeroPointFit,
    fit_zero_point,
    limiting_magnitude,
)
from processing.catalogs.base import StarCatalogSource
from processing.errors import NotEnoughStars
from processing.gates import Gate, judge
from processing.instruments.base import Instrument
from processing.instruments.clear_air import clear_zero_point
from processing.parameters import Parameters, param
from processing.providers import StarCatalog
from processing.step import Step
from products.models import PSF, Background, Badness, CoaddImage, ScienceImage, SourceList, WorldCoordinates, ZeroPoint
from products.sky import unit_vectors


class PhotoCalGates(Parameters):
    """Limits of the zero point; beyond them it is kept, with badness."""

    max_scatter: float | None = param(0.1, gt=0, unit="mag", help="Of bright stars around the fit.")
    max_error: float | None = param(0.05, gt=0, unit="mag", help="Statistical error of the zero point.")
    min_agreeing: float | None = param(
        0.6, ge=0, le=1, help="Part of the stars that match and have magnitudes which must agree with the zero point."
    )
    max_aperture_excess: float | None = param(
        0.03,
        unit="mag",
        help="By so much bright stars may be brighter within 1.5 FWHM than all of their PSF flux; more, and the model "
        "of the PSF has not all of their light.",
    )
    max_light_lost: float | None = param(
        1.5,
        unit="mag",
        help="By so much stars may be fainter than in clear air, where the zero point of that is known.",
    )
    max_light_gained: float | None = param(
        1.0, ge=0, unit="mag", help="By so much they may be brighter; more is a wrong match, or a wrong setting."
    )
    max_variation: float | None = param(
        0.1,
        gt=0,
        unit="mag",
        help="Largest minus smallest zero point over the image, where the stars ask for one that varies.",
    )


class PhotoCalParameters(Parameters):
    catalog: StarCatalogSource = param(
        "local", help="Star catalogue: 'local' is any imported one that covers the image."
    )
    catalog_margin_arcsec: float = param(90.0, ge=0, unit="arcsec", help="Look for stars so far beyond the image.")
    catalog_min_cover: float = param(0.5, ge=0, le=1, help="Part of the image that an imported catalogue must cover.")
    faintest: float = param(21.5, unit="mag", help="Faintest catalogue stars to use.")
    match_radius: float = param(1.0, gt=0, unit="arcsec", help="A source is a catalogue star within this distance.")
    min_snr: float = param(20.0, ge=0, help="Stars with a smaller S/N are not used.")
    photometry_table: str = param(
        "",
        help="Name of a table of one's own with the way from catalogue magnitudes to the filters: "
        "instruments/SYSTEM_photometry_NAME.ecsv in the data folder.",
    )
    fit: PhotometryParameters = param(PhotometryParameters(), help="How the zero point is fitted.")
    gates: PhotoCalGates = param(PhotoCalGates(), help="What makes a zero point bad.")


@dataclass(frozen=True)
class Matched:
    """Sources that are catalogue stars."""

    rows: np.ndarray  # (n,) of the source list
    stars: np.ndarray  # (n,) of the catalogue
    measured: MeasuredStars
    sources: int = 0  # that could be matched
    catalog_stars: int = 0  # that could be matched


class PhotoCal(Step):
    """Compare PSF fluxes with catalogue magnitudes and fit the zero point."""

    name = "photocal"
    version = (1, 3, 0)
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
        matched = self.matched(image, sources, world_coordinates, catalog, instrument)
        fit = self._fit(matched, sources, catalog, image.shape)
        model = PSFModel.from_planes(psf.planes, psf.model_header)
        stamp = model.stamp((image.width - 1) / 2, (image.height - 1) / 2)
        chosen = sources.table[matched.rows[fit.bright]]
        corrections = aperture_corrections(chosen["flux_aper"], chosen["flux_psf"])
        zero_point = ZeroPoint(
            world_coordinates=world_coordinates,
            zp=float(fit.zp),
            zp_error=float(fit.zp_err),
            surface=fit.surface.as_json(),
            color_term=float(fit.color_term),
            scatter=float(fit.scatter),
            n_stars=int(fit.n_stars),
            limiting_magnitude=float(limiting_magnitude(fit.zp, background.noise, stamp)),
            aperture_radii=sources.aperture_radii,
            aperture_corrections=[-float(value) for value in corrections.corrections],
            catalog=catalog.origin,
        )
        zero_point.related = {"catalog_excerpts": [row.pk for row in catalog.excerpts]}
        lost = self._light_lost(image, zero_point, instrument)
        excess = _aperture_excess(zero_point, psf)
        known = {"light_lost": lost, "aperture_excess": excess, "zp_agreeing": _agreeing(fit)}
        figures = {name: round(value, 4) for name, value in known.items() if value is not None}
        zero_point.quality = figures_of(fit) | figures
        self._warnings = judge(zero_point, self._gates(fit, lost, excess))
        return zero_point

    def warnings(self) -> list[str]:
        return self._warnings

    def matched(
        self,
        image: ScienceImage | CoaddImage,
        sources: SourceList,
        world_coordinates: WorldCoordinates,
        catalog: StarCatalog,
        instrument: Instrument,
    ) -> Matched:
        """The sources that calibrate, with the magnitudes that the catalogue gives them."""
        p, table = self.parameters, sources.table
        good = (table["flux_psf"] > p.min_snr * table["flux_psf_err"]) & (table["flux_psf_err"] > 0)
        good &= ~table["is_masked"] & ~table["is_saturated"] & (table["sep_flag"] == 0)
        mag, err, color = instrument.calibration_magnitude(catalog.table, image.filter, p.photometry_table)
        usable = np.isfinite(mag) & catalog.table["is_star"].astype(bool) & (mag < p.faintest)
        for name in ("is_variable", "is_duplicate"):
            if name in catalog.table.dtype.names:
                usable &= ~catalog.table[name]
        found, known = np.flatnonzero(good), np.flatnonzero(usable)
        rows, stars = self._match(table[found], catalog.table[known], world_coordinates)
        rows, stars = found[rows], known[stars]
        flux, flux_err, x, y = (table[name][rows].astype(float) for name in ("flux_psf", "flux_psf_err", "x", "y"))
        measured = MeasuredStars(flux, flux_err, mag[stars], err[stars], color[stars], x, y)
        return Matched(rows, stars, measured, len(found), len(known))

    def _light_lost(
        self, image: ScienceImage | CoaddImage, zero_point: ZeroPoint, instrument: Instrument
    ) -> float | None:
        """By how much stars are fainter than in clear air, mag; None where nobody knows, and of coadds."""
        if isinstance(image, CoaddImage):
            return None
        expected = image.zero_point_estimate
        if expected is None:
            clear = (image.filter, image.exposure_time, image.airmass, self.parameters.photometry_table)
            expected = clear_zero_point(instrument.photometric_system, *clear)
        return None if expected is None else float(expected - zero_point.zp)

    def _fit(self, matched: Matched, sources: SourceList, catalog: StarCatalog, shape: tuple[int, int]) -> ZeroPointFit:
        """The zero point; NotEnoughStars says how many sources and catalogue stars there were, and what to look at."""
        p = self.parameters
        try:
            return fit_zero_point(matched.measured, p.fit, shape)
        except NotEnoughStars as failure:
            purpose = (
                f"zero point; {matched.sources} of {len(sources.table)} sources are single, unmasked, unsaturated and "
                f"above S/N {p.min_snr:g}, {matched.catalog_stars} of {len(catalog.table)} catalogue stars are usable, "
                f"and {len(matched.rows)} of them are the same within {p.match_radius:g} arcsec: is the catalogue deep "
                "enough, with magnitudes near this filter, and is the image neither saturated nor too shallow?"
            )
            counts = {"sources": matched.sources, "catalog_stars": matched.catalog_stars, "matched": len(matched.rows)}
            raise NotEnoughStars(**{**failure.details, "purpose": purpose, **counts}) from failure

    def _gates(self, fit: ZeroPointFit, lost: float | None, excess: float | None) -> list[Gate]:
        p, residuals = self.parameters.gates, Badness.BIG_RESIDUALS
        gained = None if lost is None else -lost
        return [
            Gate("scatter of bright stars", fit.scatter, residuals, most=p.max_scatter, unit="mag"),
            Gate("part of the stars that agree", _agreeing(fit), Badness.MATCH_FAILED, least=p.min_agreeing),
            Gate("error of the zero point", fit.zp_err, residuals, most=p.max_error, unit="mag"),
            Gate(
                "light within 1.5 FWHM beyond the PSF flux", excess, residuals, most=p.max_aperture_excess, unit="mag"
            ),
            Gate("light lost on the way", lost, Badness.CLOUDS, most=p.max_light_lost, unit="mag"),
            Gate("light gained on the way", gained, Badness.MATCH_FAILED, most=p.max_light_gained, unit="mag"),
            Gate(
                "variation of the zero point over the image", fit.surface.range, Badness.UNEVEN_ZERO_POINT,
                most=p.max_variation, unit="mag",
            ),
        ]  # fmt: skip

    def _match(
        self, table: np.ndarray, stars: np.ndarray, world_coordinates: WorldCoordinates
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of sources and of stars that are each other's nearest within the radius."""
        if len(table) == 0:
            return np.zeros(0, int), np.zeros(0, int)
        ra, dec = world_coordinates.wcs.all_pix2world(table["x"], table["y"], 0)
        reach = np.radians(self.parameters.match_radius / 3600)
        return mutual_pairs(unit_vectors(ra, dec), unit_vectors(stars["ra"], stars["dec"]), reach)


def _agreeing(fit: ZeroPointFit) -> float:
    """Part of the stars with flux and magnitude that the fit did not leave out."""
    return float(fit.used.sum() / np.count_nonzero(np.isfinite(fit.residual)))


def _aperture_excess(zero_point: ZeroPoint, psf: PSF) -> float | None:
    """By how much bright stars are brighter in the first aperture of 1.5 FWHM or more than their PSF flux, mag.

    That flux is of the whole star, so that it is below 0. None where no aperture is between 1.5 and 2 FWHM.
    """
    for radius, correction in zip(zero_point.aperture_radii, zero_point.aperture_corrections):
        if 1.4 * psf.fwhm_pixels <= radius <= 2.1 * psf.fwhm_pixels:
            return float(correction)
    return None


def figures_of(fit: ZeroPointFit) -> dict[str, float]:
    """Figures of quality for the report; magnitudes."""
    found = {
        "zp_scatter_all": fit.scatter_all,
        "zp_intrinsic": fit.intrinsic,
        "zp_trend": fit.trend,
        "zp_order": fit.surface.order,
        "zp_variation": fit.surface.range,
        "zp_color_term_error": fit.color_term_err,
    }
    return {name: round(value, 5) for name, value in found.items()} | {"zp_bright_stars": int(fit.bright.sum())}
