"""What the readout adds to the charge of the pixels, taken away again: from raw ADU to linear ADU above the bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from processing.algorithms.overscan import Amplifier, subtract_overscan, trim
from processing.errors import BadInput

LINEARITY = np.dtype([("amplifier", "U8"), ("adu", "f4"), ("linear_adu", "f4")])
CROSSTALK = np.dtype(
    [
        ("amplifier", "U8"),  # that holds the ghost
        ("source_section", "U20"),
        ("source_amplifier", "U8"),
        ("coefficient", "f8"),  # ADU of the ghost over ADU of its source
        ("error", "f8"),
    ]
)
LARGEST_ADU = 65535


@dataclass(frozen=True)
class Frames:
    """Calibration frames and tables of one CCD; None for what is not applied. Planes are (ny, nx)."""

    bias: np.ndarray | None = None  # ADU
    dark: np.ndarray | None = None  # ADU per second
    flat: np.ndarray | None = None  # relative response
    illumination: np.ndarray | None = None  # what the flat misses of the response to the sky
    fringe: np.ndarray | None = None  # mean 0, parts of the sky
    bad_pixels: np.ndarray | None = None  # uint16 flags, or bool
    linearity: np.ndarray | None = None  # (n,) of LINEARITY, sorted within each amplifier, from 0 on
    crosstalk: np.ndarray | None = None  # (n,) of CROSSTALK

    def require_shape(self, shape: tuple[int, int]) -> None:
        """BadInput where a plane has another shape."""
        for name in ("bias", "dark", "flat", "illumination", "fringe", "bad_pixels"):
            plane = getattr(self, name)
            if plane is not None and plane.shape != shape:
                raise BadInput(what=f"the {name} frame", reason=f"its shape is {plane.shape}, the image's is {shape}")


@dataclass(frozen=True)
class RawCcd:
    """The pixels of one CCD as read, and its amplifiers."""

    data: np.ndarray  # (ny, nx) ADU with overscan
    amplifiers: tuple[Amplifier, ...]


@dataclass(frozen=True)
class Exposed:
    """How a CCD was exposed and what was read beside it."""

    section: str = ""  # its name, as crosstalk tables call it
    exposure_time: float = 0.0  # s
    neighbours: Mapping[str, RawCcd] = field(default_factory=dict)  # CCDs whose light leaves ghosts here, by section
    smooth_rows: int = 51  # of the overscan


def correct_adu(
    raw: np.ndarray,
    amplifiers: Sequence[Amplifier],
    frames: Frames,
    order: Sequence[str],
    exposed: Exposed | None = None,
) -> np.ndarray:
    """Undo the readout of `raw` (ny, nx) in `order`: linear ADU of the trimmed image, (ny, nx) float32.

    `order` may name overscan (which comes first), crosstalk, bias, linearity and dark; other names are of later
    corrections and are passed over. Raises BadInput where one is named whose frame or table is missing or does not fit.
    """
    exposed = exposed or Exposed()
    steps = {
        "crosstalk": lambda adu: _subtract_crosstalk(adu, amplifiers, frames.crosstalk, exposed),
        "bias": lambda adu: np.subtract(adu, frames.bias, out=adu),
        "linearity": lambda adu: _linearise(adu, amplifiers, frames.linearity),
        "dark": lambda adu: np.subtract(adu, frames.dark * np.float32(exposed.exposure_time), out=adu),
    }
    adu = subtract_overscan(raw, amplifiers, exposed.smooth_rows) if "overscan" in order else trim(raw, amplifiers)
    frames.require_shape(adu.shape)
    for name in (name for name in order if name in steps):
        if getattr(frames, name) is None:
            raise BadInput(what=f"the {name} correction", reason="there is nothing to make it with")
        adu = steps[name](adu)
    return adu


def linearity_lut(table: np.ndarray, amplifier: str) -> np.ndarray:
    """Linear ADU at every whole ADU from 0 to 65,536 for one amplifier, (65537,) float32.

    Beyond the last entry the curve goes on straight. Raises BadInput where the table does not know the amplifier or
    does not rise.
    """
    rows = table[table["amplifier"] == amplifier]
    measured, linear = rows["adu"].astype(float), rows["linear_adu"].astype(float)
    what = f"the linearity table of amplifier {amplifier}"
    if len(rows) < 2:
        known = ", ".join(sorted({str(name) for name in table["amplifier"]}))
        raise BadInput(what=what, reason=f"it has {len(rows)} entries, at least 2 are needed; the table has {known}")
    if not (np.all(np.diff(measured) > 0) and np.all(np.diff(linear) > 0)):
        raise BadInput(what=what, reason="its columns must rise from entry to entry")
    whole = np.arange(LARGEST_ADU + 2, dtype=float)
    slope = (linear[-1] - linear[-2]) / (measured[-1] - measured[-2])
    lut = np.interp(whole, measured, linear)
    beyond = whole > measured[-1]
    lut[beyond] = linear[-1] + slope * (whole[beyond] - measured[-1])
    return lut.astype(np.float32)


def _linearise(adu: np.ndarray, amplifiers: Sequence[Amplifier], table: np.ndarray) -> np.ndarray:
    from processing.algorithms.readout_kernels import look_up

    for amplifier in amplifiers:
        look_up(adu[amplifier.target], linearity_lut(table, amplifier.name))
    return adu


def _subtract_crosstalk(
    adu: np.ndarray, amplifiers: Sequence[Amplifier], table: np.ndarray, exposed: Exposed
) -> np.ndarray:
    """Subtract from each amplifier the ghosts of all others; `adu` is changed."""
    ghosts = np.zeros_like(adu)
    for victim, source, plane, coefficient in _pairs(adu, amplifiers, table, exposed):
        ghosts[victim.target] += np.float32(coefficient) * as_read_with(victim, source, plane)
    return np.subtract(adu, ghosts, out=adu)


def crosstalk_victims(
    as_read: np.ndarray, amplifiers: Sequence[Amplifier], table: np.ndarray, exposed: Exposed, fraction: float
) -> np.ndarray:
    """Pixels (ny, nx) bool with the ghost of a source that is at full well, whose true charge nobody knows.

    `as_read` (ny, nx) are the trimmed ADU before the overscan was subtracted; a source counts from `fraction` of the
    saturation level on where its ghost has at least one ADU.
    """
    found = np.zeros(as_read.shape, bool)
    for victim, source, plane, coefficient in _pairs(as_read, amplifiers, table, exposed, trim):
        full = plane >= np.float32(fraction * source.saturation)
        if abs(coefficient) * source.saturation >= 1 and full.any():
            found[victim.target] |= as_read_with(victim, source, full)
    return found


def as_read_with(victim: Amplifier, source: Amplifier, plane: np.ndarray) -> np.ndarray:
    """The pixels of `source` (ny, nx) where `victim` reads at the same moments. Raises BadInput for unequal sizes."""
    if victim.size != source.size:
        sizes = f"{victim.size} and {source.size} pixels (rows, columns)"
        reason = f"amplifiers {victim.name} and {source.name} have {sizes}: they are not read side by side"
        raise BadInput(what="the crosstalk table", reason=reason)
    rows, columns = (slice(None, None, -1 if a != b else 1) for a, b in zip(victim.backwards, source.backwards))
    return plane[rows, columns]


def _pairs(adu, amplifiers, table, exposed, prepare=None):
    """(victim, source, its pixels (ny, nx), coefficient) of every row of the table."""
    by_name = {amplifier.name: amplifier for amplifier in amplifiers}
    others: dict[str, np.ndarray] = {}
    for row in table:
        victim, section = by_name.get(str(row["amplifier"])), str(row["source_section"])
        is_own = section in ("", exposed.section)
        found = amplifiers if is_own else getattr(exposed.neighbours.get(section), "amplifiers", ())
        source = next((one for one in found if one.name == str(row["source_amplifier"])), None)
        if victim is None or source is None:
            pair = f"{row['amplifier']} from {section or exposed.section} {row['source_amplifier']}"
            raise BadInput(what="the crosstalk table", reason=f"it speaks of amplifiers that were not read: {pair}")
        if is_own:
            plane = adu[source.target]
        else:
            if section not in others:
                other = exposed.neighbours[section]
                others[section] = prepare(other.data, found) if prepare else subtract_overscan(other.data, found)
            plane = others[section][source.target]
        yield victim, source, plane, float(row["coefficient"])
