"""Referencing: choose the reference to subtract."""

from __future__ import annotations

import numpy as np
from django.db.models import Q

from processing.datastore import DataStore
from processing.errors import NoReference
from processing.parameters import Parameters, param
from processing.step import Lookup
from products.models import Reference, RefSet, ScienceImage, ZeroPoint


class ReferencingParameters(Parameters):
    refset: str = param("default", help="Name of the set of references to choose from.")
    min_overlap: float = param(0.85, ge=0, le=1, help="Smallest part of the new image that the reference must cover.")
    same_instrument: bool = param(True, help="Only references of the instrument of the new image.")


class Referencing(Lookup):
    """Choose the reference that covers most of the new image in its filter.

    Passed over are bad ones, superseded ones, and those that hold the new image itself: with them it would lose part of
    what is looked for.
    """

    name = "referencing"
    version = (1, 0, 0)
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
        best = max((row.overlap for row in found), default=0.0)
        chosen = [row for row in found if row.overlap >= p.min_overlap]
        if not found and covering:
            hint = "stack other images: manage.py make_reference --mjd-max MJD --refset NAME"
            raise self._missing(image, f"those of '{p.refset}' here hold this exposure itself; {hint}")
        if not chosen:
            what = f"the best of '{p.refset}' covers {best:.0%} of the image, {p.min_overlap:.0%} needed"
            raise self._missing(
                image, what if found else f"'{p.refset}' has none here; make one: manage.py make_reference"
            )
        return max(chosen, key=lambda row: (round(row.overlap, 2), row.created_at))

    @staticmethod
    def _missing(image: ScienceImage, reason: str) -> NoReference:
        return NoReference(filter=image.filter, ra=image.ra, dec=image.dec, reason=reason)


def _holding(image: ScienceImage) -> Q:
    """Condition on references: made of the exposure of `image`, whether stacked or taken as it is."""
    parts = ZeroPoint.objects.filter(world_coordinates__sources__image__exposure=image.exposure_id).values("pk")
    stacked = "zero_point__world_coordinates__sources__image__components__in"
    return Q(zero_point__in=parts) | Q(**{stacked: parts})
