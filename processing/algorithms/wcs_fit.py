"""Astrometry: find which detections are which catalogue stars, and fit pixel → sky."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from processing.algorithms.asterisms import Vote, vote
from processing.algorithms.astrometry import AstrometricSolution, AstrometryParameters, PixelStars, SkyStars
from processing.algorithms.blind_search import blind_votes
from processing.algorithms.distortion import local_matrix, pointed_at
from processing.algorithms.sky import tangent_plane
from processing.algorithms.wcs_refinement import Refinement
from processing.errors import BadInput, NoSolution

__all__ = [
    "AstrometricSolution", "AstrometryParameters", "PixelStars", "SkyStars",
    "footprint", "pixel_scale_arcsec", "solve_wcs", "wcs_from_header",
]  # fmt: skip
_DEGREES = ("degree", "degrees")  # spellings that wcslib refuses
_BIN = 8.0  # px, of the histogram of the vote: smaller ones split distorted fields


def wcs_from_header(header: fits.Header) -> WCS:
    """A celestial WCS (TAN, SIP or TPV); BadInput where it is missing, not finite or singular."""
    what = "the WCS of the header"
    for key, value in header.items():
        stem = key.rstrip("0123456789_")
        if stem in ("CRVAL", "CRPIX", "CD", "PC", "CDELT", "PV") and not _is_number(value):
            raise BadInput(what=what, reason=f"{key} is not a finite number")
    if odd := [key for key in ("CUNIT1", "CUNIT2") if str(header.get(key, "")).strip().lower() in _DEGREES]:
        header = header.copy()
        header.update(dict.fromkeys(odd, "deg"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)  # old spellings that wcslib understands
            wcs = WCS(header, naxis=2)
        matrix = wcs.pixel_scale_matrix
    except Exception as error:  # wcslib raises many kinds of its own
        raise BadInput(what=what, reason=" ".join(str(error).split())[:200]) from error
    if not wcs.has_celestial:
        raise BadInput(
            what=what, reason="it has no celestial coordinates (CTYPE1, CTYPE2, CRVAL1, CRVAL2, CD or CDELT)"
        )
    scale = np.sqrt(abs(np.linalg.det(matrix))) * 3600
    if not 1e-3 < scale < 300:
        raise BadInput(what=what, reason=f"a pixel would be {scale:.3g} arcsec wide")
    return wcs


def _is_number(value: object) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False


def pixel_scale_arcsec(wcs: WCS, shape: tuple[int, int]) -> float:
    """Square root of the area of the middle pixel, arcsec."""
    x, y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    ra, dec = wcs.all_pix2world([x, x + 1, x], [y, y, y + 1], 0)
    xi, eta = tangent_plane(ra, dec, ra[0], dec[0])
    return float(np.sqrt(abs(xi[1] * eta[2] - xi[2] * eta[1])))


def footprint(wcs: WCS, shape: tuple[int, int]) -> np.ndarray:
    """The four outer corners around an image (ny, nx): (4, 2) ra, dec in degrees."""
    ny, nx = shape
    edge = np.array([[-0.5, -0.5], [nx - 0.5, -0.5], [nx - 0.5, ny - 0.5], [-0.5, ny - 0.5]])
    return wcs.all_pix2world(edge, 0)


def solve_wcs(
    stars: PixelStars,
    catalog: SkyStars,
    guess: WCS,
    shape: tuple[int, int],
    parameters: AstrometryParameters,
    *,
    flips: Sequence[str] = (),
    zenith: np.ndarray | None = None,
) -> AstrometricSolution:
    """Match detections with catalogue stars near `guess` and fit pixel → sky; NoSolution where that fails.

    `flips` are those (of `asterisms.FLIPS`) that `guess` may have wrong. Where `zenith` is given, (2,) tan z along ξ
    and η, differential chromatic refraction is fitted too. Positions that are not finite are left out, as are stars of
    the catalogue of which the error is not.
    """
    p = parameters
    stars, catalog = _finite(stars), _finite(catalog)
    if len(stars.x) < p.min_matches or len(catalog.ra) < p.min_matches:
        reason = f"{len(stars.x)} detections and {len(catalog.ra)} catalogue stars, {p.min_matches} of each needed"
        reason += "; the image may be too small or too shallow, or the catalogue of another place"
        raise NoSolution(reason=reason, detections=len(stars.x), catalog_stars=len(catalog.ra))
    search = _Search(stars, catalog, guess, shape, p)
    try:
        found = search.vote(("", *flips))
        return search.refinement(found).run(found, zenith)
    except NoSolution as failure:
        if not p.is_blind_allowed:
            raise
        for candidate in blind_votes(stars, catalog, guess, shape):
            try:
                return search.refinement(candidate).run(candidate, zenith, is_blind=True)
            except NoSolution:
                continue
        reason = f"{failure.details['reason']}; no pattern of stars is found elsewhere in the catalogue either"
        raise NoSolution(**{**failure.details, "reason": reason}) from failure


def _finite(stars: PixelStars | SkyStars) -> PixelStars | SkyStars:
    """The stars with positions, and those of a catalogue with errors where it has errors."""
    first, second = (stars.x, stars.y) if isinstance(stars, PixelStars) else (stars.ra, stars.dec)
    good = np.isfinite(first) & np.isfinite(second)
    if isinstance(stars, SkyStars) and stars.error is not None:
        good &= np.isfinite(stars.error)
    if good.all():
        return stars
    return replace(stars, **{name: values[good] for name, values in vars(stars).items() if values is not None})


class _Search:
    """Where the catalogue stars are near an image, and the vote."""

    def __init__(
        self, stars: PixelStars, catalog: SkyStars, guess: WCS, shape: tuple[int, int], p: AstrometryParameters
    ) -> None:
        self.stars, self.catalog, self.guess, self.shape, self.p = stars, catalog, guess, shape, p
        self.centre = (np.array(shape[::-1]) - 1) / 2

    def vote(self, flips: Sequence[str]) -> Vote:
        p, (ny, nx) = self.p, self.shape
        margin = p.pointing_error / pixel_scale_arcsec(self.guess, self.shape)
        rows = self._near(self.guess, margin)
        if len(rows) < p.min_matches:
            reason = f"{len(rows)} catalogue stars are near the image, {p.min_matches} needed"
            reason += "; does the header point elsewhere than the catalogue?"
            raise NoSolution(reason=reason, detections=len(self.stars.x), catalog_stars=len(rows))
        best = rows[np.argsort(self.catalog.mag[rows], kind="stable")[: p.brightest_stars]]
        predicted = self.guess.all_world2pix(np.c_[self.catalog.ra[best], self.catalog.dec[best]], 0, quiet=True)
        predicted = predicted[np.isfinite(predicted).all(axis=1)]
        top = np.argsort(-self.stars.flux, kind="stable")[: p.brightest_sources]
        step = 1.5 * _BIN / np.hypot(nx, ny)  # radians, and relative: what moves a corner by less than a bin
        return vote(
            np.c_[self.stars.x, self.stars.y][top], predicted, self.centre, reach=1.2 * margin + 2 * _BIN,
            rotations=_around(0, p.rotation_range, max(np.degrees(step), 0.02)),
            scales=_around(1, p.scale_range, step), bin_size=_BIN, flips=flips,
        )  # fmt: skip

    def refinement(self, found: Vote) -> Refinement:
        """The fit that starts from a vote, with the header pointed to where the vote says."""
        ra, dec = self.guess.all_pix2world(found.undo(self.centre[None], self.centre), 0)[0]
        guess = pointed_at(self.guess, self.centre, ra, dec)
        rows = self._near(guess, 0.02 * max(self.shape) + 30)
        return Refinement(self.stars, self.catalog, rows, guess, self.shape, self.p)

    def _near(self, guess: WCS, margin: float) -> np.ndarray:
        """Rows of the catalogue within `margin` px of the image, and a twentieth of it for distortion and rotation."""
        sky, matrix = local_matrix(guess, *self.centre)
        plane = np.c_[tangent_plane(self.catalog.ra, self.catalog.dec, *sky)]
        half = np.array(self.shape[::-1]) / 2 + margin + 0.05 * max(self.shape)
        with np.errstate(invalid="ignore"):
            return np.flatnonzero(np.all(np.abs(plane @ np.linalg.inv(matrix).T) < half, axis=1))


def _around(middle: float, reach: float, step: float) -> np.ndarray:
    """Values within `reach` of `middle`, the nearest first."""
    count = int(np.ceil(reach / step))
    values = np.arange(-count, count + 1) * step
    return middle + values[np.argsort(np.abs(values), kind="stable")]
