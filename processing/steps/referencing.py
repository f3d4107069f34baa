"""Referencing: choose the reference to subtract."""

from __future__ import annotations

import numpy as np
from django.db.models import Q

from processing.datastore import DataStore
from processing.errors import NoReference
from processing.parameters import Parameters, param
from processing.providers import FurtherReferences
from processing.step import Lookup
from products.models import Reference, RefSet, ScienceImage, ZeroPoint
from products.sky import contains, positions_within


class ReferencingParameters(Parameters):
    refset: str = param("default", help="Name of the set of references to choose from.")
    min_overlap: float = param(0.85, ge=0, le=1, help="Smallest part of the new image that the reference must cover.")
    max_references: int = param(
        4, ge=1, le=20, help="So many may share an image, the one that covers most of it first; 1: one does it alone."
    )
    min_gain: float = param(0.05, gt=0, le=1, help="Part of the image that a further reference must add.")
    same_instrument: bool = param(True, help="Only references of the instrument of the new image.")


class Referencing(Lookup):
    """Choose the reference that covers most of the new image in its filter, and those that cover what it does not.

    Passed over are bad ones, superseded ones, and those that hold the new image itself: with them it would lose part of
    what is looked for.
    """

    name = "referencing"
    version = (1, 0, 1)
    parameters: ReferencingParameters

    def run(self, image: ScienceImage, zero_point: ZeroPoint) -> Reference:
        raise TypeError("a lookup chooses, it does not run")

    def find(self, data: DataStore) -> Reference:
        image, p = data[ScienceImage], self.parameters
        refset = RefSet.objects.filter(name=p.refset).first()
        if refset is None:
            sets = ", ".join(RefSet.objects.order_by("name").values_list("name", flat=True))
            known = f"there are: {sets} (--refset NAME); or " if sets else ""
            hint = f"{known}make one: manage.py make_reference --refset {p.refset}"
            raise self._missing(image, f"there is no set '{p.refset}'; {hint}")
        rows = Reference.objects.filter(
            provenance=refset.provenance, filter=image.filter, badness_own=0, badness_upstream=0
        ).select_related("zero_point__world_coordinates__sources__image")
        rows = rows.filter(instrument=image.instrument) if p.same_instrument else rows
        covering = rows.overlapping(np.array(image.corners))
        of_itself = set(rows.filter(_holding(image)).values_list("pk", flat=True)) if covering else set()
        found = [row for row in covering if row.pk not in of_itself]
        if not found and covering:
            hint = "stack other images: manage.py make_reference --mjd-max MJD --refset NAME"
            raise self._missing(image, f"those of '{p.refset}' here hold this exposure itself; {hint}")
        chosen, covered = self._sharing(image, found)
        if covered < p.min_overlap or not chosen:
            raise self._missing(image, self._too_little(image, refset, chosen, covered))
        first, *others = chosen
        data.put(FurtherReferences(tuple(sorted(others, key=lambda row: row.zero_point_id))))
        return first

    def _sharing(self, image: ScienceImage, found: list[Reference]) -> tuple[list[Reference], float]:
        """References in the order of what each adds to the part of the image that is covered, and that part."""
        if not found:
            return [], 0.0
        first = max(found, key=lambda row: (round(row.overlap, 2), row.created_at))
        ra, dec = positions_within(np.array(image.corners))
        covers = {row.pk: contains(np.array(row.corners), ra, dec) for row in found}
        chosen, covered = [first], covers[first.pk]
        while len(chosen) < self.parameters.max_references:
            gain = {row.pk: float(np.mean(covers[row.pk] & ~covered)) for row in found}
            best = max(found, key=lambda row: (round(gain[row.pk], 2), row.created_at))
            if gain[best.pk] < self.parameters.min_gain:
                break
            chosen.append(best)
            covered = covered | covers[best.pk]
        return chosen, max(first.overlap, float(np.mean(covered)))

    def _too_little(self, image: ScienceImage, refset: RefSet, chosen: list[Reference], covered: float) -> str:
        """What there is, and what else would serve."""
        p = self.parameters
        if chosen:
            number = (
                f"{len(chosen)} of '{p.refset}' together cover"
                if len(chosen) > 1
                else f"the best of '{p.refset}' covers"
            )
            return f"{number} {covered:.0%} of the image, {p.min_overlap:.0%} needed"
        good = Reference.objects.filter(provenance=refset.provenance, badness_own=0, badness_upstream=0)
        here = good.overlapping(np.array(image.corners))
        hint = "make one: manage.py make_reference"
        if others := sorted({row.instrument for row in here if row.filter == image.filter}):
            hint = f"there are some of {', '.join(others)}: --set referencing.same_instrument=false; or {hint}"
        elif bands := sorted({row.filter for row in here}):
            hint = f"there are some in {', '.join(bands)}; {hint}"
        return f"'{p.refset}' has none here; {hint}"

    @staticmethod
    def _missing(image: ScienceImage, reason: str) -> NoReference:
        return NoReference(filter=image.filter, ra=image.ra, dec=image.dec, reason=reason)


def _holding(image: ScienceImage) -> Q:
    """Condition on references: made of the exposure of `image`, whether stacked or taken as it is."""
    parts = ZeroPoint.objects.filter(world_coordinates__sources__image__exposure=image.exposure_id).values("pk")
    stacked = "zero_point__world_coordinates__sources__image__components__in"
    return Q(zero_point__in=parts) | Q(**{stacked: parts})
