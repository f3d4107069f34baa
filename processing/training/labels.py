"""What each candidate of a simulated field truly is: real, an artefact of some kind, or unsure and left out."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from processing.algorithms.simulation_render import sources
from processing.algorithms.stamps import nearest_pixel
from processing.training.chain import Found
from processing.training.fields import NEW_MJD, REFERENCE_MJD, Field

UNSURE = ""
BOGUS = ("cosmic ray", "defect", "saturated star", "trail", "ghost", "moved star", "residual", "noise")
_CLOSE, _AROUND = 0.8, 3.0  # FWHM: a candidate is a change so close to it; so close it may be a part of it
_AGREES, _FACTOR = 6.0, 2.0  # σ, and ratio of fluxes, within which it is the change
_LEAST = 3.0  # σ of a change that counts
_MOVED = 0.01  # FWHM of motion that may make a dipole
_FAR, _BRIGHT = 6.0, 500.0  # FWHM, and σ of stars whose wings leave something so far away


def label(field: Field, found: Found) -> np.ndarray:
    """Kind of each candidate, (n,) str: one of REAL or of BOGUS, or UNSURE."""
    change = _Changes(field, found)
    kinds = np.full(len(found.x), UNSURE, "U24")
    artefact = _of_artefacts(found)
    for row, (x, y) in enumerate(zip(found.x, found.y)):
        kind, near = change.at(row, x, y)
        if kind:
            kinds[row] = UNSURE if artefact[row] in ("cosmic ray", "trail") else kind
        elif not near:
            kinds[row] = artefact[row] or change.static_at(x, y) or "noise"
    return kinds


class _Changes:
    """The true changes between the epochs, on the pixels of the new image."""

    def __init__(self, field: Field, found: Found) -> None:
        self.field, self.found = field, found
        reference = field.references[0]
        now, then = sources(field.sky, field.new, NEW_MJD), sources(field.sky, reference, REFERENCE_MJD)
        scale = 10 ** (0.4 * (field.new.zero_point - reference.zero_point))
        self.flux = now["flux"] - then["flux"] * scale
        self.x, self.y, self.kind = now["x"], now["y"], now["kind"]
        self.light = np.maximum(now["flux"], then["flux"] * scale)
        moved_x, moved_y = field.new.projection.pixels(then["ra"], then["dec"])
        self.shift = np.hypot(moved_x - self.x, moved_y - self.y)
        sigma = float(np.median(found.flux_error)) if len(found.flux_error) else 1.0
        self.sigma = sigma
        self.rows = np.flatnonzero((field.changed >= 0) & (np.abs(self.flux) > _LEAST * sigma))
        self.changes = cKDTree(np.c_[self.x[self.rows], self.y[self.rows]])
        self.bright = np.flatnonzero((field.changed < 0) & (self.light > 5 * sigma))
        self.static = cKDTree(np.c_[self.x[self.bright], self.y[self.bright]])

    def at(self, row: int, x: float, y: float) -> tuple[str, bool]:
        """The kind of the change that a candidate is (empty: of none), and whether a change is near."""
        fwhm = self.found.fwhm
        near = self.rows[self.changes.query_ball_point((x, y), _AROUND * fwhm)]
        if not len(near):
            return UNSURE, False
        distance = np.hypot(self.x[near] - x, self.y[near] - y)
        order = np.argsort(distance)
        first = near[order[0]]
        if distance[order[0]] > max(_CLOSE * fwhm, 1.0) or self._is_blended(near, first, fwhm):
            return UNSURE, True
        table = self.found.candidates.table[row]
        measured, error = float(table["psf_flux"]), float(self.found.flux_error[row])
        if (self.flux[first] < 0) != bool(table["is_negative"]) or not self._agrees(measured, first, error):
            return UNSURE, True
        return self.field.kinds[self.field.changed[first]], True

    def _agrees(self, measured: float, row: int, error: float) -> bool:
        true = abs(self.flux[row])
        ratio = abs(measured) / true
        return abs(abs(measured) - true) < _AGREES * error or 1 / _FACTOR < ratio < _FACTOR

    def _is_blended(self, near: np.ndarray, first: int, fwhm: float) -> bool:
        others = near[near != first]
        apart = np.hypot(self.x[others] - self.x[first], self.y[others] - self.y[first])
        return bool(np.any((apart < 2 * fwhm) & (np.abs(self.flux[others]) > 0.2 * abs(self.flux[first]))))

    def static_at(self, x: float, y: float) -> str:
        """What does not change there: a star that moved, or what a star or galaxy left; empty where nothing is."""
        fwhm = self.found.fwhm
        near = self.bright[self.static.query_ball_point((x, y), _FAR * fwhm)]
        distance = np.hypot(self.x[near] - x, self.y[near] - y)
        # Wings of bright stars reach farther than those of faint ones.
        near = near[(distance < 2.5 * fwhm) | (self.light[near] > _BRIGHT * self.sigma)]
        if not len(near):
            return ""
        moved = (self.shift[near] > _MOVED * fwhm) & (self.shift[near] * self.light[near] > fwhm * self.sigma)
        return "moved star" if moved.any() else "residual"


def _of_artefacts(found: Found) -> list[str]:
    """The artefact on whose pixels each candidate lies, empty where it lies on none."""
    planes = found.artefacts
    reach = max(1, round(0.5 * found.fwhm))
    wide = max(2, round(3 * found.fwhm))
    kinds = []
    for x, y in zip(nearest_pixel(found.x), nearest_pixel(found.y)):
        near, far = (
            (slice(max(y - half, 0), y + half + 1), slice(max(x - half, 0), x + half + 1)) for half in (reach, wide)
        )
        tests = (
            ("cosmic ray", planes.rays[near]),
            ("defect", planes.defects[near]),
            ("trail", planes.trails[near]),
            ("ghost", planes.ghosts[near]),
            ("saturated star", planes.full[far]),
        )
        kinds.append(next((kind for kind, plane in tests if plane.any()), ""))
    return kinds
