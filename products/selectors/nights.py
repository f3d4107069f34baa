"""A night at a glance. Nights run from noon to noon UT."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.utils import timezone

from products.dates import mjd_of
from products.models import Alert, Exposure, Measurement, Report, Tracklet, TrackletSet
from products.selectors import moving
from products.selectors.alerts import Stream, balance, counts, totals
from products.selectors.candidates import Candidate, candidates, labelled, with_score, with_source
from products.selectors.exposures import ExposureRow, overview
from products.selectors.tags import ChosenTag

STALE = timedelta(hours=1)
OFTEN = 3  # exposures in which a CCD fails before somebody is told


def night_of(mjd: float) -> int:
    """The night as the whole MJD on which it begins (at noon UT)."""
    return math.floor(mjd - 0.5)


def night_now() -> int:
    """The night that is now."""
    return night_of(mjd_of(timezone.now()))


@dataclass(frozen=True)
class Wanted:
    """Something that a human should look at."""

    level: str  # failed, warn
    text: str
    detail: str
    exposure: str = ""
    section: str = ""
    when: object = None
    what: str = ""  # labels: it leads to the candidates; dead, withheld: to such alerts


@dataclass
class Night:
    """What happened in one night."""

    number: int
    rows: list[ExposureRow]
    calibration: int = 0
    alerts: Counter[str] = field(default_factory=Counter)
    streams: list[Stream] = field(default_factory=list)
    best: list[Candidate] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    linked: TrackletSet | None = None
    tracklets: Sequence[Tracklet] = ()

    @property
    def states(self) -> Counter[str]:
        """Exposures by state."""
        return Counter(row.state for row in self.rows)

    @property
    def last(self) -> float | None:
        """MJD of the end of the last exposure."""
        return max((row.exposure.mjd + row.exposure.exposure_time / 86400 for row in self.rows), default=None)

    @property
    def missing(self) -> int:
        """CCDs that failed in exposures of which others came to the end."""
        return sum(row.failed for row in self.rows if row.state == "partial")

    @property
    def ccds(self) -> Counter[str]:
        """CCDs by state."""
        return Counter(state for row in self.rows for state in row.states.values())

    @property
    def told(self) -> int:
        """Alerts of the night."""
        return self.alerts.total()

    @property
    def detected(self) -> int:
        """Detections of the night."""
        return sum(row.detected or 0 for row in self.rows)

    @property
    def kept(self) -> int:
        """Kept candidates of the night."""
        return sum(row.kept or 0 for row in self.rows)


def latest_night(tag: ChosenTag) -> int | None:
    """The last night with a science exposure."""
    rows = tag.narrow(Exposure.objects.filter(kind=Exposure.Kind.SCIENCE)).order_by("-mjd")
    mjd = rows.values_list("mjd", flat=True).first()
    return None if mjd is None else night_of(mjd)


def night(number: int, tag: ChosenTag, person: object) -> Night:
    """Everything that the front page says about a night; the number of queries does not grow with the exposures."""
    within = {"mjd__gte": number + 0.5, "mjd__lt": number + 1.5}
    exposures = tag.narrow(Exposure.objects.filter(**within)).defer("header", "companions").order_by("mjd")
    science = [row for row in exposures if row.kind == Exposure.Kind.SCIENCE]
    found = Night(number, overview(science, tag), calibration=len(exposures) - len(science))
    alerts = tag.narrow(Alert.objects.filter(score__measurement__mjd__gte=number + 0.5), "batch__provenance")
    alerts = alerts.filter(score__measurement__mjd__lt=number + 1.5)
    found.alerts = totals(counts(alerts))
    found.streams = balance(tag, night=number)
    rows = tag.narrow(Measurement.objects.filter(is_bad=False, **within), "measurement_set__provenance")
    best = with_source(with_score(rows, tag)).filter(score__isnull=False).order_by("-score", "-snr")[:60]
    of_object: dict[object, Measurement] = {}
    for row in best:
        of_object.setdefault(row.object_id, row)
    shown = list(of_object.values())[:6]
    moving.with_known(shown, tag)
    found.best = candidates(shown, person)
    found.linked, found.tracklets = moving.of_night(number, tag)
    found.wanted = wants_a_human(found)
    return found


def always_failing(found: Night) -> list[Wanted]:
    """CCDs that came to the end in no exposure of the night, and in others of which it did."""
    tries: dict[str, list[ExposureRow]] = defaultdict(list)
    for row in found.rows:
        for section in row.states:
            tries[section].append(row)
    wanted = []
    for section, rows in sorted(tries.items()):
        failed = [row.failures[section] for row in rows if section in row.failures]
        if len(failed) == len(rows) >= OFTEN and any(row.done for row in rows):
            (error, number), *_ = Counter(failed).most_common(1)
            detail = f"all {len(rows)} exposures; {error}" + (f" ({number} times)" if number < len(rows) else "")
            wanted.append(Wanted("failed", "came to the end in no exposure", detail, section=section))
    return wanted


def disputed(number: int) -> int:
    """Measurements of the night of which people say different things."""
    rows = Measurement.objects.filter(mjd__gte=number + 0.5, mjd__lt=number + 1.5)
    return rows.filter(pk__in=labelled("disagree", "anybody", None)).count()


def wants_a_human(found: Night) -> list[Wanted]:
    """Exposures with failed CCDs, work that seems to hang, alerts that did not go out."""
    wanted = []
    for row in found.rows:
        if row.failed:
            error, number = row.errors.most_common(1)[0]
            of = f"{row.failed} of {len(row.states)} CCDs"
            text = "failed" if row.state == "failed" else f"is partial: {of} failed"
            wanted.append(
                Wanted("failed", text, f"{error} ({number} CCDs)" if number > 1 else error, row.exposure.name)
            )
    wanted = [*always_failing(found), *wanted]
    old = timezone.now() - STALE
    hanging = Report.objects.filter(state=Report.State.RUNNING, started_at__lt=old).select_related("exposure")
    for report in hanging.only("section", "started_at", "node", "exposure__name")[:10]:
        name = report.exposure.name if report.exposure else ""
        detail = f"no end was reported{f' from {report.node}' if report.node else ''}"
        wanted.append(
            Wanted("warn", "has been running for more than an hour", detail, name, report.section, report.started_at)
        )
    if disagreed := disputed(found.number):
        text = f"{disagreed} candidate{'s wait' if disagreed > 1 else ' waits'} for another opinion"
        wanted.append(Wanted("warn", text, "people disagree", what="labels"))
    if dead := found.alerts.get(Alert.State.DEAD, 0):
        text = f"{dead} alert{'s' if dead > 1 else ''} cannot be sent"
        wanted.append(Wanted("failed", text, "the broker or the schema refuses them", what="dead"))
    if withheld := found.alerts.get("withheld", 0):
        text = f"{withheld} alert{'s are' if withheld > 1 else ' is'} withheld"
        wanted.append(Wanted("warn", text, "until a mark of badness is cleared", what="withheld"))
    return wanted
