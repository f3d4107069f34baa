"""Robust fits of a plane on another with polynomials, and the choice of as many terms as the data ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

_CLIP = 6.0  # σ at which Tukey's weight is none
_LEAST_SPREAD = 0.7  # of residuals in units of their errors: of few stars it may come out too small
_MAX_ROUNDS, _ENOUGH = 15, 0.01  # of the weights
_PENALTY = 3.0  # of one more parameter, in χ²: between Akaike's 2 and what would never see faint terms


def terms(order: int) -> list[tuple[int, int]]:
    """Exponents (i, j) of uⁱ vʲ up to `order`, constant first, then linear."""
    return [(n - j, j) for n in range(order + 1) for j in range(n + 1)]


def powers(uv: np.ndarray, order: int) -> np.ndarray:
    """(n, terms) values of uⁱ vʲ at uv (n, 2)."""
    u, v = ([np.ones(len(uv))] for _ in range(2))
    for _ in range(order):
        u.append(u[-1] * uv[:, 0])
        v.append(v[-1] * uv[:, 1])
    return np.stack([u[i] * v[j] for i, j in terms(order)], axis=1)


@dataclass(frozen=True)
class Basis:
    """Which terms a polynomial has.

    A radial one has the terms up to order 2, and of order 3 only r² times the linear ones, one parameter for both axes:
    the distortion of optics that are round about any axis, however the detector lies.
    """

    order: int
    is_radial: bool = False

    @property
    def count(self) -> int:
        """Parameters of both axes."""
        return 13 if self.is_radial else 2 * len(terms(self.order))

    @property
    def needed(self) -> int:
        """Fewest stars to fit it to."""
        return {1: 5, 2: 9, 3: 12 if self.is_radial else 20}.get(self.order, 2 * self.count)

    def design(self, uv: np.ndarray, linear: np.ndarray, extra: np.ndarray | None) -> Design:
        """Columns at uv (n, 2); `linear` (2, 2) are the linear coefficients, of which a radial one knows."""
        joint = [] if extra is None else [extra]
        if self.is_radial:
            joint.insert(0, np.sum(uv**2, axis=1)[:, None] * (uv @ linear))
        return Design(powers(uv, 2 if self.is_radial else self.order), np.array(joint).reshape(-1, *uv.shape))

    def expand(self, parameters: np.ndarray, linear: np.ndarray) -> np.ndarray:
        """Coefficients (terms, 2) of all terms up to the order."""
        k = len(terms(2 if self.is_radial else self.order))
        found = np.zeros((len(terms(self.order)), 2))
        found[:k] = parameters[: 2 * k].reshape(2, k).T
        if self.is_radial:
            along_u, along_v = parameters[2 * k] * linear
            found[k:] = along_u, along_v, along_u, along_v  # u³, u²v, uv², v³
        return found


LADDER = (Basis(1), Basis(2), Basis(3, is_radial=True), Basis(3), Basis(4), Basis(5))


@dataclass(frozen=True)
class Design:
    """Columns of a least-squares problem in two axes: those that each axis has for itself, and those of both."""

    own: np.ndarray  # (n, t)
    joint: np.ndarray  # (j, n, 2)

    def solve(self, target: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inverse of the normal matrix and parameters (2 t + j,) for `target` (n, 2) with weights (n,)."""
        t, j = self.own.shape[1], len(self.joint)
        weighted = (self.own * weight[:, None]).T
        normal, right = np.zeros((2 * t + j, 2 * t + j)), np.zeros(2 * t + j)
        normal[:t, :t] = normal[t : 2 * t, t : 2 * t] = weighted @ self.own
        right[: 2 * t] = (weighted @ target).T.ravel()
        for number, column in enumerate(self.joint, start=2 * t):
            normal[number, : 2 * t] = normal[: 2 * t, number] = (weighted @ column).T.ravel()
            right[number] = np.sum(column * target * weight[:, None])
            for other, second in enumerate(self.joint, start=2 * t):
                normal[number, other] = np.sum(column * second * weight[:, None])
        inverse = np.linalg.pinv(normal, hermitian=True)
        return inverse, inverse @ right

    def __call__(self, parameters: np.ndarray) -> np.ndarray:
        """Values (n, 2)."""
        t = self.own.shape[1]
        return self.own @ parameters[: 2 * t].reshape(2, t).T + np.tensordot(parameters[2 * t :], self.joint, 1)

    def variance(self, inverse: np.ndarray) -> np.ndarray:
        """Covariance (n, 2, 2) of the values."""
        t = self.own.shape[1]
        columns = np.zeros((2, len(self.own), len(inverse)))
        columns[0, :, :t] = columns[1, :, t : 2 * t] = self.own
        columns[:, :, 2 * t :] = self.joint.transpose(2, 1, 0)
        left, right = columns @ inverse, columns
        return np.stack([[np.sum(one * two, axis=1) for two in right] for one in left]).transpose(2, 0, 1)


@dataclass(frozen=True)
class Fit:
    """A polynomial of (n, 2) positions on a plane; lengths are in the unit of what it was fitted to."""

    basis: Basis
    coefficients: np.ndarray  # (terms, 2)
    residuals: np.ndarray  # (n, 2), target − polynomial
    weight: np.ndarray  # (n,) 0 to 1: what the residual of a star leaves of its say
    spread: float  # of the residuals in units of their errors
    sigma: np.ndarray  # (n,) those errors
    design: Design
    inverse: np.ndarray  # of the normal matrix
    extra: float = 0.0  # coefficient of the extra column
    extra_error: float = 0.0

    def __call__(self, uv: np.ndarray) -> np.ndarray:
        """Positions (n, 2) on the plane."""
        return powers(uv, self.basis.order) @ self.coefficients

    @property
    def is_determined(self) -> bool:
        """Whether the stars tell every parameter: those on a line tell nothing of what is across it."""
        is_known = np.linalg.matrix_rank(self.inverse, hermitian=True) == len(self.inverse)
        return bool(is_known and np.linalg.matrix_rank(self.coefficients[1:3]) == 2)

    def error_at(self, uv: np.ndarray) -> np.ndarray:
        """Formal error (n,) per axis of the polynomial at uv (n, 2), also where there are no stars."""
        nothing = None if len(self.design.joint) == self.basis.is_radial else np.zeros(uv.shape)
        design = self.basis.design(uv, self.coefficients[1:3], nothing)
        variance = np.trace(design.variance(self.inverse), axis1=1, axis2=2) / 2
        return self.spread * np.sqrt(np.maximum(variance, 0))

    def error_without_any(self, uv: np.ndarray) -> float:
        """The largest formal error at uv (n, 2) that any star of weight leaves when it is left out.

        Where it is large one star decides, and nothing shows if it is a wrong one.
        """
        weight = self.weight / self.sigma**2
        largest = 0.0
        for star in np.flatnonzero(self.weight > 0):
            inverse = self.design.solve(self.residuals, np.where(np.arange(len(weight)) == star, 0, weight))[0]
            largest = max(largest, float(replace(self, inverse=inverse).error_at(uv).max()))
        return largest

    def loss(self, spread: float) -> float:
        """χ² of the residuals in units of `spread` times their errors, in which an outlier counts as one at 6σ / √3."""
        size = np.minimum(np.hypot(*self.residuals.T) / (_CLIP * spread * self.sigma), 1)
        return float(np.sum(_CLIP**2 / 3 * (1 - (1 - size**2) ** 3)))

    def errors(self) -> tuple[np.ndarray, float]:
        """Residuals (n, 2), each from a fit without the star, and the polynomial's formal error per axis.

        The residuals are (1 − H)⁻¹ r with the star's 2 × 2 block of the hat matrix; the error is the root mean square
        over the places of the stars.
        """
        variance = self.design.variance(self.inverse)
        rest = np.eye(2) - variance * (self.weight / self.sigma**2)[:, None, None]
        good = rest[:, 0, 0] * rest[:, 1, 1] - rest[:, 0, 1] * rest[:, 1, 0] > 1e-4
        safe = np.where(good[:, None, None], rest, np.eye(2) * 0.01)
        left_out = np.linalg.solve(safe, self.residuals[:, :, None])[:, :, 0]
        return left_out, float(self.spread * np.sqrt(np.mean(np.trace(variance, axis1=1, axis2=2)) / 2))


def fit(
    uv: np.ndarray,
    target: np.ndarray,
    sigma: np.ndarray,
    basis: Basis,
    *,
    extra: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> Fit:
    """Least squares with Tukey's weights of `target` (n, 2) on `uv` (n, 2), of the order of 1; errors `sigma` (n,).

    `extra` (n, 2) is one more column for both axes; the weights begin as `start` (n,). An infinite error leaves a star
    out.
    """
    weight, linear = np.ones(len(uv)) if start is None else start, np.eye(2)
    known = np.isfinite(sigma)
    if basis.is_radial:
        quadratic = fit(uv, target, sigma, Basis(2), extra=extra, start=weight)
        linear = quadratic.coefficients[1:3]
    design = basis.design(uv, linear, extra)
    freedom = np.sqrt(known.sum() / max(known.sum() - basis.count / 2, 0.5))
    for _ in range(_MAX_ROUNDS):
        inverse, found = design.solve(target, weight / sigma**2)
        residuals = target - design(found)
        pulls = np.hypot(*residuals.T) / sigma
        # The median of a Rayleigh distribution is 1.1774 σ.
        spread = max(float(np.median(pulls[known])) / 1.1774 * freedom, _LEAST_SPREAD)
        now = np.clip(1 - (pulls / (_CLIP * spread)) ** 2, 0, None) ** 2
        if np.abs(now - weight).max() < _ENOUGH:
            break
        weight = now
    last = (float(found[-1]), float(spread * np.sqrt(inverse[-1, -1]))) if extra is not None else (0.0, 0.0)
    return Fit(basis, basis.expand(found, linear), residuals, weight, spread, sigma, design, inverse, *last)


def fit_all(
    uv: np.ndarray, target: np.ndarray, sigma: np.ndarray, max_order: int, *, extra: np.ndarray | None = None
) -> list[Fit]:
    """A fit for every basis for which there are stars enough, the simplest first."""
    allowed = [basis for basis in LADDER if basis.order <= max_order and len(uv) >= basis.needed] or [LADDER[0]]
    # Stars that the richest of the usual ones leaves out are out in all of them: then they need few rounds.
    start = fit(
        uv, target, sigma, max((one for one in allowed if one.order <= 3), key=lambda one: one.count), extra=extra
    )
    return [fit(uv, target, sigma, basis, extra=extra, start=start.weight) for basis in allowed]


def best_of(fits: Sequence[Fit]) -> Fit:
    """The fit with the least χ², penalised for its parameters, on the scale of the one that fits best."""
    spread = min(one.spread for one in fits)

    def against(one: Fit) -> float:
        k, numbers = len(one.inverse), 2 * len(one.sigma)
        few = 2 * k * (k + 1) / max(numbers - k - 1, 1)  # Akaike's correction for small samples
        return one.loss(spread) + _PENALTY * k + few

    return min(fits, key=against)
