"""How far exposures are, decided by the database: the latest attempt at each CCD under a tag."""

from __future__ import annotations

from collections import Counter

from django.db.models import Avg, Case, Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum, TextField, Value, When
from django.db.models.functions import Cast, StrIndex

from products.models import PSF, Exposure, MeasurementSet, Report, ZeroPoint
from products.selectors.tags import ChosenTag

STATES = ("waiting", "running", "done", "partial", "failed")
OF_ZERO_POINT = "world_coordinates__sources__image__exposure"
OF_MEASUREMENTS = "cutouts__sources__image__exposure"


def latest_attempts(tag: ChosenTag) -> QuerySet[Report]:
    """The last attempt of the tag at each CCD."""
    rows = Report.objects.filter(tag.attempts).exclude(section="")
    same = {"exposure": OuterRef("exposure"), "section": OuterRef("section")}
    return rows.filter(~Exists(rows.filter(**same, attempt__gt=OuterRef("attempt"))))


def with_state(rows: QuerySet[Exposure], tag: ChosenTag) -> QuerySet[Exposure]:
    """The same exposures, each with its `state`, one of STATES."""
    latest = latest_attempts(tag)
    tried = Report.objects.filter(tag.attempts, exposure=OuterRef("pk")).exclude(section="")
    of = {state: latest.filter(state=state) for state in Report.State.values}
    failed = Q(pk__in=of["failed"].values("exposure"))
    state = Case(
        When(pk__in=of["running"].values("exposure"), then=Value("running")),
        When(failed & Exists(of["done"].filter(exposure=OuterRef("pk"))), then=Value("partial")),
        When(failed, then=Value("failed")),
        When(Exists(tried), then=Value("done")),
        default=Value("waiting"),
        output_field=TextField(),
    )
    return rows.annotate(state=state)


def state_counts(rows: QuerySet[Exposure], tag: ChosenTag) -> Counter[str]:
    """How many of the science exposures are in each state."""
    science = with_state(rows.filter(kind=Exposure.Kind.SCIENCE).order_by(), tag)
    return Counter(dict(science.values_list("state").annotate(n=Count("pk"))))


def with_filter(rows: QuerySet[Exposure], name: str) -> QuerySet[Exposure]:
    """Exposures with that filter in front of all CCDs, or of some: also before any of them is an image."""
    text = Cast("filters", TextField())
    # How both databases write a value of a JSON object; the position of a text tells apart G and g in both.
    rows = rows.annotate(in_filters=StrIndex(text, Value(f': "{name}"')))
    return rows.filter(Q(filter=name) | Q(in_filters__gt=0))


def filter_counts(rows: QuerySet[Exposure]) -> Counter[str]:
    """How many exposures have each filter, in front of all CCDs or of some."""
    found: Counter[str] = Counter()
    for one, several, n in rows.order_by().values_list("filter", "filters").annotate(n=Count("pk")):
        for name in {one, *several.values()} - {""}:
            found[name] += n
    return found


def with_figures(rows: QuerySet[Exposure], tag: ChosenTag, *names: str) -> QuerySet[Exposure]:
    """The same exposures with `seeing` (″), `limit` (mag), `detected` or `kept`, over their CCDs under the tag."""
    seeing = Avg(F("fwhm_pixels") * F("sources__image__pixel_scale"))
    psfs, points, sets = PSF.objects.all(), ZeroPoint.objects.all(), MeasurementSet.objects.all()
    known = {
        "seeing": (psfs, "sources__image__exposure", seeing),
        "limit": (points, OF_ZERO_POINT, Avg("limiting_magnitude")),
        "detected": (sets, OF_MEASUREMENTS, Sum("n_measured")),
        "kept": (sets, OF_MEASUREMENTS, Sum("n_kept")),
    }
    for name in names:
        products, path, figure = known[name]
        own = tag.narrow(products.filter(**{path: OuterRef("pk")})).order_by().values(path)
        rows = rows.annotate(**{name: Subquery(own.annotate(figure=figure).values("figure"))})
    return rows
