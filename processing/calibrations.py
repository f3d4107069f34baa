"""Master frames from raw exposures, registered for the dates at which they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from processing.calibrator_choice import calibrator
from processing.errors import BadInput
from processing.exposures import sections_of
from processing.instruments.base import Instrument
from processing.provenances import keep_one, refuse_bad
from processing.steps.calibrating import BiasFrame, BiasMaking, FlatMaking, RawStack
from products.models import CalibratorFile, Exposure
from products.services.keeping import keep

STEPS = {"bias": BiasMaking, "flat": FlatMaking}


def make_master(
    kind: str,
    exposures: Sequence[Exposure],
    section: str,
    *,
    configuration: Mapping[str, Any],
    calibrator_set: str = "general",
    valid: tuple[float | None, float | None] = (None, None),
) -> CalibratorFile:
    """The master frame of one CCD from raw exposures, found where these made one before."""
    for exposure in exposures:
        if exposure.kind != kind:
            raise BadInput(what=exposure.name, reason=f"it is a {exposure.kind} exposure, not a {kind}")
    if len({(row.instrument, row.filter if kind == "flat" else "") for row in exposures}) != 1:
        raise BadInput(
            what=f"the {kind} exposures", reason="they are of several instruments or filters; give one at a time"
        )
    step = STEPS[kind](**configuration.get(STEPS[kind].name, {}))
    upstreams = {row.provenance_id for row in exposures}
    bias = calibrator("bias", exposures[0], section, calibrator_set).image if kind == "flat" else None
    if bias is not None:
        upstreams.add(bias.provenance_id)
    provenance = keep_one(step.name, step.version, step.parameters.critical(), upstreams)
    refuse_bad(provenance)
    raw = raw_stack(exposures, section)
    cls = step.outputs()[0]
    facts = raw.facts(exposures[0].filter if kind == "flat" else "")
    same = {name: facts[name] for name in ("components_digest", "section", "filter")}
    image = cls.objects.filter(provenance=provenance, **same).first()
    if image is None:
        image = step.run(raw) if bias is None else step.run(raw, BiasFrame(bias.data))
        if not keep([image], provenance):
            image = cls.objects.get(provenance=provenance, **same)
    row, _ = CalibratorFile.objects.get_or_create(
        kind=kind,
        calibrator_set=calibrator_set,
        image_id=image.pk,
        defaults={
            "instrument": image.instrument,
            "section": section,
            "filter": image.filter,
            "flat_type": CalibratorFile.FlatType.DOME if kind == "flat" else "",
            "valid_from": valid[0],
            "valid_to": valid[1],
        },
    )
    return row


def raw_stack(exposures: Sequence[Exposure], section: str) -> RawStack:
    """The raw frames of one CCD of several exposures."""
    camera = Instrument.member(exposures[0].instrument)()
    parts = [camera.read_section(row.path(), row.companion_paths(), row.header, section) for row in exposures]
    return RawStack(
        frames=tuple(part.data for part in parts),
        amplifiers=parts[0].amplifiers,
        exposures=tuple(exposures),
        section=section,
    )


def common_sections(exposures: Sequence[Exposure], wanted: Sequence[str] = ()) -> list[str]:
    """The CCDs that every one of the exposures has."""
    if not exposures:
        raise BadInput(what="the list of exposures", reason="it is empty; give files or names of ingested exposures")
    shared = [name for name in sections_of(exposures[0]) if all(name in sections_of(row) for row in exposures[1:])]
    if unknown := [name for name in wanted if name not in shared]:
        raise BadInput(what=f"section {', '.join(unknown)}", reason=f"the exposures have {', '.join(shared) or 'none'}")
    return [name for name in shared if name in wanted] if wanted else shared
