"""The ledger of alerts: what streams decided, what was sent where, and that the numbers add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count

from products.alerts.deciding import CUTS, Judged, Refusal, StreamCuts, refusal
from products.models import Alert, AlertBatch, DeepScore, KnownObject, Measurement
from products.models.alerts import AlertRows
from products.selectors.candidates import LARGE, TO_EXPOSURE
from products.selectors.tags import ChosenTag

MEASUREMENT = "score__measurement"
OF_BATCH = "score_set__measurement_set__cutouts__sources__image"


def of_tag(tag: ChosenTag) -> AlertRows:
    """The alerts of a tag."""
    return tag.narrow(Alert.objects.all())


def with_subject(rows: AlertRows) -> AlertRows:
    """Rows with score, measurement, object, image and exposure, and with the marks that withhold them."""
    paths = ("batch", "score__score_set", f"{MEASUREMENT}__object", f"{MEASUREMENT}__{TO_EXPOSURE}")
    return rows.with_marks().select_related(*paths).defer(*(f"{MEASUREMENT}__{name}" for name in LARGE))


@dataclass
class Stream:
    """What became of the measurements that a stream decided about."""

    name: str
    measured: int = 0
    states: Counter[str] = field(default_factory=Counter)  # withheld ones apart from the others that wait
    refused: Counter[str] = field(default_factory=Counter)  # cut → number

    @property
    def eligible(self) -> int:
        """Alerts."""
        return self.states.total()

    @property
    def not_eligible(self) -> int:
        """Measurements that a cut kept back."""
        return self.refused.total()

    @property
    def missing(self) -> int:
        """Measurements of which nobody knows what became; not 0 means that something is wrong."""
        return self.measured - self.eligible - self.not_eligible

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """What kept the others back, in the order in which the cuts are tried."""
        return [(text, self.refused[cut]) for cut, text in CUTS.items() if self.refused[cut]]


def counts(rows: AlertRows) -> dict[str, Counter[str]]:
    """Stream → state → number; withheld ones apart from the others that wait."""
    found: dict[str, Counter[str]] = {}
    grouped = rows.order_by().values_list("stream", "state").annotate(n=Count("*"))
    for stream, state, number in grouped:
        found.setdefault(stream, Counter())[state] += number
    if any(states["pending"] for states in found.values()):
        for stream, number in rows.withheld().order_by().values_list("stream").annotate(n=Count("*")):
            found[stream].update({"withheld": number, "pending": -number})
    return found


def totals(by_stream: dict[str, Counter[str]]) -> Counter[str]:
    """State → number, of all streams."""
    return sum(by_stream.values(), Counter())


def latest_mjd(tag: ChosenTag) -> float | None:
    """The time of the last image with a receipt."""
    batches = tag.narrow(AlertBatch.objects.order_by("-created_at"))
    return batches.values_list(f"{OF_BATCH}__mjd", flat=True).first()


def balance(tag: ChosenTag, *, night: int | None = None, exposure: str = "") -> list[Stream]:
    """What became of every scored measurement of a night or an exposure, by stream.

    Receipts of a version that kept no counts are left out.
    """
    batches = tag.narrow(AlertBatch.objects.filter(n_scored__gt=0))
    if night is not None:
        batches = batches.filter(**{f"{OF_BATCH}__mjd__gte": night + 0.5, f"{OF_BATCH}__mjd__lt": night + 1.5})
    if exposure:
        batches = batches.filter(**{f"{OF_BATCH}__exposure__name": exposure})
    found: dict[str, Stream] = {}
    for scored, refused in batches.values_list("n_scored", "refused").iterator():
        for name, cuts in refused.items():
            stream = found.setdefault(name, Stream(name))
            stream.measured += scored
            stream.refused.update(cuts)
    for name, states in counts(Alert.objects.filter(batch__in=batches.order_by().values("pk"))).items():
        found.setdefault(name, Stream(name)).states = states
    return [found[name] for name in sorted(found)]


@dataclass(frozen=True)
class Decision:
    """What one stream decided about one measurement."""

    stream: str
    batch: AlertBatch
    alert: Alert | None
    refusal: Refusal | None  # by the cuts as they were, from what is known of the object now


def decisions(measurement: Measurement, tag: ChosenTag) -> list[Decision]:
    """What every stream under a tag decided about a measurement; nothing where it was not scored."""
    scores = DeepScore.objects.filter(measurement=measurement).select_related("score_set__measurement_set")
    found = []
    for score in scores:
        batches = tag.narrow(AlertBatch.objects.filter(score_set=score.score_set_id)).select_related("provenance")
        for batch in batches.order_by("-created_at"):
            alerts = {alert.stream: alert for alert in score.alerts.with_marks()}  # also of an earlier receipt
            streams = [StreamCuts.of(one) for one in batch.provenance.parameters.get("streams", [])]
            earlier = 0
            if any(cuts.counts_detections for cuts in streams):
                earlier = score.score_set.measurement_set.earlier_detections()[measurement.object_id]
            body = ""
            if any(cuts.known_objects != "any" for cuts in streams):
                matches = KnownObject.objects.filter(known_object_set=batch.known_set_id, measurement=measurement)
                body = matches.values_list("name", flat=True).first() or ""
            judged = Judged(measurement, score.score, score.score_set.threshold, earlier, body)
            for cuts in streams:
                alert = alerts.get(cuts.name)
                found.append(Decision(cuts.name, batch, alert, None if alert else refusal(cuts, judged)))
    return found


def cuts_of(alert: Alert) -> dict[str, Any]:
    """The cuts of the stream of an alert, as its provenance keeps them."""
    streams = alert.batch.provenance.parameters.get("streams", [])
    return next((one for one in streams if one.get("name") == alert.stream), {})
