"""From ADU to electrons with bias, dark and flat, a variance that knows the source noise, and flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processing.algorithms.overscan import Amplifier
from processing.errors import BadInput

_SQUARE_3, _SQUARE_5 = np.full(3, 1), np.full(5, 2)  # half-widths of the rows of the two kernels
_DEAD = 0.2  # relative response below which a pixel of the flat is a defect
_HOT = 5.0  # and above which it is one too
_BLEED = 0.7  # of the saturation level: charge of a bleed trail that is not at full well itself


@dataclass(frozen=True)
class Frames:
    """Calibration frames of one CCD, (ny, nx) each; None for what is not applied."""

    bias: np.ndarray | None = None  # ADU
    dark: np.ndarray | None = None  # ADU per second
    flat: np.ndarray | None = None  # relative response
    bad_pixels: np.ndarray | None = None  # bool


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
    variance: np.ndarray  # float32, electrons²; 0 where unusable
    weight: np.ndarray  # float32, inverse variance; 0 where unusable
    flags: np.ndarray  # uint16


def calibrate(
    trimmed: np.ndarray,
    amplifiers: Sequence[Amplifier],
    frames: Frames,
    bits: FlagBits,
    *,
    exposure_time: float,
    saturation_fraction: float = 0.95,
    as_read: np.ndarray | None = None,
) -> Calibrated:
    """Apply the frames to trimmed ADU (ny, nx). Raises BadInput where a frame has another shape.

    With N electrons before the flat f, the variance of a pixel is (RN² + max(N, 0)) / f². Pixels are saturated from
    `saturation_fraction` of the level of their amplifier on: those of `as_read` (ny, nx), since the level is that of
    the numbers before the overscan or a pedestal was subtracted; of `trimmed` where that is None.
    """
    from processing.algorithms.calibration_kernels import calibrate as loop

    for name, frame in vars(frames).items():
        if frame is not None and frame.shape != trimmed.shape:
            raise BadInput(
                what=f"the {name} frame", reason=f"its shape is {frame.shape}, the image's is {trimmed.shape}"
            )
    gain, noise, full = (
        amplifier_plane(amplifiers, trimmed.shape, name) for name in ("gain", "read_noise", "saturation")
    )
    read = np.where(np.isfinite(trimmed), trimmed, 0) if as_read is None else as_read
    flags = _saturation_flags(read, np.float32(saturation_fraction) * full, bits)
    bias, flat = (None if frame is None else np.asarray(frame, np.float32) for frame in (frames.bias, frames.flat))
    dark = None if frames.dark is None else np.asarray(frames.dark, np.float32) * np.float32(exposure_time)
    limits, own_bits = (np.float32(_DEAD), np.float32(_HOT)), (np.uint16(bits.bad), np.uint16(bits.no_weight))
    applied = (bias, dark, flat, frames.bad_pixels)
    electrons, variance = loop(trimmed.astype(np.float32, copy=False), gain, noise, *applied, flags, limits, own_bits)
    weight = np.divide(1, variance, out=np.zeros_like(variance), where=variance > 0)
    return Calibrated(electrons, variance, weight, flags)


def amplifier_plane(amplifiers: Sequence[Amplifier], shape: tuple[int, int], name: str) -> np.ndarray:
    """A number of each amplifier spread over its pixels: (ny, nx) float32."""
    plane = np.zeros(shape, np.float32)
    for amplifier in amplifiers:
        plane[amplifier.target] = getattr(amplifier, name)
    return plane


def _saturation_flags(adu: np.ndarray, full: np.ndarray, bits: FlagBits) -> np.ndarray:
    """Flag full pixels grown by 2 px, and the bright pixels of the same column that their charge spilt into."""
    from processing.algorithms.calibration_kernels import along_columns
    from processing.algorithms.pixel_loops import paint_discs

    core = adu >= full
    flags = np.zeros(adu.shape, np.uint16)
    if not core.any():
        return flags
    saturated = paint_discs(core, _SQUARE_5)
    flags[saturated] |= bits.saturated
    spilt = paint_discs(along_columns(core, adu >= np.float32(_BLEED) * full), _SQUARE_3)
    flags[spilt & ~saturated] |= bits.bleed
    return flags


def normalise_flat(flat: np.ndarray, amplifiers: Sequence[Amplifier]) -> np.ndarray:
    """A flat frame in electrons over its median, (ny, nx) float32: amplifiers of any gain meet without a step."""
    electrons = flat * amplifier_plane(amplifiers, flat.shape, "gain")
    level = float(np.median(electrons))
    if not level > 0:
        raise BadInput(what="a flat frame", reason=f"its median is {level:.1f} electrons above the bias")
    return (electrons / level).astype(np.float32)
