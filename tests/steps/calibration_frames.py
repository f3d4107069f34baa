"""Raw frames of one simulated CCD of a real camera, as the steps that make calibrators take them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from processing.algorithms.readout import Frames
from processing.algorithms.simulation_ccd import Ccd
from processing.algorithms.simulation_readout import RawFrame, bias_frame, dark_frame, dome_flat, twilight_flat
from processing.instruments.base import RawSection
from processing.steps.raw_stack import Corrections, RawStack
from products.models import Exposure
from tests.algorithms.raw_ccds import small_ccd, small_exposure, small_night_flat

SECTION, BAND = "N1", "z"
RAMP = (0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 21.0, 22.0)  # s
MONITOR = 5.0  # s, of the flats between those of the ramp


def exposures(kind: str, times: Sequence[float], light: str = "") -> tuple[Exposure, ...]:
    """Rows of exposures one minute apart."""
    return tuple(
        Exposure(
            name=f"{kind}-{number}", kind=kind, instrument="camera", mjd=61366.9 + number / 1440, exposure_time=time,
            filter="" if kind in ("bias", "dark") else BAND, header={"flat_type": light} if light else {},
        ).set_position(52.1, -27.8)
        for number, time in enumerate(times)
    )  # fmt: skip


def stack(ccd: Ccd, frames: Sequence[RawFrame], kind: str, times: Sequence[float], light: str = "") -> RawStack:
    """Frames of a CCD as they are read."""
    sections = tuple(RawSection(SECTION, BAND, frame.raw, ccd.layout.amplifiers, None) for frame in frames)
    return RawStack(sections, exposures(kind, times, light), SECTION, "" if kind in ("bias", "dark") else BAND)


def truly(ccd: Ccd, *order: str, **frames: np.ndarray) -> Corrections:
    """Corrections with the true tables of the CCD, its true bias, and the `frames` that are given."""
    known = {"crosstalk": ccd.crosstalk_table(), "linearity": ccd.linearity_table(), "bias": ccd.bias} | frames
    return Corrections(Frames(**{name: known[name] for name in order}), order)


@lru_cache
def ccd_of(**changes: float) -> Ccd:
    """The CCD of these tests; `changes` are of its parameters."""
    return small_ccd(1, **changes)


@lru_cache
def biases(number: int = 8) -> RawStack:
    """Frames without exposure."""
    ccd = ccd_of()
    return stack(ccd, [bias_frame(ccd, seed=seed) for seed in range(number)], "bias", [0.0] * number)


@lru_cache
def darks(times: tuple[float, ...] = (60.0, 300.0, 300.0, 300.0, 600.0)) -> RawStack:
    """Frames with the shutter closed."""
    ccd = ccd_of()
    return stack(ccd, [dark_frame(ccd, time, seed=50 + k) for k, time in enumerate(times)], "dark", times)


@lru_cache
def flats(levels: tuple[float, ...] = (27e3, 28e3, 29e3, 30e3, 31e3) * 4, light: str = "dome") -> RawStack:
    """Frames of the screen, or of the sky at twilight."""
    ccd = ccd_of()
    frames = [
        dome_flat(ccd, level, seed=100 + k)
        if light == "dome"
        else twilight_flat(ccd, level, seed=100 + k, gradient=(0.0, 0.0), stars=20)
        for k, level in enumerate(levels)
    ]
    return stack(ccd, frames, "flat", [5.0] * len(levels), light)


@lru_cache
def night_skies(fringes: float, number: int = 12) -> RawStack:
    """Exposures of different fields."""
    ccd = ccd_of(fringes=fringes)
    return stack(ccd, [small_night_flat(ccd, seed) for seed in range(number)], "science", [60.0] * number)


@lru_cache
def ramp(drift: float = 0.01) -> RawStack:
    """Flats of rising exposure time, and between them such of one; the lamp changes by `drift` and back."""
    ccd = ccd_of()
    full = min(found.full * found.gain for found in ccd.electronics)
    times = [time for one in RAMP for time in (one, MONITOR)]
    frames = [
        dome_flat(
            ccd, 0.97 * full * time / RAMP[-1] * (1 + drift * np.sin(number / 9)), seed=200 + number, exposure_time=time
        )
        for number, time in enumerate(times)
    ]
    return stack(ccd, frames, "flat", times, "dome")


@lru_cache
def starry(number: int = 4) -> RawStack:
    """Exposures with bright stars."""
    ccd = ccd_of()
    return stack(ccd, [small_exposure(ccd, seed + 1) for seed in range(number)], "science", [60.0] * number)
