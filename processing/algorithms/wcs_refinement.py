"""From a vote to a solution: match and fit in turn, choose the polynomial, and refuse what cannot be trusted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from processing.algorithms.asterisms import Vote
from processing.algorithms.astrometry import AstrometricSolution, AstrometryParameters, PixelStars, SkyStars
from processing.algorithms.distortion import fit_kept, has_distortion, local_matrix
from processing.algorithms.pairing import mutual_pairs
from processing.algorithms.polynomials import LADDER, Basis, Fit, best_of, fit, fit_all
from processing.algorithms.sip import fit_sip, unit_of
from processing.algorithms.sky import tangent_plane
from processing.algorithms.statistics import mad_std
from processing.errors import NoSolution

_ITERATIONS = 12
_RISING = (1, 1, 2, 2, 3)  # orders of the first iterations
_BRIGHTEST = 1000  # detections that are matched until the fit stands
_CLIP = 5.0  # σ of the residuals within which a star may be matched
_LEAST_RADIUS, _LARGEST_RADIUS = 1.5, 30.0  # px
_LEAST_COLOR_SPREAD = 0.05  # mag: stars of one colour tell nothing of refraction
# Matches beyond those that chance and the parameters make: of lists without anything in common, of 8 to 600 stars, one
# in thousands comes near. A blind search tries more places than a vote.
_BEYOND_PARAMETERS, _AT_LEAST, _BLIND, _SURE = 2.3, 7.5, 4.0, 8.0
_LEAST_COVER = 0.33  # part of columns and of rows between the outermost matches: beyond, distortion is anybody's guess
_LARGEST_ERROR = 1.0  # px, formal, anywhere on the image
_MANY = 100  # matches from which no star alone decides a polynomial
_FEW = 15  # matches of which a polynomial is said to be little redundant


class _Chosen(NamedTuple):
    header: fits.Header
    fitted: Fit
    order: int
    kind: str


class Refinement:
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
        self.centre = (np.array(shape[::-1]) - 1) / 2
        self.crval, self.matrix = local_matrix(guess, *self.centre)
        self.scale = float(np.sqrt(abs(np.linalg.det(self.matrix))))
        self.there = np.c_[tangent_plane(catalog.ra[rows], catalog.dec[rows], *self.crval)]

    def run(self, found: Vote, zenith: np.ndarray | None = None, *, is_blind: bool = False) -> AstrometricSolution:
        """The solution that starts from a vote, of which the shift is in the guess already. NoSolution says why not."""
        if len(self.rows) < self.p.min_matches:
            raise self._refused(
                f"{len(self.rows)} catalogue stars are where the vote points, {self.p.min_matches} needed", found
            )
        here = self._start(found)
        top, best = self._bright()
        unit = float(np.hypot(*(here - here.mean(axis=0)).T).max())
        uv = here / unit  # what the header knows of distortion is in it
        radius, now, pairs = self._first_radius(len(top)), here, None
        for iteration in range(_ITERATIONS):
            detected, matched, last = *mutual_pairs(now[top], self.there[best], radius * self.scale), pairs
            detected, matched = top[detected], best[matched]
            if len(detected) < self.p.min_matches:
                raise self._refused(f"{len(detected)} stars match, {self.p.min_matches} needed", found)
            order = self._order(len(detected), iteration)
            fitted = fit(uv[detected], self.there[matched], self._sigma(detected, matched), Basis(order))
            now, pairs = fitted(uv), (order, detected, matched)
            radius = self._radius(fitted, len(top))
            if last is not None and iteration >= len(_RISING) and all(map(np.array_equal, last, pairs)):
                break
        detected, matched = mutual_pairs(now, self.there, radius * self.scale)
        if len(detected) < self.p.min_matches:
            raise self._refused(f"{len(detected)} stars match, {self.p.min_matches} needed", found)
        return self._judged(detected, matched, found, radius, self._extra(matched, zenith), is_blind)

    def _start(self, found: Vote) -> np.ndarray:
        """(n, 2) arcsec about `crval`: the detections by the voted guess."""
        unturned = (self.xy - self.centre) @ np.linalg.inv(found.matrix).T + self.centre
        return np.c_[tangent_plane(*self.guess.all_pix2world(unturned, 0).T, *self.crval)]

    def _bright(self) -> tuple[np.ndarray, np.ndarray]:
        """The brightest detections, and about as many catalogue stars for the area."""
        top = np.argsort(-self.stars.flux, kind="stable")[:_BRIGHTEST]
        if len(top) == len(self.xy):
            return top, np.arange(len(self.rows))
        return top, np.argsort(self.catalog.mag[self.rows], kind="stable")[: 2 * _BRIGHTEST]

    def _first_radius(self, count: int) -> float:
        """px within which at most about every seventh of so many detections has a neighbour by chance."""
        ny, nx = self.shape
        return float(np.clip(np.sqrt(0.15 * nx * ny / (np.pi * count)), 6.0, _LARGEST_RADIUS))

    def _radius(self, fitted: Fit, count: int) -> float:
        used = fitted.weight > 0
        left = np.hypot(*fitted.residuals[used].T) / self.scale
        n = used.sum()
        spread = max(float(np.median(left)) / 1.1774, 0.02) * np.sqrt(n / max(n - fitted.basis.count / 2, 1))
        return float(np.clip(_CLIP * spread, _LEAST_RADIUS, self._first_radius(count)))

    def _order(self, n: int, iteration: int) -> int:
        wanted = _RISING[min(iteration, len(_RISING) - 1)]
        allowed = 3 if n >= LADDER[3].needed else 2 if n >= LADDER[1].needed else 1
        return min(wanted, allowed, self.p.max_order)

    def _sigma(self, detected: np.ndarray, matched: np.ndarray) -> np.ndarray:
        """Error (n,) arcsec of a match along one axis."""
        sigma = np.hypot(self.p.position_floor, np.nan_to_num(self.stars.error[detected], posinf=0)) * self.scale
        return sigma if self.catalog.error is None else np.hypot(sigma, self.catalog.error[self.rows[matched]])

    def _extra(self, matched: np.ndarray, zenith: np.ndarray | None) -> np.ndarray | None:
        """(n, 2) arcsec along ξ and η by which stars lie from where one of the reference colour would."""
        if zenith is None or self.catalog.color is None:
            return None
        redder = self.catalog.color[self.rows[matched]] - self.p.reference_color
        known = np.isfinite(redder)
        if known.sum() < LADDER[3].needed or np.std(redder[known]) < _LEAST_COLOR_SPREAD:
            return None
        return -np.where(known, redder, 0)[:, None] * zenith

    def _chosen(self, detected: np.ndarray, matched: np.ndarray, extra: np.ndarray | None, found: Vote) -> _Chosen:
        """The polynomial, or the distortion of the header, that the stars ask for; NoSolution where they tell none."""
        xy, sigma = self.xy[detected], self._sigma(detected, matched)
        rows = self.rows[matched]
        ra, dec = self.catalog.ra[rows], self.catalog.dec[rows]
        uv = (xy - self.centre) / unit_of(xy)
        fits_of_all = fit_all(uv, self.there[matched], sigma, self.p.max_order, extra=extra)
        kept = None
        if has_distortion(self.guess):
            kept = fit_kept(self.guess, xy, ra, dec, sigma, centre=self.centre, extra=extra)
            fits_of_all.insert(0, kept.fitted)
        fits_of_all = [one for one in fits_of_all if one.is_determined]
        on_a_line = self._refused(f"the {len(detected)} stars that match lie on a line, or nearly so", found)
        if not fits_of_all:
            raise on_a_line
        best = best_of(fits_of_all)
        if kept is not None and best is kept.fitted:
            return _Chosen(kept.header(self.shape), best, kept.order, "kept")
        model = fit_sip(
            xy, ra, dec, sigma, centre=self.centre, crval=self.crval, basis=best.basis, extra=extra, start=best.weight
        )
        if not model.fitted.is_determined:
            raise on_a_line
        return _Chosen(
            model.header(self.shape), model.fitted, model.order, "radial" if best.basis.is_radial else "polynomial"
        )

    def _judged(
        self,
        detected: np.ndarray,
        matched: np.ndarray,
        found: Vote,
        radius: float,
        extra: np.ndarray | None,
        is_blind: bool,
    ) -> AstrometricSolution:
        chosen = self._chosen(detected, matched, extra, found)
        used = chosen.fitted.weight > 0
        n, (ny, nx) = int(used.sum()), self.shape
        left_out, error = chosen.fitted.errors()
        largest = self._largest_error(chosen.fitted, detected)
        rms = [mad_std(left_out[used, axis]) for axis in (0, 1)]
        inside = np.all(np.abs(self.there @ np.linalg.inv(self.matrix).T) < np.array([nx, ny]) / 2, axis=1).sum()
        chance = len(self.xy) * max(inside, 1) * np.pi * radius**2 / (nx * ny)
        self._ensure_trustworthy(n, chance, chosen, found, is_blind)
        residual = np.hypot(*rms) / np.sqrt(2) / self.scale
        if not residual <= self.p.max_residual:
            raise self._refused(f"the stars scatter by {residual:.2f} px, {self.p.max_residual} px is allowed", found)
        covered = np.ptp(self.xy[detected[used]], axis=0) / [nx, ny]
        if covered.min() < _LEAST_COVER:
            reason = (
                f"the {n} stars that match cover {covered[0]:.0%} of the columns and {covered[1]:.0%} of the rows only"
            )
            raise self._refused(reason, found)
        if not largest <= _LARGEST_ERROR:
            reason = (
                f"the {n} stars that match leave the solution uncertain by {largest:.1f} px in a corner of the image"
            )
            raise self._refused(reason, found)
        few = chosen.order > 1 and chosen.kind != "kept" and n < _FEW
        warnings = ["few matches for the order of the polynomial"] if few else []
        if is_blind or found.flip:
            warnings.append(self._said_of(found, is_blind))
        dcr = (chosen.fitted.extra, chosen.fitted.extra_error) if extra is not None else (None, None)
        return AstrometricSolution(
            header=chosen.header,
            n_matches=n,
            rms_ra_arcsec=float(rms[0]),
            rms_dec_arcsec=float(rms[1]),
            order=chosen.order,
            detected=detected[used],
            matched=self.rows[matched[used]],
            warnings=tuple(warnings),
            kind=chosen.kind,
            error_arcsec=error,
            largest_error_arcsec=self._largest_error_without_any(chosen.fitted, detected),
            chance=float(chance),
            refraction=dcr[0],
            refraction_error=dcr[1],
        )

    def _largest_error(self, fitted: Fit, detected: np.ndarray) -> float:
        """px, the largest formal error on the image: large where matches are in a part of it only."""
        return float(fitted.error_at(self._everywhere(detected)).max() / self.scale)

    def _largest_error_without_any(self, fitted: Fit, detected: np.ndarray) -> float:
        """arcsec, the largest error on the image if any one of the stars is a wrong match."""
        places = self._everywhere(detected)
        return float(fitted.error_at(places).max()) if len(detected) > _MANY else fitted.error_without_any(places)

    def _everywhere(self, detected: np.ndarray) -> np.ndarray:
        """A grid of places on the image, (25, 2), as polynomials of these stars have them."""
        ny, nx = self.shape
        x, y = np.meshgrid(np.linspace(0, nx - 1, 5), np.linspace(0, ny - 1, 5))
        return (np.c_[x.ravel(), y.ravel()] - self.centre) / unit_of(self.xy[detected])

    def _ensure_trustworthy(self, n: int, chance: float, chosen: _Chosen, found: Vote, is_blind: bool) -> None:
        """NoSolution where as many matches could come about by chance, those that the parameters make fit included."""
        if n < self.p.min_matches:
            raise self._refused(f"{n} stars match, {self.p.min_matches} needed", found)
        base = max(len(chosen.fitted.inverse) / 2 + _BEYOND_PARAMETERS, _AT_LEAST) + (_BLIND if is_blind else 0)
        needed = base + chance + _SURE * np.sqrt(chance)
        if n < needed:
            reason = f"{n} stars match, {chance:.1f} would by chance and {needed:.0f} are needed to trust it"
            raise self._refused(reason, found)
        if found.significance < self.p.min_significance and n < 0.3 * min(len(self.xy), len(self.rows)):
            raise self._refused(f"{n} stars match, and no shift stands out", found)

    def _said_of(self, found: Vote, is_blind: bool) -> str:
        said = [f"its axes are counted the other way ({found.flip})"] if found.flip else []
        if is_blind:
            said.append(
                f"it is turned by {found.rotation:.2f} degrees, or points elsewhere by more than the vote allows"
            )
        return f"the WCS of the header is wrong: {' and '.join(said)}"

    def _refused(self, reason: str, found: Vote) -> NoSolution:
        p = self.p
        return NoSolution(
            reason=f"{reason} (vote {found.significance:.1f} sigma); is the position in the header right within "
            f"{p.pointing_error:g} arcsec (astrocal.solution.pointing_error), its pixel scale ({self.scale:.3g} "
            f"arcsec) within {p.scale_range:.0%}, and the catalogue deep enough?",
            detections=len(self.xy),
            catalog_stars=len(self.rows),
        )
