"""Astrometric calibration: from pixels to the sky."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from processing.algorithms.horizon import towards_zenith
from processing.algorithms.wcs_fit import (
    AstrometricSolution,
    AstrometryParameters,
    PixelStars,
    SkyStars,
    pixel_scale_arcsec,
    solve_wcs,
    wcs_from_header,
)
from processing.catalogs.base import StarCatalogSource
from processing.errors import NoSolution
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
    max_error: float | None = param(
        0.5, gt=0, unit="px", help="Error of the WCS anywhere on the image if one of the stars is a wrong match."
    )


class AstroCalParameters(Parameters):
    catalog: StarCatalogSource = param(
        "local", help="Star catalogue: 'local' is any imported one that covers the image."
    )
    catalog_margin_arcsec: float = param(90.0, ge=0, unit="arcsec", help="Look for stars so far beyond the image.")
    catalog_min_cover: float = param(0.5, ge=0, le=1, help="Part of the image that an imported catalogue must cover.")
    faintest: float = param(21.5, unit="mag", help="Faintest catalogue stars to use.")
    max_ruwe: float = param(1.4, gt=0, help="Stars whose astrometry fits worse (RUWE of Gaia) are not used.")
    min_snr: float = param(10.0, ge=0, help="Sources with a smaller S/N are not matched.")
    refraction_airmass: float = param(
        1.3, ge=1, help="From this airmass on, refraction by colour is fitted where colours and the site are known."
    )
    gates: AstroCalGates = param(AstroCalGates(), help="What makes a solution bad.")
    solution: AstrometryParameters = param(AstrometryParameters(), help="How the solution is found and fitted.")


class AstroCal(Step):
    """Match the sources of an image with catalogue stars and fit the WCS."""

    name = "astrocal"
    version = (1, 2, 0)
    parameters: AstroCalParameters

    def run(
        self, image: ScienceImage | CoaddImage, sources: SourceList, catalog: StarCatalog, instrument: Instrument
    ) -> WorldCoordinates:
        detections = self._detections(sources.table)
        stars = self._stars(catalog.table, instrument, image.filter)
        guess = wcs_from_header(image.wcs_header)
        found = solve_wcs(
            detections, stars, guess, image.shape, self.parameters.solution, flips=instrument.flips,
            zenith=self._zenith(image, instrument),
        )  # fmt: skip
        solution = WorldCoordinates(
            sources=sources,
            header=_cards(found).tostring(sep="\n"),
            n_matches=found.n_matches,
            rms_ra=found.rms_ra_arcsec,
            rms_dec=found.rms_dec_arcsec,
            order=found.order,
            catalog=catalog.origin,
            quality={
                "wcs_error_arcsec": round(found.error_arcsec, 5),
                "wcs_largest_error_arcsec": round(found.largest_error_arcsec, 5),
                "wcs_chance_matches": round(found.chance, 2),
            },
        )
        solution.related = {"catalog_excerpts": [row.pk for row in catalog.excerpts]}
        p = self.parameters.gates
        scale = image.pixel_scale or np.nan
        residual, error = solution.rms / scale, found.largest_error_arcsec / scale
        gates = [
            Gate("astrometric residual per axis", residual, Badness.BIG_RESIDUALS, most=p.max_residual, unit="px"),
            Gate("matched stars", solution.n_matches, Badness.MATCH_FAILED, least=p.min_matches),
            Gate("error of the WCS if one star is wrong", error, Badness.MATCH_FAILED, most=p.max_error, unit="px"),
        ]
        self._warnings = [*found.warnings, *self._said_of_scale(found, guess, image.shape), *judge(solution, gates)]
        return solution

    def _detections(self, table: np.ndarray) -> PixelStars:
        """Sources that can be trusted; NoSolution says what was wrong with them where too few are left."""
        usable = {
            "fainter than S/N " + f"{self.parameters.min_snr:g}": ~(table["snr"] >= self.parameters.min_snr),
            "saturated": table["is_saturated"],
            "masked": table["is_masked"],
        }
        good = (table["flux"] > 0) & ~np.any(list(usable.values()), axis=0)
        if (needed := self.parameters.solution.min_matches) > good.sum():
            why = ", ".join(f"{int(bad.sum())} {said}" for said, bad in usable.items())
            reason = (
                f"{int(good.sum())} detections of {len(table)} are usable, {needed} needed ({why}); does the image "
                "show the sky, in focus and exposed long enough, and are its saturation level and its masks right?"
            )
            raise NoSolution(reason=reason, detections=int(good.sum()), sources=len(table))
        table = table[good]
        error = np.hypot(table["x_err"], table["y_err"]) / np.sqrt(2)
        return PixelStars(table["x"], table["y"], table["flux"], error.astype(float))

    def _stars(self, table: np.ndarray, instrument: Instrument, band: str) -> SkyStars:
        """Catalogue stars with good positions; those of doubtful or double stars only spoil a fit.

        NoSolution where too few are left.
        """
        mag, _, color = instrument.catalog_magnitude(table, band)
        good = np.isfinite(mag) & (mag < self.parameters.faintest) & table["is_star"].astype(bool)
        names = table.dtype.names
        if "ruwe" in names:
            good &= ~(table["ruwe"] > self.parameters.max_ruwe)
        if "is_duplicate" in names:
            good &= ~table["is_duplicate"]
        if (needed := self.parameters.solution.min_matches) > good.sum():
            reason = (
                f"{int(good.sum())} catalogue stars of {len(table)} near the image are usable, {needed} needed "
                f"(single, and brighter than {self.parameters.faintest:g} mag in {band}); does the catalogue cover "
                "this place, to that depth, and does the header point where the image is?"
            )
            raise NoSolution(reason=reason, catalog_stars=int(good.sum()), catalog=len(table))
        table = table[good]
        error = table["position_error"].astype(float) / 1000 if "position_error" in names else None
        if error is not None and not np.isfinite(error).any():
            error = None  # the column is there, and nothing in it
        return SkyStars(table["ra"], table["dec"], mag[good], error, color[good])

    def _said_of_scale(self, found: AstrometricSolution, guess: WCS, shape: tuple[int, int]) -> list[str]:
        """A warning where the pixel scale of the header is off by more than one may expect."""
        solved, told = (pixel_scale_arcsec(wcs, shape) for wcs in (found.wcs, guess))
        off = told / solved - 1
        if abs(off) <= self.parameters.solution.scale_range:
            return []
        return [f"the pixel scale of the header, {told:.4g} arcsec, is off by {off:+.1%}: the stars say {solved:.4g}"]

    def _zenith(self, image: ScienceImage | CoaddImage, instrument: Instrument) -> np.ndarray | None:
        """tan z towards the zenith where refraction by colour matters; a coadd has no one direction."""
        if instrument.site is None or not isinstance(image, ScienceImage):
            return None
        found = towards_zenith(image.ra, image.dec, image.mjd_middle, instrument.site)
        secant = np.sqrt(1 + found @ found)
        return found if secant >= self.parameters.refraction_airmass else None

    def warnings(self) -> list[str]:
        return self._warnings


def _cards(found: AstrometricSolution) -> fits.Header:
    """The header of a solution with the figures that tell how far it can be trusted."""
    header = found.header.copy()
    header["ASTKIND"] = (found.kind, "polynomial, radial or kept (header)")
    header["ASTERR"] = (round(found.error_arcsec, 6), "formal error per axis [arcsec]")
    header["ASTMAXER"] = (round(found.largest_error_arcsec, 6), "largest if one star is wrong [arcsec]")
    header["ASTCHNCE"] = (round(found.chance, 3), "matches expected by chance")
    if found.refraction is not None:
        header["ASTDCR"] = (round(found.refraction, 6), "to zenith, per mag and tan z [arcsec]")
        header["ASTDCRER"] = (round(found.refraction_error, 6), "its error [arcsec]")
    return header
