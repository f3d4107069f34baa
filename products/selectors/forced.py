"""Forced fluxes: which images cover a position, where an object is measured, and what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

import numpy as np
from astropy.table import Table
from django.db.models import Max, Q, QuerySet

from products import sky
from products.models import DifferenceImage, ForcedFlux, ForcedRequest, Object, ObjectPosition, Provenance
from products.selectors.exposures import images_covering
from products.selectors.tables import FLUX, MAGNITUDE, ON_IMAGE, ORIGIN, POSITION, Column, table_of
from products.selectors.tags import ChosenTag

MARKED = ~Q(badness_own=0) | ~Q(badness_upstream=0)


def usable_images(tag: ChosenTag, start: float | None = None, end: float | None = None) -> QuerySet[DifferenceImage]:
    """Difference images under the tag of which nothing bad is known; `start` and `end` in MJD (UTC)."""
    rows = tag.narrow(DifferenceImage.objects.exclude(MARKED)).exclude(provenance__in=Provenance.tainted())
    rows = rows if start is None else rows.filter(mjd__gte=start)
    return rows if end is None else rows.filter(mjd__lt=end)


def covering(rows: QuerySet[DifferenceImage], ra: float, dec: float) -> list[UUID]:
    """Ids of the images whose footprint contains the position, oldest first."""
    return [row["pk"] for row in images_covering(rows, ra, dec, "pk")]


def place_of(thing: Object, tag: ChosenTag, tolerance_arcsec: float) -> tuple[float, float]:
    """Where an object is measured, see `places_of`."""
    return places_of([thing], tag, tolerance_arcsec)[0]


def places_of(things: Sequence[Object], tag: ChosenTag, tolerance_arcsec: float) -> list[tuple[float, float]]:
    """(ra, dec) at which each object is measured: its mean position under the tag, or where it was before if that is
    near enough.

    So a light curve is of one place, until later detections tell that it was not the right one.
    """
    means = ObjectPosition.objects.filter(object__in=things)
    whose = {thing.hpx: thing.pk for thing in things} | dict(means.order_by().values_list("hpx", "object"))
    best = {thing.pk: (thing.ra, thing.dec) for thing in things}
    for key, *place in tag.narrow(means).order_by("n_measurements", "created_at").values_list("object", "ra", "dec"):
        best[key] = tuple(place)
    before = tag.narrow(ForcedFlux.objects.filter(hpx__in=whose)).order_by().values("hpx")
    before = before.annotate(latest=Max("created_at"), at_ra=Max("ra"), at_dec=Max("dec")).order_by("latest")
    for row in before:
        place, key = (row["at_ra"], row["at_dec"]), whose[row["hpx"]]
        if float(sky.separation(*place, *best[key])) * 3600 <= tolerance_arcsec:
            best[key] = place
    return [best[thing.pk] for thing in things]


def known_objects(image: DifferenceImage) -> list[Object]:
    """Objects in the footprint of an image that were kept once, and of which nobody says that nothing is there."""
    rows = Object.objects.filter(sky.cone(image.ra, image.dec, image.radius), n_measurements__gte=1)
    rows = list(rows.filter(is_bad=False, is_test=False).order_by("name"))
    inside = sky.contains(np.array(image.corners), [row.ra for row in rows], [row.dec for row in rows])
    return [row for row, is_inside in zip(rows, inside) if is_inside]


def at_places_of(thing: Object) -> QuerySet[ForcedFlux]:
    """Forced fluxes at any position that the object had."""
    means = ObjectPosition.objects.filter(object=thing).order_by().values("hpx")
    return ForcedFlux.objects.filter(Q(hpx=thing.hpx) | Q(hpx__in=means))


def of_object(thing: Object, tag: ChosenTag) -> list[ForcedFlux]:
    """What was measured of an object under the tag, oldest first; for each image at the position of the last time."""
    return one_an_image(at_places_of(thing), tag)


def of_request(request: ForcedRequest, tag: ChosenTag) -> list[ForcedFlux]:
    """What is measured under the tag at the position of a request, within its times."""
    rows = ForcedFlux.objects.filter(hpx=request.hpx)
    rows = rows if request.start is None else rows.filter(image__mjd__gte=request.start)
    return one_an_image(rows if request.end is None else rows.filter(image__mjd__lt=request.end), tag)


def one_an_image(rows: QuerySet[ForcedFlux], tag: ChosenTag) -> list[ForcedFlux]:
    """The newest row of each image under the tag, oldest image first, without what is marked as bad."""
    rows = tag.narrow(tag.narrow(rows.exclude(MARKED)), "image__provenance").select_related("image__exposure")
    rows = rows.defer("image__wcs", "image__corners", "image__quality", "image__exposure__header")
    newest = {row.image_id: row for row in rows.order_by("created_at")}
    return sorted(newest.values(), key=lambda row: (row.mjd, row.image.section))


def latest_request(thing: Object, tag: ChosenTag) -> ForcedRequest | None:
    """The last one of an object under the tag."""
    return ForcedRequest.objects.filter(object=thing, tag=tag.name).order_by("-created_at").first()


IS_LIMIT = Column("is_limit", kind=int, help="1: |flux| is below 5σ.")
LIMIT = Column("limiting_magnitude", "mag", help="AB magnitude of 5σ at that place.")
COLUMNS = (
    *ORIGIN[:2], *FLUX, *MAGNITUDE, LIMIT, IS_LIMIT,
    Column("flux_ujy", "uJy", help="Flux of the difference; negative for fading."),
    Column("flux_error_ujy", "uJy", help="Its error."), Column("zp", "mag"), *POSITION, *ON_IMAGE,
    Column("flags", kind=str, help="Pixel flags under the core of the PSF."), Column("is_bad", kind=bool), *ORIGIN[2:5],
    Column("image", kind=str, help="Id of the difference image."),
    Column("provenance", kind=str, help="Of the forced photometry."),
)  # fmt: skip
PLAIN = ("mjd", "filter", "flux", "flux_error", "magnitude", "magnitude_error", "zp", "ra", "dec", "x", "y", "is_bad",
         "flux_ujy", "flux_error_ujy", "snr", "limiting_magnitude")  # fmt: skip


def as_table(rows: Iterable[ForcedFlux]) -> Table:
    """Forced fluxes with units and explanations."""
    found = []
    for row in rows:
        origin = {"exposure": row.exposure_name, "section": row.image.section, "instrument": row.image.instrument}
        made_of = {"image": row.image_id, "provenance": row.provenance_id, "flags": row.pixel_flags.label}
        found.append({name: getattr(row, name) for name in PLAIN} | origin | made_of | {"is_limit": int(row.is_limit)})
    return table_of(COLUMNS, found, ForcedFlux)
