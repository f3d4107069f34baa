"""References and calibrators with what pages and the REST API say of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Count, ExpressionWrapper, F, FloatField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from products.models import PSF, CalibratorFile, DataFile, Image, Reference, Report

IMAGE = "zero_point__world_coordinates__sources__image"
CHOOSING = "choosing"  # entry of the report of a reference: which images were left out, and why
LARGE = ("zero_point__world_coordinates__header", f"{IMAGE}__wcs", f"{IMAGE}__quality", f"{IMAGE}__corners")


def references() -> QuerySet[Reference]:
    """References with their image in the same query, and `seeing` (arcsec), `limit` (mag), `n_images` in it and
    `n_differences` made with it."""
    psfs = PSF.objects.filter(sources=OuterRef("zero_point__world_coordinates__sources")).order_by("-created_at")
    parts = Image.components.through.objects.filter(image_id=OuterRef(f"{IMAGE}"))
    number = parts.order_by().values("image_id").annotate(n=Count("pk")).values("n")
    # The kind is counted, not filtered by: SQLite would look through all differences for each reference.
    made = Count("pk", filter=Q(kind=Image.Kind.DIFFERENCE))
    used = Image.objects.filter(reference=OuterRef("pk")).order_by().values("reference").annotate(n=made).values("n")
    rows = Reference.objects.select_related(IMAGE).defer(*LARGE)
    seeing = ExpressionWrapper(F("psf_fwhm") * F(f"{IMAGE}__pixel_scale"), output_field=FloatField())
    return rows.annotate(psf_fwhm=Subquery(psfs.values("fwhm_pixels")[:1])).annotate(
        seeing=seeing,
        limit=F("zero_point__limiting_magnitude"),
        n_images=Subquery(number),
        n_differences=Subquery(used),
    )


def left_out(image: UUID, quality: Mapping[str, Any]) -> list[dict[str, str]]:
    """Images that are not in a coadd: `exposure` and `section` (or `name`), and `reason`.

    Those that were not chosen, as the report of its last attempt has it, and those that the stack itself refused.
    """
    found = [{"name": name, "reason": why} for name, why in quality.get("left_out", {}).items()]
    for steps in Report.objects.filter(image=image).order_by("-started_at").values_list("steps", flat=True):
        noted = [entry["left_out"] for entry in steps if entry.get("name") == CHOOSING and "left_out" in entry]
        if noted:
            return found + noted[0]
    return found


def calibrators() -> QuerySet[CalibratorFile]:
    """Calibrators with their frame in the same query, number of raw `frames` in it and of images that `used` it."""
    of_image = Image.raw_exposures.through.objects.filter(image_id=OuterRef("image")).order_by()
    of_table = DataFile.raw_exposures.through.objects.filter(datafile_id=OuterRef("data_file")).order_by()
    used = Image.calibrators.through.objects.filter(calibratorfile_id=OuterRef("pk")).order_by()
    rows = CalibratorFile.objects.select_related("image", "data_file").defer("image__wcs", "image__quality")
    return rows.annotate(
        frames=Coalesce(
            Subquery(of_image.values("image_id").annotate(n=Count("pk")).values("n")),
            Subquery(of_table.values("datafile_id").annotate(n=Count("pk")).values("n")),
        ),
        used=Subquery(used.values("calibratorfile_id").annotate(n=Count("pk")).values("n")),
    )


def successors(row: CalibratorFile) -> QuerySet[CalibratorFile]:
    """Calibrators made later for the same CCD, which are chosen instead wherever both hold; newest first."""
    names = ("kind", "calibrator_set", "instrument", "section", "filter", "flat_type")
    same = {name: getattr(row, name) for name in names}
    rows = CalibratorFile.objects.filter(created_at__gt=row.created_at, **same)
    if row.calibrator_set == CalibratorFile.Set.NIGHTLY:  # those of later nights take the place of none
        rows = rows.filter(valid_from=row.valid_from)
    if row.valid_from is not None:
        rows = rows.filter(Q(valid_to=None) | Q(valid_to__gte=row.valid_from))
    if row.valid_to is not None:
        rows = rows.filter(Q(valid_from=None) | Q(valid_from__lte=row.valid_to))
    good = Q(image__badness_own=0, image__badness_upstream=0, image__provenance__is_bad=False) | Q(
        data_file__badness_own=0, data_file__badness_upstream=0, data_file__provenance__is_bad=False
    )
    return rows.filter(good, superseded_by=None).order_by("-created_at")
