"""Smooth patterns that a simulated camera puts on the light: vignetting, the flat screen, fringes, glow."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from processing.algorithms.overscan import Amplifier

_WAVES = 4  # sinusoids of a fringe pattern


class _Layout(Protocol):
    amplifiers: tuple[Amplifier, ...]

    @property
    def trimmed(self) -> tuple[int, int]: ...


def vignetting(shape: tuple[int, int], origin: tuple[float, float], radius: float, loss: float) -> np.ndarray:
    """Light (ny, nx) float32 relative to the middle of the field; `loss` is missing at its edge, `radius` px away.

    It falls with the square of the distance within the field, faster beyond.
    """
    u, v = _field(shape, origin, radius)
    far = u**2 + v**2
    return np.maximum(1 - loss * far * (0.7 + 0.3 * far), 0.02).astype(np.float32)


def screen_error(
    shape: tuple[int, int], origin: tuple[float, float], radius: float, size: float, rng: np.random.Generator
) -> np.ndarray:
    """Light (ny, nx) float32 of the flat screen relative to an even sky: a slope and a bowl over the field, median 1.

    `size` is about the difference between the extremes.
    """
    u, v = _field(shape, origin, radius)
    turn, bowl, twist = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.6), rng.uniform(-0.3, 0.3)
    slope = 0.3 * (u * np.cos(turn) + v * np.sin(turn))
    light = 1 + size * (slope + bowl * (u**2 + v**2) + twist * u * v)
    return (light / np.median(light)).astype(np.float32)


def fringe_pattern(shape: tuple[int, int], amplitude: float, period: float, rng: np.random.Generator) -> np.ndarray:
    """Fringes (ny, nx) float32 relative to the sky, mean 0: sinusoids of a phase that follows the thickness.

    The standard deviation is that of a sine of this `amplitude`; `period` px is the typical distance of the fringes.
    """
    ny, nx = shape
    if amplitude == 0:
        return np.zeros(shape, np.float32)
    y, x = np.ogrid[:ny, :nx]
    y, x = y.astype(np.float32), x.astype(np.float32)
    thickness = np.zeros(shape, np.float32)
    for _ in range(3):
        turn, length = rng.uniform(0, 2 * np.pi), rng.uniform(6, 14) * period
        wave = (x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn))) * np.float32(2 * np.pi / length)
        thickness += np.sin(wave + np.float32(rng.uniform(0, 2 * np.pi)))
    thickness *= np.float32(2.0)  # rad: bends the fringes by about a third of their distance
    pattern = np.zeros(shape, np.float32)
    for strength in 0.6 ** np.arange(_WAVES):
        turn, length = rng.uniform(0, np.pi), period * rng.uniform(0.7, 1.5)
        wave = (x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn))) * np.float32(2 * np.pi / length)
        pattern += np.float32(strength) * np.sin(wave + thickness + np.float32(rng.uniform(0, 2 * np.pi)))
    pattern -= pattern.mean(dtype=float)
    return (pattern * (amplitude / np.sqrt(2) / pattern.std(dtype=float))).astype(np.float32)


def glow(layout: _Layout, dark: float, brightest: float) -> np.ndarray:
    """Dark current (ny, nx) float32, electrons per second: even, and a glow around the corner of each amplifier."""
    ny, nx = layout.trimmed
    y, x = np.ogrid[:ny, :nx]
    current = np.full((ny, nx), dark, np.float32)
    reach = 0.15 * max(ny, nx)
    for amplifier in layout.amplifiers:
        row = ny - 1 if amplifier.backwards[0] else 0
        column = amplifier.target[1].stop - 1 if amplifier.backwards[1] else amplifier.target[1].start
        along_y = np.exp(-np.abs(y - row) / reach).astype(np.float32)
        current += brightest * along_y * np.exp(-np.abs(x - column) / reach).astype(np.float32)
    return current


def _field(shape: tuple[int, int], origin: tuple[float, float], radius: float) -> tuple[np.ndarray, np.ndarray]:
    """(1, nx) and (ny, 1) distances from the optical axis in radii of the field."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (x + origin[0]) / radius, (y + origin[1]) / radius
