"""How the zero point varies over an image: a polynomial of low order where the stars ask for one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from processing.parameters import Parameters, param

_GRID = 9  # points a side at which a surface is measured


class SurfaceParameters(Parameters):
    """When the stars ask for a zero point that varies."""

    max_order: int = param(2, ge=0, le=3, help="Highest order of the polynomial; 0: the zero point is one number.")
    stars_per_term: int = param(10, ge=3, help="Stars that each coefficient needs.")
    min_gain: float = param(
        10.0, ge=0, help="By so much the Bayesian information criterion must fall for each step of the order."
    )
    min_variation: float = param(
        0.002, ge=0, unit="mag", help="A surface with a smaller scatter over the image is no surface."
    )


@dataclass(frozen=True)
class Surface:
    """Residuals of the zero point as a polynomial of u, v from −1 to 1 over the image."""

    order: int  # 0: it does not vary
    coefficients: np.ndarray  # (terms,) mag, as `powers` orders them; the mean over the image is 0
    shape: tuple[int, int]  # (ny, nx)
    gain: float  # by how much the information criterion fell

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """What must be added to the zero point at pixels (n,), mag."""
        return design(x, y, self.shape, self.order) @ self.coefficients

    @property
    def on_grid(self) -> np.ndarray:
        """(9, 9) [y, x] mag at points from edge to edge."""
        ny, nx = self.shape
        x, y = np.meshgrid(np.linspace(0, nx - 1, _GRID), np.linspace(0, ny - 1, _GRID))
        return self(x.ravel(), y.ravel()).reshape(_GRID, _GRID)

    def as_json(self) -> dict[str, Any]:
        """As `ZeroPoint.surface` has it; empty where the zero point does not vary."""
        if self.order == 0:
            return {}
        matrix = np.zeros((self.order + 1, self.order + 1))
        for (i, j), value in zip(powers(self.order), self.coefficients):
            matrix[i, j] = value
        return {"shape": list(self.shape), "coefficients": matrix.tolist()}

    @property
    def rms(self) -> float:
        """Scatter over the image, mag."""
        return float(np.std(self.on_grid))

    @property
    def range(self) -> float:
        """Largest minus smallest value over the image, mag."""
        return float(np.ptp(self.on_grid))


def powers(order: int) -> list[tuple[int, int]]:
    """Exponents of u and v of each term."""
    return [(total - j, j) for total in range(order + 1) for j in range(total + 1)]


def design(x: np.ndarray, y: np.ndarray, shape: tuple[int, int], order: int) -> np.ndarray:
    """Terms (n, terms) at pixels (n,)."""
    ny, nx = shape
    u, v = 2 * np.asarray(x, float) / max(nx - 1, 1) - 1, 2 * np.asarray(y, float) / max(ny - 1, 1) - 1
    return np.stack([u**i * v**j for i, j in powers(order)], axis=1)


def fit_surface(
    x: np.ndarray,
    y: np.ndarray,
    residual: np.ndarray,
    error: np.ndarray,
    shape: tuple[int, int],
    parameters: SurfaceParameters,
) -> Surface:
    """The polynomial of the lowest order that explains residuals (n,) mag at pixels (n,), with their errors.

    An order counts where it lowers χ² + terms · ln n by `min_gain` for each step, and varies by more than
    `min_variation`; otherwise the surface is flat.
    """
    p = parameters
    best, lowest, flat = Surface(0, np.zeros(1), shape, 0.0), np.inf, np.inf
    weights = 1 / np.asarray(error, float)
    for order in range(p.max_order + 1):
        terms = design(x, y, shape, order)
        if order and len(x) < p.stars_per_term * terms.shape[1]:
            break
        found = np.linalg.lstsq(terms * weights[:, None], residual * weights, rcond=None)[0]
        criterion = float(np.sum(((residual - terms @ found) * weights) ** 2) + terms.shape[1] * np.log(len(x)))
        if order == 0:
            lowest = flat = criterion
            continue
        surface = Surface(order, found, shape, flat - criterion)
        found[0] -= surface.on_grid.mean()
        if criterion < lowest - p.min_gain * (order - best.order) and surface.rms > p.min_variation:
            best, lowest = surface, criterion
    return best
