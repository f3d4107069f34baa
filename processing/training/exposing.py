"""Raw exposures of a field: the camera with its defects, flagged and unflagged, particles, trails and ghosts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from processing.algorithms.readout import Frames
from processing.algorithms.simulation import Sky
from processing.algorithms.simulation_detector import Detector, DetectorParameters, cosmic_rays, make_detector, read_out
from processing.algorithms.simulation_readout import Trail, trail_light
from processing.algorithms.simulation_render import Frame, render
from processing.instruments.base import RawSection
from processing.providers import Calibrators
from processing.training.fields import BAND, FULL_WELL
from products.pixel_flags import PixelFlag

EXPOSURE_TIME = 60.0  # s
SECTION = "N1"
_RAYS = 60.0, 700.0  # strong and weak particles per Mpx; no search of a single image finds the weak ones
_WEAK = (0.03, 0.4)  # part of the charge of the others
_TRAIL = (0.7, 25.0)  # σ of the sky, middle of a trail
_GHOST = 1.2e-3  # largest crosstalk
_BAD_FLAT = 0.004  # noise of a pixel of the flat


@dataclass(frozen=True)
class Artefacts:
    """What does not come from the sky, (ny, nx) bool each."""

    rays: np.ndarray
    defects: np.ndarray  # hot pixels and bad columns
    trails: np.ndarray
    ghosts: np.ndarray
    full: np.ndarray  # saturated, or close to it


@dataclass(frozen=True)
class Exposed:
    """One raw exposure with what calibrates it."""

    raw: RawSection
    calibrators: Calibrators
    artefacts: Artefacts


def detector_of(seed: int, side: int) -> Detector:
    """The CCD of a field: the same in all its exposures."""
    rng = np.random.default_rng([seed, 3])
    parameters = DetectorParameters(
        bad_columns=int(rng.integers(1, 5)), hot_pixels=int(rng.integers(5, 30) * side**2 / 1e6 + 1), cosmic_rays=0.0
    )
    return make_detector((side, side), parameters, seed=seed)


def expose(sky: Sky, frame: Frame, mjd: float, detector: Detector, seed: list[int]) -> Exposed:
    """Expose a sky and read it out; what is wrong with it is drawn from `seed`."""
    rng = np.random.default_rng(seed)
    light, _ = render(sky, frame, mjd)
    light, unflat = _uneven(light, detector, rng)
    trails = trail_light(frame.shape, _trails(frame, rng))
    rays = _rays(frame.shape, rng)
    ghosts = _ghosts(light, rng)
    raw = read_out(
        light + trails + rays / detector.response + ghosts, detector, exposure_time=EXPOSURE_TIME, rng=rng,
        has_cosmic_rays=False,
    )  # fmt: skip
    noise = np.sqrt(frame.sky)
    artefacts = Artefacts(
        rays=rays > 0.7 * noise,
        defects=unflat | (detector.dark * EXPOSURE_TIME > 2 * noise) | (detector.response < 0.2),
        trails=trails > 0.3 * noise,
        ghosts=ghosts > 0.3 * noise,
        full=light > 0.8 * FULL_WELL,
    )
    section = RawSection(
        section=SECTION, filter=BAND, data=raw, amplifiers=detector.amplifiers, wcs=_header(frame, rng), zero_point=None
    )
    return Exposed(section, calibrators_of(detector, rng), artefacts)


def calibrators_of(detector: Detector, rng: np.random.Generator) -> Calibrators:
    """Bias and flat with the noise of measured ones; they know the dead columns, and half of the hot pixels."""
    shape = detector.shape
    bias = detector.structure + rng.normal(0, 0.6, shape).astype(np.float32)
    flat = detector.response * (1 + rng.normal(0, _BAD_FLAT, shape).astype(np.float32))
    hot = (detector.dark * EXPOSURE_TIME > 50) & (np.random.default_rng(17).random(shape) < 0.5)
    bad = np.where(hot, np.uint16(PixelFlag.BAD), np.uint16(0))
    return Calibrators(Frames(bias=bias, flat=flat, bad_pixels=bad), ("overscan", "bias", "flat", "bad_pixels"))


def _uneven(light: np.ndarray, detector: Detector, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The light behind columns whose response changed after the flat was taken, and where that is."""
    light, where = light.copy(), np.zeros(light.shape, bool)
    for _ in range(rng.poisson(1.5)):
        column, start = int(rng.integers(4, light.shape[1] - 4)), int(rng.uniform(0, 0.8) * len(light))
        rows = slice(start, start + int(rng.uniform(20, 400)))
        light[rows, column] *= 1 + rng.choice([-1, 1]) * rng.uniform(0.03, 0.4)
        where[rows, column] = True
    return light, where


def _trails(frame: Frame, rng: np.random.Generator) -> list[Trail]:
    side, noise = frame.shape[0], np.sqrt(frame.sky)
    return [
        Trail(
            x=float(rng.uniform(0, side)), y=float(rng.uniform(0, side)), angle=float(rng.uniform(0, 180)),
            brightness=float(noise * np.exp(rng.uniform(*np.log(_TRAIL)))), width=float(rng.uniform(1, 4)),
            fwhm=frame.seeing.fwhm,
        )
        for _ in range(int(rng.random() < 0.3))
    ]  # fmt: skip


def _rays(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    strong, faint = (number * shape[0] * shape[1] / 1e6 for number in _RAYS)
    hits = cosmic_rays(shape, rng.poisson(strong), rng)
    for _ in range(8):  # of different strengths
        strength = np.float32(np.exp(rng.uniform(*np.log(_WEAK))))
        hits += strength * cosmic_rays(shape, rng.poisson(faint / 8), rng)
    return hits


def _ghosts(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crosstalk of saturated stars, mirrored into the other amplifier. Fainter ghosts would look like sources."""
    if rng.random() > 0.4:
        return np.zeros_like(light)
    full = np.minimum(light, np.float32(FULL_WELL)) * (light > FULL_WELL)
    return np.float32(rng.uniform(0.1, 1) * _GHOST) * full[:, ::-1]


def _header(frame: Frame, rng: np.random.Generator):
    """What the telescope believes: no distortion, and off by some arcsec."""
    error, turn = rng.normal(0, 4, 2) / 3600, float(rng.normal(0, 0.03))
    projection = frame.projection
    return replace(
        projection, ra=projection.ra + float(error[0]), dec=projection.dec + float(error[1]),
        rotation=projection.rotation + turn,
    ).header()  # fmt: skip
