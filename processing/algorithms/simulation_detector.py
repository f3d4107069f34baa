"""A simulated CCD: two amplifiers with overscan, uneven response, defects, saturation with bleeding, cosmic rays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from processing.algorithms.overscan import Amplifier
from processing.parameters import Parameters, param

_LARGEST_ADU = 65535


class DetectorParameters(Parameters):
    """What the CCD is like. Pairs are of the left and the right amplifier."""

    gains: tuple[float, float] = param((1.62, 1.79), unit="electron/ADU", help="Electrons per ADU.")
    read_noises: tuple[float, float] = param((4.6, 5.4), unit="electron", help="Read noise.")
    bias_levels: tuple[float, float] = param((1010.0, 985.0), unit="ADU", help="Level without light.")
    overscan: int = param(24, ge=4, unit="px", help="Overscan columns of each amplifier.")
    saturation: float = param(60000.0, gt=5000, le=65000, unit="ADU", help="Full well, as read.")
    drift: float = param(2.0, ge=0, unit="ADU", help="Scatter of the bias level, and of its slope, between frames.")
    column_structure: float = param(1.5, ge=0, unit="ADU", help="Fixed scatter of the bias from column to column.")
    bias_gradient: float = param(6.0, ge=0, unit="ADU", help="Fixed glow towards the first rows.")
    illumination: float = param(0.08, ge=0, lt=0.5, help="Change of the response from side to side.")
    dust: int = param(6, ge=0, help="Out-of-focus dust rings.")
    pixel_scatter: float = param(0.01, ge=0, lt=0.2, help="Scatter of the response from pixel to pixel.")
    bad_columns: int = param(2, ge=0, help="Columns that lose their light from some row on.")
    hot_pixels: int = param(8, ge=0, help="Pixels with a large dark current.")
    hot_rate: float = param(15.0, ge=0, unit="electron/s", help="Typical dark current of a hot pixel.")
    cosmic_rays: float = param(1.0, ge=0, unit="1/Mpx/s", help="Cosmic rays.")


@dataclass(frozen=True)
class Detector:
    """One CCD behind one filter; planes are of the trimmed image (ny, nx), float32."""

    parameters: DetectorParameters
    amplifiers: tuple[Amplifier, ...]  # raw columns: left data, its overscan, right overscan, right data
    structure: np.ndarray  # ADU that the bias differs from its overscan
    response: np.ndarray  # electrons per electron of an ideal detector, median about 1
    dark: np.ndarray  # electrons per second

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the trimmed image."""
        return self.response.shape


def make_detector(
    shape: tuple[int, int], parameters: DetectorParameters | None = None, *, seed: int, color: int = 0
) -> Detector:
    """Make the CCD of this `seed`, the same ever after; `color` numbers the filter, which decides the illumination."""
    p = parameters or DetectorParameters()
    rng = np.random.default_rng([seed, 0])
    ny, nx = shape
    rows = np.arange(ny)[:, None] / ny
    structure = rng.normal(0, p.column_structure, nx)[None, :] + p.bias_gradient * np.exp(-4 * rows)
    dark = np.zeros(shape)
    spots = rng.integers(0, ny, p.hot_pixels), rng.integers(0, nx, p.hot_pixels)
    dark[spots] = p.hot_rate * rng.lognormal(0, 0.8, p.hot_pixels)
    response = dust_shadows(shape, p.dust, rng) * rng.normal(1, p.pixel_scatter, shape)
    response *= _illumination(shape, p.illumination, np.random.default_rng([seed, 1, color]))
    response /= np.median(response)
    for column in rng.integers(4, nx - 4, p.bad_columns):
        start = int(rng.uniform(0.1, 0.7) * ny)
        response[start:, column] *= 0.03
    planes = (plane.astype(np.float32) for plane in (structure, response, dark))
    return Detector(p, _amplifiers(shape, p), *planes)


def read_out(
    expected: np.ndarray,
    detector: Detector,
    *,
    exposure_time: float,
    rng: np.random.Generator,
    has_cosmic_rays: bool = True,
) -> np.ndarray:
    """Expected electrons (ny, nx) of an ideal detector → raw ADU (ny, nx + overscan) uint16, with all noise."""
    p = detector.parameters
    electrons = rng.poisson(expected * detector.response + detector.dark * np.float32(exposure_time))
    electrons = electrons.astype(np.float32)
    if has_cosmic_rays:
        number = rng.poisson(p.cosmic_rays * exposure_time * expected.size / 1e6)
        electrons += cosmic_rays(expected.shape, number, rng)
    full = np.zeros(expected.shape[1], np.float32)
    for amplifier, level in zip(detector.amplifiers, p.bias_levels):
        full[amplifier.target[1]] = (p.saturation - level) * amplifier.gain
    electrons = bleed(electrons, full)
    ny, nx = expected.shape
    raw = np.zeros((ny, nx + len(detector.amplifiers) * p.overscan), np.float32)
    rows = np.arange(ny, dtype=np.float32)[:, None] / ny
    for amplifier, level in zip(detector.amplifiers, p.bias_levels):
        offset, slope = rng.normal(0, p.drift, 2).astype(np.float32)
        raw[amplifier.data] = electrons[amplifier.target] / amplifier.gain + detector.structure[amplifier.target]
        for section in (amplifier.data, amplifier.bias):
            noise = rng.standard_normal(raw[section].shape, np.float32) * (amplifier.read_noise / amplifier.gain)
            raw[section] += level + offset + slope * rows + noise
    return np.clip(np.rint(raw), 0, _LARGEST_ADU).astype(np.uint16)


def bias_frame(detector: Detector, rng: np.random.Generator) -> np.ndarray:
    """A frame without exposure: raw ADU, uint16."""
    dark = np.zeros(detector.shape, np.float32)
    return read_out(dark, detector, exposure_time=0.0, rng=rng, has_cosmic_rays=False)


def flat_frame(detector: Detector, level: float, rng: np.random.Generator, exposure_time: float = 5.0) -> np.ndarray:
    """A frame of an evenly lit screen with `level` electrons per pixel: raw ADU, uint16."""
    screen = np.full(detector.shape, level, np.float32)
    return read_out(screen, detector, exposure_time=exposure_time, rng=rng, has_cosmic_rays=False)


def bleed(electrons: np.ndarray, full_well: np.ndarray) -> np.ndarray:
    """Spill what exceeds the full well (nx,) of a column half up, half down to pixels with room; (ny, nx) float32.

    The charge of a column is kept unless the trail runs off the edge.
    """
    columns = np.flatnonzero((electrons > full_well).any(axis=0))
    found = electrons.astype(np.float32)
    if not len(columns):
        return found
    part, full = found[:, columns].astype(float), full_well[columns].astype(float)
    spilt = np.maximum(part - full, 0) / 2
    part = np.minimum(part, full)
    for rows in (range(len(part)), range(len(part) - 1, -1, -1)):
        carried = np.zeros(len(columns))
        for row in rows:
            carried += spilt[row]
            taken = np.minimum(full - part[row], carried)
            part[row] += taken
            carried -= taken
    found[:, columns] = part
    return found


def cosmic_rays(shape: tuple[int, int], number: int, rng: np.random.Generator) -> np.ndarray:
    """Electrons (ny, nx) float32 of `number` particles: spots of a few pixels, and straight tracks."""
    ny, nx = shape
    hits = np.zeros(shape, np.float32)
    for _ in range(number):
        is_track = rng.random() < 0.5
        length = min(3 + rng.exponential(10), 80) if is_track else rng.uniform(0.2, 1.5)
        per_pixel = rng.lognormal(np.log(1200 if is_track else 2500), 0.7)
        angle = rng.uniform(0, np.pi)
        along = np.arange(0, length, 0.2)
        x = rng.uniform(0, nx) + along * np.cos(angle)
        y = rng.uniform(0, ny) + along * np.sin(angle)
        # The loss along the path fluctuates, with a long tail (Landau), and charge diffuses by a fraction of a pixel.
        charge = 0.2 * per_pixel * rng.gamma(2, 0.5, len(along))
        column = np.floor(x + rng.normal(0, 0.25, len(along))).astype(int)
        row = np.floor(y + rng.normal(0, 0.25, len(along))).astype(int)
        here = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
        np.add.at(hits, (row[here], column[here]), charge[here])
    return hits


def _amplifiers(shape: tuple[int, int], p: DetectorParameters) -> tuple[Amplifier, ...]:
    ny, nx = shape
    half, rows = nx // 2, slice(0, ny)
    edges = np.cumsum([0, half, p.overscan, p.overscan, nx - half])
    left, left_bias, right_bias, right = ((rows, slice(int(a), int(b))) for a, b in pairwise(edges))
    targets = (rows, slice(0, half)), (rows, slice(half, nx))
    return tuple(
        Amplifier(name, data, bias, target, gain, noise, p.saturation)
        for name, data, bias, target, gain, noise in zip(
            "AB", (left, right), (left_bias, right_bias), targets, p.gains, p.read_noises
        )
    )


def dust_shadows(shape: tuple[int, int], number: int, rng: np.random.Generator) -> np.ndarray:
    """Transmission (ny, nx) with rings: the shadows of dust on the window, lit by an annular pupil."""
    transmission = np.ones(shape)
    for _ in range(number):
        x, y = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        outer, depth = rng.uniform(15, 45), rng.uniform(0.01, 0.04)
        box = tuple(slice(max(int(middle - outer) - 10, 0), int(middle + outer) + 10) for middle in (y, x))
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        distance = np.hypot(columns[:, box[1]] - x, rows[box[0]] - y)
        ring = np.tanh((distance - 0.45 * outer) / 1.5) - np.tanh((distance - outer) / 1.5)
        transmission[box] *= 1 - depth * ring / 2
    return transmission


def _illumination(shape: tuple[int, int], size: float, rng: np.random.Generator) -> np.ndarray:
    """Relative light (ny, nx) on the CCD: a slope in some direction and a vignetted corner."""
    v, u = np.ogrid[-0.5 : 0.5 : shape[0] * 1j, -0.5 : 0.5 : shape[1] * 1j]
    turn = rng.uniform(0, 2 * np.pi)
    slope = u * np.cos(turn) + v * np.sin(turn)
    corner = (u + 0.5 * np.sign(np.cos(turn))) ** 2 + (v + 0.5 * np.sign(np.sin(turn))) ** 2
    return 1 + size * (slope - 0.5 * corner)
