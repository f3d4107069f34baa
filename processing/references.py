"""References: coadds of calibrated images, gathered in named sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from processing.algorithms.wcs_fit import footprint
from processing.datastore import DataStore, identity
from processing.errors import BadInput
from processing.pipeline import Pipeline
from processing.pipelines import COADD
from processing.provenances import keep_one
from processing.providers import CoaddInputs, ReferenceProducts
from processing.reference_choice import Chosen
from processing.reporting import Reporter
from processing.scratch import ScratchStore
from processing.steps.coaddition import digest
from processing.steps.referencing import Referencing
from products.models import Badness, CoaddImage, Exposure, Provenance, Reference, RefSet, ZeroPoint
from products.selectors.references import CHOOSING
from products.services.badness import set_badness
from products.services.keeping import keep
from products.sky import overlap_fraction

COVERED_BY_ITS_HEIR = 0.9  # part of a reference that another must cover to supersede it
MOST_NOTED = 500  # images that were left out, with their reasons, in one report


def make_reference(
    zero_points: Sequence[ZeroPoint],
    refset: str,
    configuration: Mapping[str, Any],
    *,
    description: str = "",
    chosen: Chosen | None = None,
) -> Reference:
    """Coadd calibrated images and put the result into the set `refset`; found where the same images made one before.

    What was `chosen`, and why other images were not, goes into the report.
    """
    parts = tuple(ReferenceProducts.of(row) for row in zero_points)
    section = parts[0].image.section if len({part.image.section for part in parts}) == 1 else ""
    data = DataStore(CoaddInputs(parts, ScratchStore), identity(components_digest=digest(zero_points)), section=section)
    report = Reporter(None, section)
    _note_choice(report, zero_points, chosen)
    try:
        Pipeline(COADD, configuration=configuration).run(data, report=report)
    except BaseException as error:  # a signal to stop: noted, and obeyed
        report.row.image = data.get(CoaddImage)
        report.finish(error)
        raise
    report.row.image = data[CoaddImage]
    report.finish()
    return register(data[ZeroPoint], refset, description=description)


def _note_choice(report: Reporter, used: Sequence[ZeroPoint], chosen: Chosen | None) -> None:
    """An entry of the report about the images that are stacked and those near them that are not."""
    if chosen is None:
        return
    left_out = chosen.left_out(near=used[0].image)
    with report.step(CHOOSING) as entry:
        entry["made"] = False
        entry["counts"] = {"images_used": len(used), "images_left_out": len(left_out)}
        entry["left_out"] = [
            {"exposure": row.image.exposure.name, "section": row.image.section, "reason": row.reason}
            for row in left_out[:MOST_NOTED]
        ]


def register(zero_point: ZeroPoint, refset: str, *, description: str = "", band: str = "") -> Reference:
    """Make a calibrated image a reference of the set `refset`; the set is made where it is missing.

    It serves for the filter `band`, by default its own. BadInput where the set is made in another way, or where the
    image is in it for another filter.
    """
    provenance = _provenance(zero_point, refset)
    known, _ = RefSet.objects.get_or_create(
        name=refset, defaults={"provenance": provenance, "description": description}
    )
    if known.provenance_id != provenance.pk:
        reason = "its references were made in another way (other parameters or code); choose another name"
        raise BadInput(what=f"the set of references '{refset}'", reason=reason)
    image = zero_point.image
    facts = {name: getattr(image, name) for name in ("instrument", "section", "target")}
    row = Reference(zero_point=zero_point, filter=band or image.filter, **facts).set_footprint(_corners(zero_point))
    if keep([row], provenance):
        return row
    held = Reference.objects.get(zero_point=zero_point, provenance=provenance)
    if held.filter != row.filter:
        reason = f"it serves for filter {held.filter} in the set '{refset}'; choose another set for {row.filter}"
        raise BadInput(what=str(image), reason=reason)
    return held


def _provenance(zero_point: ZeroPoint, refset: str) -> Provenance:
    """Of the references in a set; sets with other names are apart, also where they are made in the same way."""
    return keep_one(Referencing.name, Referencing.version, {"refset": refset}, [zero_point.provenance_id])


def _corners(zero_point: ZeroPoint) -> Any:
    return footprint(zero_point.world_coordinates.wcs, zero_point.image.shape)


def calibrated(exposure: Exposure, section: str, tag: str) -> ZeroPoint:
    """The zero point of one CCD with the provenances of a tag."""
    data = DataStore.from_tag(exposure, section, tag)
    if ZeroPoint not in data:
        raise BadInput(what=f"{exposure.name} {section}", reason=f"it has no zero point with the tag '{tag}'")
    return data[ZeroPoint]


def supersede_with(new: Reference, refset: str) -> list[Reference]:
    """Mark older references of the set that a new one of the same filter and instrument covers; which they are.

    They are chosen no more. What was made with them stays as it is: it is not marked, and still names them.
    """
    rows = Reference.objects.filter(
        provenance__refsets__name=refset, filter=new.filter, instrument=new.instrument, badness_own=0
    )
    rows = rows.exclude(pk=new.pk).filter(created_at__lt=new.created_at)
    mine = np.array(new.corners)
    found = [
        row for row in rows.overlapping(mine) if overlap_fraction(np.array(row.corners), mine) >= COVERED_BY_ITS_HEIR
    ]
    for row in found:
        set_badness(row, Badness.SUPERSEDED_REFERENCE, description=f"Superseded by {new.pk}.")
    return found
