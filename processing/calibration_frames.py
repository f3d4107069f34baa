"""The raw exposures that calibrators are made of: which there are, and how one CCD of them is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from processing.algorithms.readout import Exposed, Frames, RawCcd
from processing.calibrator_choice import Kind
from processing.datastore import DataStore
from processing.errors import BadInput, StepError, TooFewFrames
from processing.exposures import sections_of
from processing.instruments.base import RawSection
from processing.providers import raw_section
from processing.steps.calibrating import LAMP, light_of
from processing.steps.raw_stack import Corrections, corrected, electrons
from products.dates import EARLIEST, LATEST
from products.errors import ArchiveError
from products.figures import kept
from products.models import Exposure

# Exposures of which kinds make which calibrator, and whether each filter has its own.
MADE_OF: dict[str, tuple[str, ...]] = {
    Kind.BIAS: ("bias",),
    Kind.DARK: ("dark",),
    Kind.FLAT: ("flat", "science"),
    Kind.FRINGE: ("science",),
    Kind.ILLUMINATION: ("science",),
    Kind.BAD_PIXELS: ("flat",),
    Kind.LINEARITY: ("flat",),
    Kind.CROSSTALK: ("science",),
}
PER_FILTER = (Kind.FLAT, Kind.FRINGE, Kind.ILLUMINATION)
_QUANTILES = np.linspace(0, 100, 201)[1::2]  # of the pixels of a CCD: together they tell the median of all CCDs
_STEP = 8  # px between the pixels that are looked at
_LEAST_RESPONSE = 0.2  # of a flat, below which a pixel is of no use


@dataclass(frozen=True)
class Wish:
    """Which exposures are looked for in the archive."""

    kind: str  # of the calibrator
    instrument: str
    mjd: tuple[float, float] = (EARLIEST, LATEST)  # from, and before
    band: str = ""  # any if empty
    light: str = ""  # of flats: dome, twilight or sky; any but the sky if empty

    def exposures(self) -> list[Exposure]:
        """Those of the archive in order of time, the bad ones among them. BadInput where there is none."""
        kinds = MADE_OF[self.kind]
        if self.kind == Kind.FLAT:
            kinds = ("science",) if self.light == "sky" else ("flat",)
        rows = Exposure.objects.filter(
            instrument=self.instrument, kind__in=kinds, mjd__gte=self.mjd[0], mjd__lt=self.mjd[1]
        )
        found = [row for row in rows.order_by("mjd", "name") if self.fits(row)]
        if not found:
            raise BadInput(what=f"exposures for {self}", reason="the archive has none; take them in: manage.py ingest")
        return found

    def fits(self, exposure: Exposure) -> bool:
        """Whether an exposure has the filter and the light."""
        if self.band and self.band not in {exposure.filter, *exposure.filters.values()}:
            return False
        if self.kind == Kind.LINEARITY:
            return light_of((exposure,)) == LAMP
        return self.kind != Kind.FLAT or not self.light or light_of((exposure,)) == self.light

    def __str__(self) -> str:
        words = [self.kind, "of", self.instrument, self.band, self.light]
        if self.mjd != (EARLIEST, LATEST):
            words.append(f"from MJD {self.mjd[0]:g} to {self.mjd[1]:g}")
        return " ".join(filter(None, words))


@dataclass(frozen=True)
class Group:
    """The exposures for one calibrator: of one CCD, one filter, one light."""

    section: str
    band: str  # empty where one serves every filter
    light: str  # of flats
    exposures: tuple[Exposure, ...]
    rejected: Mapping[str, str] = field(default_factory=dict)  # known to be bad: name to reason


def groups(kind: str, exposures: Sequence[Exposure], wanted: Sequence[str] = (), band: str = "") -> list[Group]:
    """What can be made of exposures, in the order of the CCDs; of the CCDs `wanted`, and of one filter if it is given.

    BadInput where an exposure is of another kind, where there are several instruments, or where a CCD is not there.
    """
    refuse_other(kind, exposures)
    rejected = {row.name: reason for row in exposures if (reason := why_bad(row))}
    found: dict[tuple[str, str, str], list[Exposure]] = {}
    names: dict[str, None] = {}
    for row in exposures:
        try:
            sections = sections_of(row, wanted)
        except ArchiveError as error:
            rejected[row.name] = f"it cannot be read: {error}"
            continue
        for section in sections:
            names.setdefault(section)
            own = (row.filters.get(section) or row.filter) if kind in PER_FILTER else ""
            if band and own and own != band:
                continue
            light = light_of((row,)) if kind == Kind.FLAT else ""
            found.setdefault((section, own, light), []).append(row)
    if rejected and not names:
        raise TooFewFrames(kind=kind, used=0, needed=1, rejected=rejected)
    order = list(names)
    ordered = sorted(found, key=lambda key: (order.index(key[0]), key[1:]))
    return [Group(*key, tuple(row for row in found[key] if row.name not in rejected), rejected) for key in ordered]


def refuse_other(kind: str, exposures: Sequence[Exposure]) -> None:
    """BadInput for exposures of another kind or of several instruments, or for none."""
    if not exposures:
        raise BadInput(what="the list of exposures", reason="it is empty; give files or names of ingested exposures")
    for exposure in exposures:
        if exposure.kind not in MADE_OF[kind]:
            wanted = " or ".join(MADE_OF[kind])
            raise BadInput(what=exposure.name, reason=f"it is a {exposure.kind} exposure, not a {wanted}")
    if len(names := {row.instrument for row in exposures}) > 1:
        raise BadInput(what="the exposures", reason=f"they are of several instruments: {', '.join(sorted(names))}")


def why_bad(exposure: Exposure) -> str:
    """Why people do not want an exposure to be used; empty if they do not mind."""
    if exposure.badness:
        return f"it is marked as bad: {exposure.badness.label}"
    return "its provenance is marked as bad" if exposure.provenance.is_bad else ""


class RawFiles(Sequence[RawSection]):
    """One CCD of exposures, read from their files when it is asked for; a file that is missing is bad input."""

    def __init__(self, exposures: Sequence[Exposure], section: str) -> None:
        self._exposures, self._section = exposures, section

    def __len__(self) -> int:
        return len(self._exposures)

    def __getitem__(self, index: int) -> RawSection:
        return read_raw(self._exposures[index], self._section)


def read_raw(exposure: Exposure, section: str) -> RawSection:
    """The raw pixels of one CCD. BadInput where they cannot be had."""
    try:
        return raw_section(DataStore(exposure, section=section), None)
    except ArchiveError as error:
        raise BadInput(what=f"{exposure.name} {section}", reason=str(error)) from error


class Neighbours(Mapping[str, RawCcd]):
    """Other CCDs of one exposure, read when they are asked for and not kept."""

    def __init__(self, exposure: Exposure, names: Sequence[str]) -> None:
        self._exposure, self._names = exposure, tuple(names)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __getitem__(self, name: str) -> RawCcd:
        if name not in self._names:
            raise KeyError(name)
        raw = read_raw(self._exposure, name)
        return RawCcd(raw.data, raw.amplifiers)


@dataclass(frozen=True)
class LevelCorrections:
    """What is undone before the level of a CCD is measured, and a name for it."""

    linearity: np.ndarray | None = None  # a table
    flat: np.ndarray | None = None  # `few_pixels` of it
    name: str = ""


def focal_plane_level(exposure: Exposure, band: str, known: Mapping[str, LevelCorrections] | None = None) -> float:
    """The median over the pixels of all CCDs behind a filter, electrons above the overscan.

    Whichever CCDs a calibrator is made of, it is that of all: of those that can be read, of one at least, and of those
    that `known` names (section to corrections) where it is given. Read once.
    """
    names = [name for name in sections_of(exposure) if (exposure.filters.get(name) or exposure.filter) == band]
    if known is not None:
        names = [name for name in names if name in known]

    def read() -> float:
        parts = [_quantiles(exposure, name, (known or {}).get(name, LevelCorrections())) for name in names]
        if not (parts := [part for part in parts if part is not None]):
            raise BadInput(what=exposure.name, reason=f"no CCD behind filter '{band}' can be read")
        return float(np.median(np.concatenate(parts)))

    key = ",".join(f"{name}:{known[name].name}" for name in names) if known else ""
    return kept(exposure, f"level_{band}_{hashlib.sha256(key.encode()).hexdigest()[:12]}", read)


def has_neighbours(exposure: Exposure, band: str) -> bool:
    """Whether more than one CCD stands behind a filter."""
    return sum((exposure.filters.get(name) or exposure.filter) == band for name in sections_of(exposure)) > 1


def few_pixels(plane: np.ndarray) -> np.ndarray:
    """Every eighth pixel of every eighth row, (ny / 8, nx / 8): a view."""
    return plane[::_STEP, ::_STEP]


def _quantiles(exposure: Exposure, section: str, known: LevelCorrections) -> np.ndarray | None:
    """Quantiles of the pixels of a CCD in electrons; None of one that cannot be used."""
    corrections = Corrections()
    if known.linearity is not None:
        corrections = Corrections(Frames(linearity=known.linearity), ("linearity",))
    try:
        raw = read_raw(exposure, section)
        frame = electrons(corrected(raw, corrections, Exposed(section, exposure.exposure_time)), raw)
    except StepError:
        return None
    pixels = few_pixels(frame)
    if known.flat is not None:
        usable = known.flat > _LEAST_RESPONSE
        pixels = pixels[usable] / known.flat[usable]
    return np.percentile(pixels, _QUANTILES)
