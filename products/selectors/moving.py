"""What moves: known bodies among measurements, and tracklets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from products.models import KnownObject, Measurement, Object, Tracklet, TrackletSet
from products.selectors.tags import ChosenTag

IN_NIGHT = 6  # tracklets that the page of a night shows


def known_objects(tag: ChosenTag) -> QuerySet[KnownObject]:
    """Matches of measurements with known bodies under the tag."""
    return tag.narrow(KnownObject.objects.all(), "known_object_set__provenance")


def is_known(tag: ChosenTag) -> Exists:
    """Whether a measurement is of a known body."""
    return Exists(known_objects(tag).order_by().filter(measurement=OuterRef("pk")))


def with_known(rows: Iterable[Measurement], tag: ChosenTag) -> None:
    """Give each measurement the known body that it is of as `known_object`, None where there is none; one query."""
    rows = list(rows)
    matches = known_objects(tag).order_by("pk").filter(measurement__in=[row.pk for row in rows])
    found = {match.measurement_id: match for match in matches}  # of several tables of one tag the newest
    for row in rows:
        row.known_object = found.get(row.pk)


def with_tracklets(rows: Iterable[Measurement], tag: ChosenTag) -> None:
    """Give each measurement the tracklets that link it as `in_tracklets`; one query."""
    rows = list(rows)
    links = Tracklet.measurements.through.objects.filter(measurement__in=[row.pk for row in rows])
    found: dict[UUID, list[Tracklet]] = defaultdict(list)
    for link in tag.narrow(links, "tracklet__tracklet_set__provenance").select_related("tracklet").order_by("pk"):
        found[link.measurement_id].append(link.tracklet)
    for row in rows:
        row.in_tracklets = found[row.pk]


def tracklets(tag: ChosenTag) -> QuerySet[Tracklet]:
    """Tracklets under the tag, with their sets."""
    rows = Tracklet.objects.select_related("tracklet_set").order_by("-mjd", "pk")
    return tag.narrow(rows, "tracklet_set__provenance")


def tracklets_of(thing: Object, tag: ChosenTag) -> list[Tracklet]:
    """Tracklets that link a measurement of an object."""
    return list(tracklets(tag).filter(measurements__object=thing).distinct())


def of_night(number: int, tag: ChosenTag) -> tuple[TrackletSet | None, Sequence[Tracklet]]:
    """What was linked in a night, and the first of its tracklets: those of most detections."""
    found = tag.narrow(TrackletSet.objects.filter(night=number)).order_by("-created_at").first()
    return found, list(found.tracklets.all()[:IN_NIGHT]) if found else []
