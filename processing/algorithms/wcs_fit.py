"""Astrometry: match detections with catalogue stars and fit a TAN-SIP solution."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning
from scipy.spatial import cKDTree

from processing.algorithms.asterisms import Vote, vote
from processing.algorithms.sip import SipModel, fit_sip, terms
from processing.algorithms.sky import tangent_plane
from processing.algorithms.statistics import mad_std
from processing.errors import BadInput, NoSolution
from processing.parameters import Parameters, param


class AstrometryParameters(Parameters):
    """How a solution is found, fitted and trusted."""

    max_order: int = param(3, ge=1, le=3, help="Highest order of the polynomial.")
    min_matches: int = param(6, ge=4, help="Fewer matched stars are no solution.")
    pointing_error: float = param(60.0, gt=0, unit="arcsec", help="How far off the header's position may be.")
    rotation_range: float = param(1.0, ge=0, unit="deg", help="How far off the header's rotation may be.")
    scale_range: float = param(0.02, ge=0, le=0.1, help="How far off the header's pixel scale may be, relative.")
    brightest_sources: int = param(150, ge=10, help="Detections that vote.")
    brightest_stars: int = param(300, ge=10, help="Catalogue stars that vote.")
    min_significance: float = param(6.0, gt=0, unit="sigma", help="Weaker votes are not trusted.")
    clip: float = param(3.3, gt=1, unit="sigma", help="Matches further from the fit are left out.")
    max_residual: float = param(0.5, gt=0, unit="px", help="A solution with a larger residual per axis is refused.")
    position_floor: float = param(0.02, gt=0, unit="px", help="Error that is added to that of every position.")


@dataclass(frozen=True)
class PixelStars:
    """Detections; arrays (n,)."""

    x: np.ndarray  # px from 0
    y: np.ndarray  # px from 0
    flux: np.ndarray  # electrons
    error: np.ndarray  # px, of the position


@dataclass(frozen=True)
class SkyStars:
    """Catalogue stars at the epoch of the image; arrays (n,)."""

    ra: np.ndarray  # degrees
    dec: np.ndarray  # degrees
    mag: np.ndarray


@dataclass(frozen=True)
class AstrometricSolution:
    """A fitted WCS and how good it is."""

    header: fits.Header  # TAN, or TAN-SIP with its inverse
    n_matches: int
    n_catalog: int
    rms_ra_arcsec: float  # robust leave-one-out residual along ra
    rms_dec_arcsec: float
    order: int
    detected: np.ndarray  # (n_matches,) rows of the detections
    matched: np.ndarray  # (n_matches,) rows of the catalogue stars
    warnings: tuple[str, ...]

    @property
    def rms_arcsec(self) -> float:
        """Residual per axis."""
        return float(np.hypot(self.rms_ra_arcsec, self.rms_dec_arcsec) / np.sqrt(2))

    @property
    def wcs(self) -> WCS:
        """The solution as astropy's WCS."""
        return WCS(self.header)


def wcs_from_header(header: fits.Header) -> WCS:
    """A celestial WCS (TAN, SIP or TPV); BadInput where it is missing, not finite or singular."""
    what = "the WCS of the header"
    for key, value in header.items():
        stem = key.rstrip("0123456789_")
        if stem in ("CRVAL", "CRPIX", "CD", "PC", "CDELT", "PV") and not _is_number(value):
            raise BadInput(what=what, reason=f"{key} is not a finite number")
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
    stars: PixelStars, catalog: SkyStars, guess: WCS, shape: tuple[int, int], parameters: AstrometryParameters
) -> AstrometricSolution:
    """Match detections with catalogue stars near `guess` and fit pixel → sky; NoSolution where that fails."""
    p = parameters
    if len(stars.x) < p.min_matches or len(catalog.ra) < p.min_matches:
        reason = f"{len(stars.x)} detections and {len(catalog.ra)} catalogue stars, {p.min_matches} of each needed"
        reason += "; the image may be too small or too shallow, or the catalogue of another place"
        raise NoSolution(reason=reason)
    scale = pixel_scale_arcsec(guess, shape)
    predicted, rows = _predicted(catalog, guess, shape, p.pointing_error / scale)
    if len(rows) < p.min_matches:
        raise NoSolution(reason=f"{len(rows)} catalogue stars are near the image, {p.min_matches} needed")
    top = np.argsort(-stars.flux, kind="stable")[: p.brightest_sources]
    best = np.argsort(catalog.mag[rows], kind="stable")[: p.brightest_stars]
    found = _vote(np.c_[stars.x, stars.y][top], predicted[best], shape, p, scale)
    return _Refinement(stars, catalog, rows, guess, shape, p).run(found, scale)


def _predicted(catalog: SkyStars, guess: WCS, shape: tuple[int, int], margin: float) -> tuple[np.ndarray, np.ndarray]:
    ny, nx = shape
    centre = guess.all_pix2world([[(nx - 1) / 2, (ny - 1) / 2]], 0)[0]
    xi, _ = tangent_plane(catalog.ra, catalog.dec, *centre)
    rows = np.flatnonzero(np.isfinite(xi))
    linear = guess.wcs_world2pix(np.c_[catalog.ra[rows], catalog.dec[rows]], 0)
    pad = margin + 0.1 * max(shape)
    near = np.all((linear > -pad) & (linear < np.array([nx, ny]) + pad), axis=1)
    rows = rows[near]
    if len(rows) == 0:
        return np.zeros((0, 2)), rows
    xy = guess.all_world2pix(np.c_[catalog.ra[rows], catalog.dec[rows]], 0, quiet=True)
    inside = np.all((xy > -margin) & (xy < np.array([nx, ny]) + margin), axis=1)
    return xy[inside], rows[inside]


def _vote(
    detected: np.ndarray, predicted: np.ndarray, shape: tuple[int, int], p: AstrometryParameters, scale: float
) -> Vote:
    ny, nx = shape
    centre = np.array([(nx - 1) / 2, (ny - 1) / 2])
    reach = p.pointing_error / scale * 1.2 + 16
    bin_size = 8.0
    step = max(np.degrees(bin_size / np.hypot(nx, ny)) * 1.5, 0.02)
    count = int(np.ceil(p.rotation_range / step))
    rotations = np.arange(-count, count + 1) * step
    grid = {"reach": reach, "rotations": rotations[np.argsort(np.abs(rotations), kind="stable")], "bin_size": bin_size}
    found = vote(detected, predicted, centre, scales=np.ones(1), **grid)
    if found.significance < 2 * p.min_significance and p.scale_range > 0:
        width = 1.5 * bin_size / np.hypot(nx, ny)
        n = int(np.ceil(p.scale_range / width))
        scales = 1 + np.arange(-n, n + 1) * width
        again = vote(detected, predicted, centre, scales=scales, **grid)
        found = again if again.significance > found.significance else found
    return found


class _Refinement:
    """Match and fit in turn, with radii that follow the residuals and orders that follow the number of matches."""

    def __init__(
        self,
        stars: PixelStars,
        catalog: SkyStars,
        rows: np.ndarray,
        guess: WCS,
        shape: tuple[int, int],
        p: AstrometryParameters,
    ) -> None:
        self.stars, self.catalog, self.rows, self.guess, self.shape, self.p = stars, catalog, rows, guess, shape, p
        self.xy = np.c_[stars.x, stars.y]
        ny, nx = shape
        self.centre = np.array([(nx - 1) / 2, (ny - 1) / 2])

    def run(self, found: Vote, scale: float) -> AstrometricSolution:
        crval = self.guess.all_pix2world([self.centre], 0)[0]
        back = Vote(-found.rotation, 1 / found.scale, (0.0, 0.0), 0.0, 0)
        unvoted = back.apply(self.xy - np.array(found.shift), self.centre)
        ra, dec = self.guess.all_pix2world(unvoted, 0).T
        model: SipModel | None = None
        radius = self._first_radius()
        for iteration in range(12):
            here = np.c_[tangent_plane(ra, dec, *crval)] if model is None else model.plane(self.xy)
            crval = crval if model is None else model.crval
            there = np.c_[tangent_plane(self.catalog.ra[self.rows], self.catalog.dec[self.rows], *crval)]
            detected, matched = _pairs(here, there, radius * scale)
            order = self._order(len(detected), iteration)
            if len(detected) < self.p.min_matches:
                raise self._refused(f"{len(detected)} stars match, {self.p.min_matches} needed", found)
            model, used = self._fit(detected, matched, crval, order)
            free = used.sum() - len(terms(order))
            spread = max(mad_std(model.residuals[used].ravel()) / scale, 0.02) * np.sqrt(used.sum() / max(free, 1))
            radius = float(np.clip(5 * spread, 1.5, self._first_radius()))
        return self._judged(model, detected[used], matched[used], found, radius, scale)

    def _first_radius(self) -> float:
        ny, nx = self.shape
        return float(np.clip(np.sqrt(0.15 * nx * ny / (np.pi * len(self.xy))), 6.0, 30.0))

    def _order(self, n: int, iteration: int) -> int:
        wanted = (1, 1, 2, 2, 3)[min(iteration, 4)]
        allowed = 3 if n >= 40 else 2 if n >= 12 else 1
        return min(wanted, allowed, self.p.max_order)

    def _fit(
        self, detected: np.ndarray, matched: np.ndarray, crval: np.ndarray, order: int
    ) -> tuple[SipModel, np.ndarray]:
        rows = self.rows[matched]
        ra, dec = self.catalog.ra[rows], self.catalog.dec[rows]
        weight = 1 / np.hypot(self.p.position_floor, self.stars.error[detected])
        used = np.ones(len(detected), bool)
        for _ in range(4):
            model = fit_sip(self.xy[detected], ra, dec, weight * used, centre=self.centre, crval=crval, order=order)
            sigma = np.maximum(mad_std(model.residuals[used].ravel()), 1e-6)
            size = np.hypot(*model.residuals.T)
            keep = size < self.p.clip * np.sqrt(2) * sigma
            if keep.sum() < len(terms(order)) + 3 or np.array_equal(keep, used):
                break
            used = keep
        return model, used

    def _judged(
        self, model: SipModel, detected: np.ndarray, matched: np.ndarray, found: Vote, radius: float, scale: float
    ) -> AstrometricSolution:
        rows = self.rows[matched]
        ra, dec = self.catalog.ra[rows], self.catalog.dec[rows]
        weight = 1 / np.hypot(self.p.position_floor, self.stars.error[detected])
        order = self._order(len(detected), 11)
        final = fit_sip(self.xy[detected], ra, dec, weight, centre=self.centre, crval=model.crval, order=order)
        rms_ra, rms_dec = (mad_std(final.left_out[:, axis]) for axis in (0, 1))
        n, ny, nx = len(detected), *self.shape
        chance = len(self.xy) * len(self.rows) * np.pi * radius**2 / (nx * ny)
        if n < self.p.min_matches:
            raise self._refused(f"{n} stars match, {self.p.min_matches} needed", found)
        if n < chance + 4 * np.sqrt(chance) + 3:
            raise self._refused(f"{n} stars match, {chance:.0f} would by chance", found)
        if found.significance < self.p.min_significance and n < 0.3 * min(len(self.xy), len(self.rows)):
            raise self._refused(f"{n} stars match, and no shift stands out", found)
        residual = np.hypot(rms_ra, rms_dec) / np.sqrt(2) / scale
        if residual > self.p.max_residual:
            raise self._refused(f"the stars scatter by {residual:.2f} px, {self.p.max_residual} px is allowed", found)
        warnings = ("few matches for the order of the polynomial",) if order > 1 and n < 15 else ()
        return AstrometricSolution(
            header=final.header(self.shape),
            n_matches=n,
            n_catalog=len(self.rows),
            rms_ra_arcsec=float(rms_ra),
            rms_dec_arcsec=float(rms_dec),
            order=order,
            detected=detected,
            matched=rows,
            warnings=warnings,
        )

    def _refused(self, reason: str, found: Vote) -> NoSolution:
        return NoSolution(
            reason=f"{reason} (vote {found.significance:.1f} sigma); is the position in the header right "
            f"within {self.p.pointing_error:g} arcsec (astrocal.solution.pointing_error), "
            "and the catalogue deep enough?",
            detections=len(self.xy),
            catalog_stars=len(self.rows),
        )


def _pairs(here: np.ndarray, there: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both that are each other's nearest within `radius`."""
    distance, nearest = cKDTree(there).query(here, distance_upper_bound=radius)
    rows = np.flatnonzero(np.isfinite(distance))
    if len(rows) == 0:
        return rows, rows
    _, back = cKDTree(here).query(there)
    rows = rows[back[nearest[rows]] == rows]
    return rows, nearest[rows]
