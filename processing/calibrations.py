"""Calibrators from raw exposures: made once, kept, and registered for the dates at which they hold."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from processing.algorithms.readout import Frames
from processing.calibration_frames import (
    PER_FILTER,
    Group,
    Neighbours,
    RawFiles,
    few_pixels,
    focal_plane_level,
    groups,
    has_neighbours,
)
from processing.calibrator_choice import Kind, Set, calibrator, contents, supersede
from processing.errors import BadInput, MissingCalibrator, StepError, TooFewFrames
from processing.exposures import sections_of
from processing.instruments.base import Instrument
from processing.provenances import keep_one, refuse_bad
from processing.scratch import ScratchStore
from processing.step import Step
from processing.steps.calibrating import BiasMaking, DarkMaking, FlatMaking
from processing.steps.calibrating_detector import BadPixelMaking, CrosstalkMeasuring, LinearityMaking, table_name
from processing.steps.calibrating_sky import FringeMaking, IlluminationMaking
from processing.steps.raw_stack import Corrections, RawStack
from products.models import CalibratorFile, DataFile, Exposure, Image, Provenance
from products.selectors.nights import night_of
from products.services.keeping import keep

STEPS: dict[str, type[Step]] = {
    Kind.BIAS: BiasMaking,
    Kind.DARK: DarkMaking,
    Kind.FLAT: FlatMaking,
    Kind.FRINGE: FringeMaking,
    Kind.ILLUMINATION: IlluminationMaking,
    Kind.BAD_PIXELS: BadPixelMaking,
    Kind.LINEARITY: LinearityMaking,
    Kind.CROSSTALK: CrosstalkMeasuring,
}


@dataclass(frozen=True)
class Making:
    """How calibrators are made and registered."""

    kind: str
    configuration: Mapping[str, Any] = field(default_factory=dict)
    calibrator_set: str = Set.GENERAL
    valid: tuple[float | None, float | None] = (None, None)  # MJD
    supersedes: bool = False  # whether it takes the place of older ones

    @functools.cached_property
    def step(self) -> Step:
        """The step that makes it."""
        return STEPS[self.kind](**self.configuration.get(STEPS[self.kind].name, {}))


@dataclass(frozen=True)
class Found:
    """A calibrator, and whether it was there before."""

    row: CalibratorFile
    is_new: bool


def make_master(
    kind: str,
    exposures: Sequence[Exposure],
    section: str,
    *,
    configuration: Mapping[str, Any],
    calibrator_set: str = Set.GENERAL,
    valid: tuple[float | None, float | None] = (None, None),
) -> CalibratorFile:
    """The calibrator of one CCD from raw exposures of one filter, found where these made one before."""
    found = groups(kind, exposures, [section])
    if len(found) != 1:
        raise BadInput(what=f"the {kind} exposures", reason="they are of several filters or lights; give one at a time")
    return make(Making(kind, configuration, calibrator_set, valid), found[0]).row


def make(making: Making, group: Group, levels: tuple[float, ...] | None = None) -> Found:
    """The calibrator of a group of exposures, found where these made one before.

    `levels` are those of the focal plane in the exposures (electrons), which are measured where they are not given.
    MissingCalibrator where an earlier correction lacks its own; TooFewFrames where too many frames are rejected.
    """
    if not group.exposures:
        raise TooFewFrames(kind=making.kind, used=0, needed=1, rejected=dict(group.rejected))
    valid = _validity(making, group)
    corrections = corrections_for(making, group)
    raw = _stack(making, group, corrections)
    provenance = _provenance(making, group, corrections)
    product = _known(making, raw, corrections, provenance)
    row = (
        product
        and CalibratorFile.objects.filter(
            kind=making.kind, calibrator_set=making.calibrator_set, **_link(product)
        ).first()
    )
    if row:
        return Found(row, is_new=False)
    quality = _quality_of(product)
    if quality is None:
        if levels is None:
            levels = focal_plane_levels(making, group)
        try:
            product, quality = _made(making, dataclasses.replace(raw, levels=levels), corrections, provenance)
        except TooFewFrames as error:
            rejected = {**group.rejected, **error.details["rejected"]}
            raise TooFewFrames(**{**error.details, "rejected": rejected}) from error
    row, is_new = CalibratorFile.objects.get_or_create(
        kind=making.kind,
        calibrator_set=making.calibrator_set,
        **_link(product),
        defaults={
            "instrument": group.exposures[0].instrument,
            "section": group.section,
            "filter": group.band,
            "flat_type": group.light,
            "valid_from": valid[0],
            "valid_to": valid[1],
            "quality": quality["figures"],
            "rejected": {**group.rejected, **quality["rejected"]},
        },
    )
    if making.supersedes:
        supersede(row)
    return Found(row, is_new)


def is_made(making: Making, group: Group) -> bool:
    """Whether the calibrator of a group exists; False where that cannot be told yet."""
    try:
        corrections = corrections_for(making, group)
        product = _known(
            making, _stack(making, group, corrections), corrections, _provenance(making, group, corrections)
        )
    except StepError:
        return False
    return bool(product and CalibratorFile.objects.filter(kind=making.kind, **_link(product)).exists())


def corrections_for(making: Making, group: Group) -> Corrections:
    """What is undone in the raw frames: the corrections of the camera that come before this one, with their files.

    Those that the configuration names for preprocessing in place of the camera's, where it does. A bad-pixel mask also
    looks at the bias and the dark of the CCD, where there are any.
    """
    exposure = group.exposures[0]
    camera = Instrument.member(exposure.instrument)()
    p = making.configuration.get("preprocessing", {})
    band = exposure.filters.get(group.section) or exposure.filter
    all_of_them = camera.corrections_in(band, p.get("corrections"))
    last = Kind.FLAT if making.kind == Kind.BAD_PIXELS else making.kind
    before = camera.order[: camera.order.index(last)]
    order = tuple(name for name in all_of_them if name in before and name != "overscan")
    chosen = functools.partial(
        calibrator, exposure=exposure, section=group.section, calibrator_set=making.calibrator_set,
        flat_type=p.get("flat_type", ""),
    )  # fmt: skip
    files = {kind: chosen(kind) for kind in order if kind in Kind.values}
    if making.kind == Kind.BAD_PIXELS:
        for kind in (Kind.BIAS, Kind.DARK):
            try:
                files.setdefault(str(kind), chosen(kind))
            except MissingCalibrator:
                continue
    frames = Frames(**{str(kind): contents(file) for kind, file in files.items()})
    return Corrections(frames, order, tuple(files.values()))


def focal_plane_levels(making: Making, group: Group) -> tuple[float, ...]:
    """The level of the focal plane in each exposure, where the calibrator is relative to it; empty otherwise.

    NaN for an exposure of which no CCD can be read: it will be left out of every calibrator.
    """
    if making.kind not in (Kind.FLAT, Kind.ILLUMINATION) or not has_neighbours(group.exposures[0], group.band):
        return ()
    flats = _flats(making, group) if making.kind == Kind.ILLUMINATION else None
    return tuple(_level_or_nan(row, group.band, flats) for row in group.exposures)


def _level_or_nan(exposure: Exposure, band: str, flats: Mapping[str, np.ndarray] | None) -> float:
    try:
        return focal_plane_level(exposure, band, flats)
    except BadInput:
        return math.nan


def _flats(making: Making, group: Group) -> dict[str, np.ndarray]:
    """Some pixels of the flats of all CCDs behind the filter, as far as these have one."""
    found, exposure = {}, group.exposures[0]
    light = making.configuration.get("preprocessing", {}).get("flat_type", "")
    for other in groups(making.kind, group.exposures, band=group.band):
        try:
            file = calibrator(Kind.FLAT, exposure, other.section, making.calibrator_set, light)
        except MissingCalibrator:
            continue
        found[other.section] = few_pixels(contents(file)).copy()
    return found


def _stack(making: Making, group: Group, corrections: Corrections) -> RawStack:
    def neighbours(index: int) -> Neighbours:
        exposure, names = group.exposures[index], []
        if getattr(making.step.parameters, "all_pairs", False):
            names = [name for name in sections_of(exposure) if name != group.section]
        elif corrections.frames.crosstalk is not None:
            names = sorted(set(map(str, corrections.frames.crosstalk["source_section"])) - {"", group.section})
        return Neighbours(exposure, names)

    return RawStack(
        frames=RawFiles(group.exposures, group.section),
        exposures=group.exposures,
        section=group.section,
        band=group.band if making.kind in PER_FILTER else "",
        neighbours=neighbours,
        store=ScratchStore,
    )


def _provenance(making: Making, group: Group, corrections: Corrections) -> Provenance:
    step = making.step
    upstreams = {row.provenance_id for row in group.exposures}
    upstreams |= {(file.image or file.data_file).provenance_id for file in corrections.files}
    provenance = keep_one(step.name, step.version, step.parameters.critical(), upstreams)
    refuse_bad(provenance)
    return provenance


def _known(making: Making, raw: RawStack, corrections: Corrections, provenance: Provenance) -> Image | DataFile | None:
    """The product of these frames, where it was made before."""
    cls = making.step.outputs()[0]
    if cls is DataFile:
        return cls.objects.filter(name=table_name(making.kind, raw, corrections), provenance=provenance).first()
    facts = raw.facts(corrections.files)
    same = {name: facts[name] for name in ("components_digest", "section", "filter")}
    return cls.objects.filter(provenance=provenance, **same).first()


def _made(
    making: Making, raw: RawStack, corrections: Corrections, provenance: Provenance
) -> tuple[Image | DataFile, Mapping[str, Any]]:
    """The product, made and kept, or that of another process that was earlier; and its quality."""
    product = making.step.run(raw, corrections)
    quality = product.quality
    if not keep([product], provenance):
        product = _known(making, raw, corrections, provenance)
    return product, quality


def _quality_of(product: Image | DataFile | None) -> Mapping[str, Any] | None:
    """What is known of a product that was made before: its own figures, or those of a calibrator that it is part of."""
    if product is None:
        return None
    if isinstance(product, Image):
        return product.quality
    row = product.calibrator_files.first()
    return {"figures": row.quality, "rejected": row.rejected} if row else None


def _link(product: Image | DataFile) -> dict[str, Any]:
    return {"data_file_id": product.pk} if isinstance(product, DataFile) else {"image_id": product.pk}


def _validity(making: Making, group: Group) -> tuple[float | None, float | None]:
    """From and to, MJD; nightly ones begin with their night unless somebody says otherwise."""
    start, end = making.valid
    if start is not None and end is not None and end < start:
        raise BadInput(what="the dates", reason=f"valid until MJD {end:g} ends before valid from MJD {start:g}")
    if making.calibrator_set == Set.NIGHTLY and start is None:
        nights = sorted({night_of(row.mjd) for row in group.exposures})
        if len(nights) > 1:
            reason = f"they are of {len(nights)} nights, from MJD {nights[0]} to {nights[-1]}; give those of one night"
            raise BadInput(what="the exposures for a nightly calibrator", reason=reason)
        start = nights[0] + 0.5
    return start, end
