"""Expose a simulated CCD and read it out: light → charge → measured ADU → raw frame, with the truth beside it.

The order is that of nature: response and fringes, photons, cosmic rays, full well with bleeding, gain, non-linearity,
crosstalk, bias, read noise, converter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import ndtr

from processing.algorithms.overscan import Amplifier
from processing.algorithms.simulation_ccd import Ccd
from processing.algorithms.simulation_detector import bleed, cosmic_rays
from processing.algorithms.simulation_render import Frame, Projection, Seeing, points

_LARGEST_ADU = 65535
_ROWS_AT_ONCE = 256
_WAVE_ROWS = 700.0  # of the slow wave of the bias level


@dataclass(frozen=True)
class Trail:
    """The trail of a satellite: a straight band across the image, blurred by the PSF."""

    x: float  # px from 0, a point on it
    y: float
    angle: float  # degrees, of its direction from the x axis towards the y axis
    brightness: float  # electrons per pixel in the middle, if it were not blurred
    width: float = 3.0  # px
    fwhm: float = 3.0  # px, of the PSF


@dataclass(frozen=True)
class Light:
    """What arrives at the focal plane: electrons in an ideal, even detector at the middle of the field."""

    sky: np.ndarray | float = 0.0  # (ny, nx) or one value
    sources: np.ndarray | float = 0.0
    trails: tuple[Trail, ...] = ()
    is_night: bool = False  # light of the night sky, in which fringes form


@dataclass(frozen=True)
class Truth:
    """What is truly in a raw frame. Planes are of the trimmed image (ny, nx)."""

    expected: np.ndarray  # float32, electrons with neither noise nor detector nor fringes nor trails
    variance: np.ndarray  # float32, electrons² of `expected` after dark, response and fringes were taken out
    saturated: np.ndarray  # bool: at full well, or at the end of the converter
    bleed: np.ndarray  # bool: holds charge that spilt from another pixel
    trail_light: np.ndarray  # float32, electrons like `expected`
    trail: np.ndarray  # bool: more than half a sigma of the sky of it
    cosmic_rays: np.ndarray  # float32, electrons of charge
    ghosts: np.ndarray  # float32, ADU of crosstalk
    levels: tuple[np.ndarray, ...] = field(repr=False, default=())  # (rows,) ADU without light, of each amplifier
    sky: float = 0.0  # electrons, the median of the sky


@dataclass(frozen=True)
class Charge:
    """What is in the pixels when the shutter is closed."""

    electrons: np.ndarray  # (ny, nx) float32
    truth: Truth


@dataclass(frozen=True)
class RawFrame:
    """A raw frame and what is in it."""

    raw: np.ndarray  # uint16 ADU, as the layout of the CCD says
    truth: Truth


Sources = Sequence[tuple[str, float, np.ndarray]]  # victim, coefficient, what the source measures in read order


def expose(ccd: Ccd, light: Light, *, exposure_time: float, seed: Sequence[int] | int, rays: bool = True) -> Charge:
    """Collect the charge of one exposure (s); the same `seed` gives the same noise and cosmic rays."""
    rng = np.random.default_rng([*np.atleast_1d(seed), 1])
    p = ccd.parameters
    sky = np.broadcast_to(np.asarray(light.sky * ccd.throughput, np.float32), ccd.shape)
    expected = sky + np.float32(ccd.throughput) * np.asarray(light.sources, np.float32)
    middle = float(np.median(sky[::7, ::7]))
    trail = np.float32(ccd.throughput) * trail_light(ccd.shape, light.trails)
    collected = expected + trail
    if light.is_night:
        collected += ccd.fringe * sky
    collected *= ccd.response
    collected += ccd.dark * np.float32(exposure_time)
    noise = ccd.plane([amplifier.read_noise for amplifier in ccd.layout.amplifiers])
    variance = (collected + noise**2) / ccd.response**2
    electrons = np.empty_like(collected)
    for first in range(0, len(electrons), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        electrons[rows] = rng.poisson(collected[rows])
    hits = np.zeros(ccd.shape, np.float32)
    if rays:
        hits = cosmic_rays(ccd.shape, rng.poisson(p.cosmic_rays * exposure_time * hits.size / 1e6), rng)
        electrons += hits
    full = ccd.full_well
    spilt = bleed(electrons, full)
    with_bleed = spilt > np.minimum(electrons, full) + 0.5
    truth = Truth(
        expected=expected,
        variance=variance,
        saturated=spilt >= full * np.float32(1 - 1e-5),
        bleed=with_bleed,
        trail_light=trail,
        trail=trail > 0.5 * np.sqrt(middle + float(noise.min()) ** 2),
        cosmic_rays=hits,
        ghosts=np.zeros(ccd.shape, np.float32),
        sky=middle,
    )
    return Charge(spilt, truth)


def measured(charge: np.ndarray, ccd: Ccd) -> np.ndarray:
    """Electrons (ny, nx) as the amplifiers measure them: ADU above the level, without noise, float32."""
    found = np.empty_like(charge)
    for amplifier, electronics in zip(ccd.layout.amplifiers, ccd.electronics):
        found[amplifier.target] = electronics.measured(charge[amplifier.target] / np.float32(electronics.gain))
    return found


def in_read_order(plane: np.ndarray, amplifier: Amplifier) -> np.ndarray:
    """The part (rows, columns) of a trimmed image that an amplifier reads, with what it reads first at [0, 0]."""
    return plane[amplifier.target][:: -1 if amplifier.backwards[0] else 1, :: -1 if amplifier.backwards[1] else 1]


def crosstalk_sources(
    ccd: Ccd, signal: np.ndarray, section: str = "", amplifiers: Sequence[Amplifier] | None = None
) -> Sources:
    """What the ghosts of a CCD copy from `signal`, the measured ADU (ny, nx) of its own or another `section`.

    `amplifiers` are those of the other CCD, where they do not stand as those of this one.
    """
    by_name = {amplifier.name: amplifier for amplifier in amplifiers or ccd.layout.amplifiers}
    return [
        (ghost.victim, ghost.coefficient, in_read_order(signal, by_name[ghost.source]))
        for ghost in ccd.ghosts
        if ghost.section == section
    ]


def read_out(charge: Charge, ccd: Ccd, *, seed: Sequence[int] | int, others: Sources = ()) -> RawFrame:
    """Read the charge out: raw ADU uint16; `others` are the sources of crosstalk in other CCDs."""
    rng = np.random.default_rng([*np.atleast_1d(seed), 2])
    signal = measured(charge.electrons, ccd)
    ghosts = _ghosts(ccd, [*crosstalk_sources(ccd, signal), *others])
    signal += ghosts
    signal += ccd.bias
    raw = np.zeros(ccd.layout.shape, np.float32)
    levels = tuple(_levels(ccd, number, rng) for number in range(len(ccd.electronics)))
    for amplifier, area, found, level in zip(ccd.layout.amplifiers, ccd.layout.areas, ccd.electronics, levels):
        raw[amplifier.data] = signal[amplifier.target]
        noise = rng.standard_normal(raw[area].shape, np.float32)
        noise *= np.float32(amplifier.read_noise / found.gain)
        raw[area] += noise + level[area[0], None]
    saturated = charge.truth.saturated.copy()
    raw = np.clip(np.rint(raw), 0, _LARGEST_ADU).astype(np.uint16)
    for amplifier in ccd.layout.amplifiers:
        saturated[amplifier.target] |= raw[amplifier.data] == _LARGEST_ADU
    return RawFrame(raw, replace(charge.truth, saturated=saturated, ghosts=ghosts, levels=levels))


def trail_light(shape: tuple[int, int], trails: Sequence[Trail]) -> np.ndarray:
    """Expected electrons (ny, nx) float32 of trails: bands of an even brightness, blurred by a Gaussian."""
    light = np.zeros(shape, np.float32)
    y, x = np.ogrid[: shape[0], : shape[1]]
    for trail in trails:
        sine, cosine = np.sin(np.radians(trail.angle)), np.cos(np.radians(trail.angle))
        distance = (cosine * (y - trail.y) - sine * (x - trail.x)).astype(np.float32)
        sigma = trail.fwhm / np.sqrt(8 * np.log(2))
        near = np.abs(distance) < trail.width / 2 + 6 * sigma
        edges = [(distance[near] + side * trail.width / 2) / sigma for side in (1, -1)]
        light[near] += trail.brightness * (ndtr(edges[0]) - ndtr(edges[1]))
    return light


def bias_frame(ccd: Ccd, *, seed: Sequence[int] | int) -> RawFrame:
    """A frame without exposure."""
    return read_out(expose(ccd, Light(), exposure_time=0.0, seed=seed, rays=False), ccd, seed=seed)


def dark_frame(ccd: Ccd, exposure_time: float, *, seed: Sequence[int] | int) -> RawFrame:
    """A frame with the shutter closed for `exposure_time` seconds."""
    return read_out(expose(ccd, Light(), exposure_time=exposure_time, seed=seed), ccd, seed=seed)


def dome_flat(ccd: Ccd, level: float, *, seed: Sequence[int] | int, exposure_time: float = 5.0) -> RawFrame:
    """A frame of the flat screen with about `level` electrons; it is lit less evenly than the sky."""
    return sky_frame(ccd, Light(sky=level / ccd.throughput * ccd.screen), seed=seed, exposure_time=exposure_time)


def twilight_flat(
    ccd: Ccd,
    level: float,
    *,
    seed: Sequence[int] | int,
    gradient: tuple[float, float] = (0.0, 0.0),
    stars: int = 0,
    exposure_time: float = 5.0,
) -> RawFrame:
    """A frame of the evening sky with about `level` electrons, its relative change from side to side, and stars."""
    ny, nx = ccd.shape
    y, x = np.ogrid[-0.5 : 0.5 : ny * 1j, -0.5 : 0.5 : nx * 1j]
    sky = level / ccd.throughput * (1 + gradient[0] * x + gradient[1] * y)
    light = Light(sky=sky, sources=twilight_stars((ny, nx), stars * 1e6 / (ny * nx), seed))
    return sky_frame(ccd, light, seed=seed, exposure_time=exposure_time)


def twilight_stars(shape: tuple[int, int], density: float, seed: Sequence[int] | int) -> np.ndarray:
    """Electrons (ny, nx) of the few stars, `density` per Mpx, that are bright enough to be seen in twilight."""
    rng = np.random.default_rng([*np.atleast_1d(seed), 3])
    ny, nx = shape
    number = round(density * ny * nx / 1e6)
    frame = Frame(shape, Projection(0.0, 0.0, (nx / 2, ny / 2), 1.0), Seeing(fwhm=3.0), "r", zero_point=0.0, sky=0.0)
    return points(frame, rng.uniform(0, nx, number), rng.uniform(0, ny, number), 10 ** rng.uniform(3.5, 5.5, number))


def sky_frame(
    ccd: Ccd, light: Light, *, seed: Sequence[int] | int, exposure_time: float, others: Sources = ()
) -> RawFrame:
    """A frame of any light; noise, cosmic rays and the drift of the bias are drawn by `seed`."""
    charge = expose(ccd, light, exposure_time=exposure_time, seed=seed)
    return read_out(charge, ccd, seed=seed, others=others)


def _ghosts(ccd: Ccd, sources: Sources) -> np.ndarray:
    plane = np.zeros(ccd.shape, np.float32)
    amplifiers = {amplifier.name: amplifier for amplifier in ccd.layout.amplifiers}
    levels = {a.name: found.level for a, found in zip(ccd.layout.amplifiers, ccd.electronics)}
    for victim, coefficient, source in sources:
        received = in_read_order(plane, amplifiers[victim])  # a view
        ny, nx = (min(sizes) for sizes in zip(received.shape, source.shape))
        end = np.float32(_LARGEST_ADU - levels[victim])  # the chain of the source does not give more than this
        received[:ny, :nx] += np.float32(coefficient) * np.minimum(source[:ny, :nx], end)
    return plane


def _levels(ccd: Ccd, number: int, rng: np.random.Generator) -> np.ndarray:
    """ADU without light of each raw row of an amplifier: level, its drift, slope and wave in this frame, its jumps."""
    found, amplifier = ccd.electronics[number], ccd.layout.amplifiers[number]
    rows = np.arange(ccd.layout.shape[0])
    offset, slope, wave = rng.normal(0, ccd.parameters.drift, 3)
    phase = rng.uniform(0, 2 * np.pi)
    level = found.level + offset + slope * rows / len(rows)
    level += 0.3 * wave * np.sin(2 * np.pi * rows / _WAVE_ROWS + phase)
    for row, size in zip(amplifier.jumps, found.jumps):
        later = slice(0, row) if amplifier.backwards[0] else slice(row, None)
        level[later] += size * rng.normal(1, 0.1)
    return level.astype(np.float32)
