"""Where the CCDs of a mosaic lie, from solved exposures: their places and the pointing error of each, fitted jointly.

Each solved CCD gives a position in the tangent plane about the boresight of its header. What all CCDs of an exposure
share is its pointing error, a small rotation of the sphere; what a CCD shares among exposures is its place. The two are
told apart only but for one rotation of everything, which is chosen so that the median pointing error is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, vstack
from scipy.sparse.linalg import lsqr
from scipy.spatial.transform import Rotation

from processing.errors import StepError
from processing.instruments.focal_plane import Place, Similarity, axes, place_of

_ARCSEC = np.degrees(1) * 3600  # in a radian
_MAX_ROUNDS, _TRUSTING, _ENOUGH = 40, 12, 1e-4  # rounds of the fit, those that reject nothing, arcsec of a change
_DAMPING = 1e-3  # keeps what nothing determines where it is; singular values are near 1
_CLIP, _FLOOR = 6.0, 0.05  # σ beyond which a solution has no say; σ is not taken to be smaller (arcsec)


class NoFocalPlane(StepError):
    """Nothing that tells where CCDs lie."""

    message = "no focal plane can be fitted: {reason}"


@dataclass(frozen=True)
class SolvedCcd:
    """A CCD with an astrometric solution."""

    exposure: str
    section: str
    found: Similarity
    ra: float  # degrees, where the header of the exposure points
    dec: float


@dataclass(frozen=True)
class FittedPlace:
    """A place and how well it is known."""

    place: Place
    count: int  # solutions
    rejected: int  # of them, too far from the others
    rms: float  # arcsec, of the centre over exposures
    rms_rotation: float  # degrees


@dataclass(frozen=True)
class PointingError:
    """Where an exposure looked, from where its header says."""

    east: float  # arcsec
    north: float
    rotation: float  # degrees, of the camera from its north eastwards


@dataclass(frozen=True)
class FocalPlaneFit:
    """Places by section and pointing errors by exposure."""

    places: dict[str, FittedPlace]
    pointing: dict[str, PointingError]


def fit_focal_plane(solved: Sequence[SolvedCcd]) -> FocalPlaneFit:
    """Fit the places of all CCDs, robust against false solutions. NoFocalPlane where there is nothing to fit.

    Weights are Tukey's; positions are iterated to the exact projection, so that fields of many degrees are right.
    """
    if not solved:
        raise NoFocalPlane(reason="no CCD has an astrometric solution; run process_exposure --through-step astrocal")
    fit = _Fit(solved)
    fit.run()
    return FocalPlaneFit(fit.fitted(), fit.pointing())


class _Fit:
    """The state of the fit: a frame (3, 3) for each exposure, a position (ξ, η) in radians for each CCD."""

    def __init__(self, solved: Sequence[SolvedCcd]) -> None:
        self.solved = solved
        self.exposures = sorted({one.exposure for one in solved})
        self.sections = sorted({one.section for one in solved})
        self.of_exposure = np.array([self.exposures.index(one.exposure) for one in solved])
        self.of_section = np.array([self.sections.index(one.section) for one in solved])
        headers = {one.exposure: (one.ra, one.dec) for one in solved}
        self.nominal = np.array([axes(*headers[name]) for name in self.exposures])
        self.errors = Rotation.identity(len(self.exposures))  # header → true, in the header's frame
        self.directions = np.array([axes(one.found.ra, one.found.dec)[0] for one in solved])
        seen = self.seen()
        self.places = np.array([np.median(seen[self.of_section == k], axis=0) for k in range(len(self.sections))])
        self.weights = np.ones(len(solved))

    def frames(self) -> np.ndarray:
        """True frames of the exposures, (n, 3, 3)."""
        return np.einsum("eij,ejk->eik", self.errors.as_matrix(), self.nominal)

    def seen(self) -> np.ndarray:
        """(ξ, η) of each solved CCD in the frame of its exposure, radians (n, 2)."""
        local = np.einsum("nij,nj->ni", self.frames()[self.of_exposure], self.directions)
        return local[:, 1:] / local[:, :1]

    def residuals(self) -> np.ndarray:
        """Seen minus fitted (n, 2), radians."""
        return self.seen() - self.places[self.of_section]

    def run(self) -> None:
        """Solve for small changes until they are none: least distances first, which has one answer, then Tukey's."""
        for number in range(_MAX_ROUNDS):
            left = self.residuals()
            self.weights = self._weights(left, trusting=number < _TRUSTING)
            change = self._solve(left)
            n = 2 * len(self.sections)
            self.places = self.places + change[:n].reshape(-1, 2)
            self.errors = Rotation.from_rotvec(change[n:].reshape(-1, 3)) * self.errors
            if number > _TRUSTING and np.abs(change).max() * _ARCSEC < _ENOUGH:
                break
        self._centre()

    def _weights(self, left: np.ndarray, *, trusting: bool) -> np.ndarray:
        """Weights by the distance from the fit, in units of a width that false solutions do not move."""
        distance = np.hypot(*left.T) * _ARCSEC
        sigma = max(float(np.median(distance)) / 1.1774, _FLOOR)  # the median of a Rayleigh distribution
        if trusting:
            return sigma / np.maximum(distance, sigma)
        return np.clip(1 - (distance / (_CLIP * sigma)) ** 2, 0, None) ** 2

    def _solve(self, left: np.ndarray) -> np.ndarray:
        """Changes of the places and of the pointing errors, the smallest that make the weighted residuals least."""
        xi, eta = self.places[self.of_section].T
        # What a rotation of the frame by (ω, p, q) about boresight, east and north does to what is seen. Taken at the
        # fitted places, it is the same for all exposures: a rotation of everything changes no residual at all.
        moves = np.array([[-eta, -xi * eta, 1 + xi**2], [xi, -(1 + eta**2), xi * eta]])
        n, rows = 2 * len(self.sections), np.tile(np.arange(len(xi)), 4)
        of_errors = n + 3 * self.of_exposure[None] + np.arange(3)[:, None]
        parts = []
        for axis in (0, 1):
            values = np.concatenate([np.ones_like(xi), *-moves[axis]])
            columns = np.concatenate([2 * self.of_section + axis, *of_errors])
            parts.append(csr_matrix((values, (rows, columns)), (len(xi), n + 3 * len(self.exposures))))
        root = np.sqrt(np.tile(self.weights, 2))
        matrix = vstack(parts).multiply(root[:, None]).tocsr()
        return lsqr(matrix, left.T.ravel() * root, damp=_DAMPING, atol=1e-12, btol=1e-12)[0]

    def _centre(self) -> None:
        """Turn everything so that the median pointing error is none."""
        turn = Rotation.from_rotvec(-np.median(self.errors.as_rotvec(), axis=0))
        self.errors = turn * self.errors
        turned = turn.apply(np.c_[np.ones(len(self.places)), self.places])
        self.places = turned[:, 1:] / turned[:, :1]

    def fitted(self) -> dict[str, FittedPlace]:
        """The places of the CCDs that have a solution which agrees with the others."""
        left = np.hypot(*self.residuals().T) * _ARCSEC
        frames, found = self.frames(), {}
        for k, name in enumerate(self.sections):
            every = np.flatnonzero(self.of_section == k)
            good = every[self.weights[every] > 0]
            if len(good) == 0:
                continue
            seen = [place_of(self.solved[i].found, frames[self.of_exposure[i]]) for i in good]
            xi, eta = (float(value) for value in np.degrees(self.places[k]))
            rotations = np.array([place.rotation for place in seen])
            place = Place(
                xi=xi,
                eta=eta,
                rotation=float(np.median(rotations)),
                scale=float(np.median([place.scale for place in seen])),
                mirrored=bool(np.median([place.mirrored for place in seen]) > 0.5),
            )
            rms = float(np.sqrt(np.mean(left[good] ** 2)))
            found[name] = FittedPlace(place, len(every), len(every) - len(good), rms, float(rotations.std()))
        return found

    def pointing(self) -> dict[str, PointingError]:
        """The pointing errors of the exposures."""
        found = {}
        for name, (turn, east, north) in zip(self.exposures, self.errors.as_rotvec()):
            found[name] = PointingError(float(-north * _ARCSEC), float(east * _ARCSEC), float(np.degrees(turn)))
        return found
