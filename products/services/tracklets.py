"""Keep the tracklets of a night: one set a night and provenance, of the newest detections."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from products.ids import stable_id
from products.models import Provenance, Tracklet, TrackletSet


def replace_tracklets(found: TrackletSet, provenance: Provenance, held: TrackletSet | None) -> bool:
    """Keep a set in place of the one that was `held` when its detections were read.

    False, with nothing changed, where another process has kept one meanwhile. Tracklets have ids of what they link:
    one that is found again keeps its address.
    """
    found.provenance = provenance
    for row in found.rows:
        row.id = stable_id("tracklet", provenance.pk, *sorted(map(str, row.members)))
    links = Tracklet.measurements.through
    try:
        with transaction.atomic():
            if held is not None and not TrackletSet.objects.filter(pk=held.pk).delete()[0]:
                return False
            found.save(force_insert=True)
            Tracklet.objects.bulk_create(found.rows, batch_size=1000)
            pairs = [links(tracklet_id=row.pk, measurement_id=key) for row in found.rows for key in row.members]
            links.objects.bulk_create(pairs, batch_size=2000)
    except IntegrityError:
        if not TrackletSet.objects.filter(night=found.night, provenance=provenance).exists():
            raise
        return False
    return True
