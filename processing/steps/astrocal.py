"""Astrometric calibration: from pixels to the sky."""

from __future__ import annotations

import numpy as np

from processing.algorithms.wcs_fit import AstrometryParameters, PixelStars, SkyStars, solve_wcs, wcs_from_header
from processing.catalogs.base import StarCatalogSource
from processing.gates import Gate, judge
from processing.instruments.base import Instrument
from processing.parameters import Parameters, param
from processing.providers import StarCatalog
from processing.step import Step
from products.models import Badness, CoaddImage, ScienceImage, SourceList, WorldCoordinates


class AstroCalGates(Parameters):
    """Limits of the solution; beyond them it is kept, with badness."""

    max_residual: float | None = param(0.35, gt=0, unit="px", help="Residual per axis, of the stars.")
    min_matches: int | None = param(8, ge=1, help="Stars that must match.")


class AstroCalParameters(Parameters):
    catalog: StarCatalogSource = param(
        "local", help="Star catalogue: 'local' is any imported one that covers the image."
    )
    catalog_margin_arcsec: float = param(90.0, ge=0, unit="arcsec", help="Look for stars so far beyond the image.")
    catalog_min_cover: float = param(0.5, ge=0, le=1, help="Part of the image that an imported catalogue must cover.")
    faintest: float = param(21.5, unit="mag", help="Faintest catalogue stars to use.")
    min_snr: float = param(10.0, ge=0, help="Sources with a smaller S/N are not matched.")
    gates: AstroCalGates = param(AstroCalGates(), help="What makes a solution bad.")
    solution: AstrometryParameters = param(AstrometryParameters(), help="How the solution is found and fitted.")


class AstroCal(Step):
    """Match the sources of an image with catalogue stars and fit the WCS."""

    name = "astrocal"
    version = (1, 1, 0)
    parameters: AstroCalParameters

    def run(
        self, image: ScienceImage | CoaddImage, sources: SourceList, catalog: StarCatalog, instrument: Instrument
    ) -> WorldCoordinates:
        table = sources.table
        good = (table["snr"] >= self.parameters.min_snr) & ~table["is_masked"] & ~table["is_saturated"]
        good &= table["flux"] > 0
        table = table[good]
        mag, _, _ = instrument.catalog_magnitude(catalog.table, image.filter)
        bright = np.isfinite(mag) & (mag < self.parameters.faintest) & catalog.table["is_star"].astype(bool)
        stars = catalog.table[bright]
        found = solve_wcs(
            PixelStars(table["x"], table["y"], table["flux"], np.hypot(table["x_err"], table["y_err"])),
            SkyStars(stars["ra"], stars["dec"], mag[bright]),
            wcs_from_header(image.wcs_header),
            image.shape,
            self.parameters.solution,
        )
        solution = WorldCoordinates(
            sources=sources,
            header=found.header.tostring(sep="\n"),
            n_matches=found.n_matches,
            rms_ra=found.rms_ra_arcsec,
            rms_dec=found.rms_dec_arcsec,
            order=found.order,
            catalog=catalog.origin,
        )
        p = self.parameters.gates
        residual = None if image.pixel_scale is None else solution.rms / image.pixel_scale
        gates = [
            Gate("astrometric residual per axis", residual, Badness.BIG_RESIDUALS, most=p.max_residual, unit="px"),
            Gate("matched stars", solution.n_matches, Badness.MATCH_FAILED, least=p.min_matches),
        ]
        self._warnings = [*found.warnings, *judge(solution, gates)]
        return solution

    def warnings(self) -> list[str]:
        return self._warnings
