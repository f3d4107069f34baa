"""What master frames are made of: the raw frames of one CCD, corrected one by one, and which of them are fit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from processing.algorithms.frame_quality import (
    AcceptanceParameters,
    Expected,
    FrameFigures,
    frame_figures,
    refused_alone,
    refused_among,
)
from processing.algorithms.master_stacking import FrameStore, Master, MasterStackParameters, MemoryStore, ReadNoise
from processing.algorithms.overscan import Amplifier, trimmed_shape
from processing.algorithms.readout import Exposed, Frames, RawCcd, correct_adu
from processing.errors import BadInput, StepError, TooFewFrames
from processing.instruments.base import RawSection
from processing.parameters import Parameters, param
from products.models import CalibratorFile, Exposure
from products.models.masters import MasterFrame
from products.pixel_flags import PixelFlag

_FULL = 0.98  # of the saturation level: a pixel of a calibration frame that must not be believed
_ROWS = 4  # every so many rows tell how much of a frame is saturated


class CalibratingParameters(Parameters):
    """How frames are chosen and combined."""

    stack: MasterStackParameters = param(MasterStackParameters(), help="How the frames are combined.")
    acceptance: AcceptanceParameters = param(AcceptanceParameters(), help="When a frame is left out.")
    min_frames: int = param(3, ge=1, help="Fewer usable frames than this are refused.")


@dataclass(frozen=True)
class Corrections:
    """What is known of the CCD already, and undone in its raw frames before they are combined."""

    frames: Frames = field(default_factory=Frames)
    order: tuple[str, ...] = ()  # beside the overscan, which goes first wherever there is one
    files: tuple[CalibratorFile, ...] = ()


@dataclass(frozen=True)
class RawStack:
    """The raw frames of one CCD that may go into one master frame; each is read when it is asked for."""

    frames: Sequence[RawSection]
    exposures: tuple[Exposure, ...]
    section: str
    band: str = ""  # filter; empty for what serves every filter
    neighbours: Callable[[int], Mapping[str, RawCcd]] = lambda index: {}  # other CCDs whose light leaves ghosts here
    levels: tuple[float, ...] = ()  # electrons, of the whole focal plane in each exposure; empty where there is one CCD
    store: Callable[[], FrameStore] = MemoryStore  # where corrected frames wait

    def facts(self, files: Sequence[CalibratorFile] = ()) -> dict[str, object]:
        """The columns of an image that is made of these frames with these calibrators."""
        first = self.exposures[0]
        names = [str(row.pk) for row in self.exposures] + [str(row.image_id or row.data_file_id) for row in files]
        return {
            "section": self.section,
            "instrument": first.instrument,
            "telescope": first.telescope,
            "filter": self.band,
            "mjd": min(row.mjd for row in self.exposures),
            "mjd_end": max(row.mjd for row in self.exposures),
            "exposure_time": sum(row.exposure_time for row in self.exposures),
            "components_digest": hashlib.sha256(",".join(sorted(names)).encode()).hexdigest()[:20],
            "ra": first.ra,
            "dec": first.dec,
        }


@dataclass(frozen=True)
class Prepared:
    """A corrected frame as it is stacked."""

    frame: np.ndarray  # (ny, nx) float32
    scale: float  # what it was divided by


@dataclass(frozen=True)
class Kind:
    """How frames of one kind are prepared and judged."""

    name: str  # for people
    prepare: Callable[[np.ndarray, RawSection, Exposure], Prepared]  # from linear ADU above the bias
    in_electrons: bool = False
    has_light: bool = False
    is_lamp: bool = False
    must_fit: Callable[[Exposure], str] = lambda exposure: ""  # why an exposure is not of this kind


@dataclass
class Collected:
    """The frames that can be used, and why the others cannot."""

    kind: Kind
    store: FrameStore
    amplifiers: tuple[Amplifier, ...] = ()
    used: list[int] = field(default_factory=list)  # places in the store
    exposures: list[Exposure] = field(default_factory=list)  # of all that are in the store
    scales: list[float] = field(default_factory=list)
    figures: list[FrameFigures] = field(default_factory=list)
    places: list[int] = field(default_factory=list)  # in the raw stack
    rejected: dict[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the frames."""
        return trimmed_shape(self.amplifiers)

    def used_scales(self) -> list[float]:
        """Those of the frames that are used."""
        return [self.scales[index] for index in self.used]

    def used_exposures(self) -> list[Exposure]:
        """Those that go into the master frame."""
        return [self.exposures[index] for index in self.used]

    def used_figures(self) -> list[FrameFigures]:
        """Those of the frames that are used."""
        return [self.figures[index] for index in self.used]

    def noise(self) -> ReadNoise:
        """The noise model of the stack."""
        return ReadNoise.of(self.amplifiers, self.shape, in_electrons=self.kind.in_electrons)

    def reject(self, index: int, reason: str) -> None:
        """Leave out a frame that is in the store."""
        self.used.remove(index)
        self.rejected[self.exposures[index].name] = reason

    def require(self, needed: int) -> None:
        """TooFewFrames, with every reason, where less than `needed` are left."""
        if len(self.used) < needed:
            raise TooFewFrames(kind=self.kind.name, used=len(self.used), needed=needed, rejected=dict(self.rejected))


def corrected(raw: RawSection, corrections: Corrections, exposed: Exposed) -> np.ndarray:
    """Linear ADU above the bias of the trimmed frame, (ny, nx) float32, as far as it can be corrected."""
    has_overscan = any(amplifier.bias is not None for amplifier in raw.amplifiers)
    order = ("overscan", *corrections.order) if has_overscan else corrections.order
    data = raw.data if has_overscan or not raw.pedestal else raw.data - np.float32(raw.pedestal)
    return correct_adu(data, raw.amplifiers, corrections.frames, order, exposed)


def collect(
    raw: RawStack, kind: Kind, corrections: Corrections, parameters: CalibratingParameters, store: FrameStore
) -> Collected:
    """Read, correct and judge every frame once, and keep those that can be used in `store`; the levels decide last.

    TooFewFrames where less are left than are needed.
    """
    found = Collected(kind, store)
    for place, exposure in enumerate(raw.exposures):
        if reason := _added(found, raw, place, corrections, parameters):
            found.rejected[exposure.name] = reason
    accept = parameters.acceptance
    among = refused_among(found.figures, accept, has_light=kind.has_light, is_lamp=kind.is_lamp)
    for index, reason in sorted(among.items()):
        found.reject(index, reason)
    found.require(parameters.min_frames)
    return found


def _added(
    found: Collected, raw: RawStack, place: int, corrections: Corrections, parameters: CalibratingParameters
) -> str:
    """Add one frame; the reason where it cannot be used."""
    exposure, kind = raw.exposures[place], found.kind
    if reason := kind.must_fit(exposure):
        return reason
    try:
        section = raw.frames[place]
    except StepError as error:
        return f"it cannot be read: {error}"
    if found.amplifiers and not alike(section.amplifiers, found.amplifiers):
        return "its size or its amplifiers are not those of the first frame"
    exposed = Exposed(raw.section, exposure.exposure_time, raw.neighbours(place))
    adu = corrected(section, corrections, exposed)
    prepared = kind.prepare(adu, section, exposure)
    expected = _expected(section.amplifiers, adu.shape, kind.in_electrons, prepared.scale)
    figures = frame_figures(prepared.frame, ~np.isfinite(prepared.frame), _saturated(section), expected)
    if kind.has_light:
        figures = _in_electrons(figures, prepared.scale)
    if reason := refused_alone(figures, parameters.acceptance, has_light=kind.has_light):
        return reason
    found.amplifiers = found.amplifiers or section.amplifiers
    found.store.add(prepared.frame)
    found.used.append(len(found.exposures))
    found.exposures.append(exposure)
    found.scales.append(prepared.scale)
    found.figures.append(figures)
    found.places.append(place)
    return ""


def alike(one: Sequence[Amplifier], other: Sequence[Amplifier]) -> bool:
    return [(a.name, a.data, a.target) for a in one] == [(a.name, a.data, a.target) for a in other]


def _saturated(raw: RawSection) -> float:
    """Part of the pixels of a frame that are full, as read."""
    full = size = 0
    for amplifier in raw.amplifiers:
        values = raw.data[amplifier.data][::_ROWS]
        full += int(np.count_nonzero(values >= _FULL * amplifier.saturation))
        size += values.size
    return full / max(size, 1)


def _expected(amplifiers: Sequence[Amplifier], shape: tuple[int, int], in_electrons: bool, scale: float) -> Expected:
    """Means over the amplifiers, in the unit of the stack."""
    unit = [1.0 if in_electrons else 1 / amplifier.gain for amplifier in amplifiers]
    read = [(amplifier.read_noise * one) ** 2 for amplifier, one in zip(amplifiers, unit)]
    full = [amplifier.saturation * amplifier.gain for amplifier in amplifiers]
    return Expected(float(np.mean(read)) / scale**2, float(np.mean(unit)) / scale, min(full))


def _in_electrons(figures: FrameFigures, scale: float) -> FrameFigures:
    """The level as people know it; the cells stay relative."""
    names = ("level", "cells", "noise_of_cell", "noise_of_pixel")
    return replace(figures, **{name: getattr(figures, name) * scale for name in names})


def electrons(adu: np.ndarray, raw: RawSection) -> np.ndarray:
    """Linear ADU (ny, nx) float32 in electrons, by the gain of each amplifier; `adu` itself is changed."""
    for amplifier in raw.amplifiers:
        adu[amplifier.target] *= np.float32(amplifier.gain)
    return adu


def own_level(frame: np.ndarray, exposure: Exposure) -> float:
    """The median of a frame with light; BadInput where there is none."""
    level = float(np.nanmedian(frame[::3, ::3]))
    if not level > 0:
        raise BadInput(what="a flat frame", reason=f"{exposure.name} has a median of {level:.1f} electrons")
    return level


def figures_of(found: Collected, master: Master, **more: Any) -> dict[str, Any]:
    """Figures of quality that every stack has, as plain JSON."""
    variance = master.variance[::4][~master.is_empty[::4]]
    return {
        "frames": len(found.used),
        "rejected": len(found.rejected),
        "noise": float(np.sqrt(np.median(variance))) if variance.size else None,
        "noise_ratio": round(master.noise_ratio, 4),
        **more,
    }


def master_frame(
    cls: type[MasterFrame],
    raw: RawStack,
    corrections: Corrections,
    found: Collected,
    planes: Mapping[str, np.ndarray],
    figures: Mapping[str, Any],
) -> MasterFrame:
    """The product; `planes` are its data, weight and flags."""
    ny, nx = planes["flags"].shape
    image = cls(width=nx, height=ny, **planes, **raw.facts(corrections.files))
    image.read_noise = float(np.median([amplifier.read_noise for amplifier in found.amplifiers]))
    image.exposure_time = sum(row.exposure_time for row in found.used_exposures())
    image.quality = {"figures": dict(figures), "rejected": dict(found.rejected)}
    image.related = {
        "calibrators": [file.pk for file in corrections.files],
        "raw_exposures": [row.pk for row in found.used_exposures()],
    }
    return image.set_position(image.ra, image.dec)


def planes_of(master: Master, empty_value: float = 0.0) -> dict[str, np.ndarray]:
    """Data, weight and flags of a stack; pixels without any value get `empty_value` and a flag."""
    empty = master.is_empty
    flags = np.where(empty, int(PixelFlag.BAD), 0).astype(np.uint16)
    data = np.where(empty, np.float32(empty_value), master.data)
    return {"data": data, "weight": master.weight, "flags": flags}
