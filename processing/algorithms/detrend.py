"""From linear ADU to electrons: gain, response, a weight that knows the source noise, and flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processing.algorithms.overscan import Amplifier
from processing.algorithms.readout import Frames

_SQUARE_3, _SQUARE_5 = np.full(3, 1), np.full(5, 2)  # half-widths of the rows of the two kernels
_DEAD = 0.2  # response, as part of that of the CCD, below which a pixel of the flat is a defect
_HOT = 5.0  # and above which it is one too
_BLEED = 0.7  # of the saturation level: charge of a bleed trail that is not at full well itself


@dataclass(frozen=True)
class FlagBits:
    """The bits to set in the flags plane."""

    bad: int
    saturated: int
    bleed: int
    no_weight: int


@dataclass(frozen=True)
class Calibrated:
    """A calibrated CCD; all (ny, nx)."""

    data: np.ndarray  # float32, electrons
    weight: np.ndarray  # float32, inverse variance; 0 where unusable
    flags: np.ndarray  # uint16


def calibrate(
    adu: np.ndarray,
    amplifiers: Sequence[Amplifier],
    frames: Frames,
    bits: FlagBits,
    *,
    exposure_time: float = 0.0,
    saturation_fraction: float = 0.95,
    as_read: np.ndarray | None = None,
) -> Calibrated:
    """Electrons with weight and flags from the linear ADU (ny, nx) of `correct_adu`.

    With N electrons and D of them from the dark current, which is subtracted already, the variance of a pixel behind
    the response f (flat times illumination) is (RN² + max(N + D, 0)) / f². Pixels are saturated from
    `saturation_fraction` of the level of their amplifier on: those of `as_read` (ny, nx), since the level is that of
    the numbers before the overscan or a pedestal was subtracted; of `adu` where that is None. Raises BadInput for a
    frame of another shape.
    """
    from processing.algorithms.calibration_kernels import calibrate as loop

    frames.require_shape(adu.shape)
    which = _numbers(amplifiers, adu.shape)
    gain, noise, full = (
        np.array([getattr(one, name) for one in amplifiers], np.float32)
        for name in ("gain", "read_noise", "saturation")
    )
    read = np.where(np.isfinite(adu), adu, 0) if as_read is None else as_read
    flags = _saturation_flags(read, np.float32(saturation_fraction) * full, which, bits)
    if frames.bad_pixels is not None:
        flags |= _as_flags(frames.bad_pixels, bits)
    flat, illumination, dark = (
        None if frame is None else np.asarray(frame, np.float32)
        for frame in (frames.flat, frames.illumination, frames.dark)
    )
    dark = None if dark is None else dark * np.float32(exposure_time)
    level = np.float32(1) if flat is None else np.float32(_middle(flat))
    limits = np.float32(_DEAD) * level, np.float32(_HOT) * level
    own_bits = np.uint16(bits.bad), np.uint16(bits.no_weight)
    applied = (dark, flat, illumination)
    data, weight = loop(adu.astype(np.float32, copy=False), which, gain, noise, *applied, flags, limits, own_bits)
    return Calibrated(data, weight, flags)


def amplifier_plane(amplifiers: Sequence[Amplifier], shape: tuple[int, int], name: str) -> np.ndarray:
    """A number of each amplifier spread over its pixels: (ny, nx) float32."""
    plane = np.zeros(shape, np.float32)
    for amplifier in amplifiers:
        plane[amplifier.target] = getattr(amplifier, name)
    return plane


def _numbers(amplifiers: Sequence[Amplifier], shape: tuple[int, int]) -> np.ndarray:
    """The place of each pixel's amplifier in the list: (ny, nx) uint8."""
    plane = np.zeros(shape, np.uint8)
    for number, amplifier in enumerate(amplifiers):
        plane[amplifier.target] = number
    return plane


def _middle(flat: np.ndarray) -> float:
    """The median of the finite values of every fourth pixel: a CCD may be far from the level of the focal plane."""
    sample = flat[::4, ::4]
    return float(np.median(sample[np.isfinite(sample)])) if np.isfinite(sample).any() else 1.0


def _as_flags(bad_pixels: np.ndarray, bits: FlagBits) -> np.ndarray:
    if bad_pixels.dtype == bool:
        return bad_pixels.astype(np.uint16) * np.uint16(bits.bad)
    return bad_pixels.astype(np.uint16, copy=False)


def _saturation_flags(adu: np.ndarray, full: np.ndarray, which: np.ndarray, bits: FlagBits) -> np.ndarray:
    """Flag full pixels grown by 2 px, and the bright pixels of the same column that their charge spilt into."""
    from processing.algorithms.calibration_kernels import along_columns, at_least
    from processing.algorithms.pixel_loops import paint_discs

    core = at_least(adu, full, which)
    flags = np.zeros(adu.shape, np.uint16)
    if not core.any():
        return flags
    saturated = paint_discs(core, _SQUARE_5)
    flags[saturated] |= bits.saturated
    spilt = paint_discs(along_columns(core, at_least(adu, np.float32(_BLEED) * full, which)), _SQUARE_3)
    flags[spilt & ~saturated] |= bits.bleed
    return flags
