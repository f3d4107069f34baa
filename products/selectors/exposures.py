"""Exposures and their CCDs as pages show them: states, counts and the places of the CCDs, in few queries."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
from django.db.models import QuerySet, Sum

from products import sky
from products.models import PSF, Exposure, Image, MeasurementSet, Object, Report, ZeroPoint
from products.selectors.states import OF_MEASUREMENTS, OF_ZERO_POINT, latest_attempts
from products.selectors.tags import ChosenTag

LONG = ("traceback", "error_details")
NOT_LISTED = ("header", "companions", "description")


def overall(states: Iterable[str]) -> str:
    """The state of a whole exposure from those of its CCDs."""
    found = set(states)
    if not found:
        return "waiting"
    if "running" in found:
        return "running"
    return next(iter(found)) if len(found) == 1 else "partial"


@dataclass
class ExposureRow:
    """One exposure in a list."""

    exposure: Exposure
    states: dict[str, str] = field(default_factory=dict)  # section → state
    failures: dict[str, str] = field(default_factory=dict)  # section → error
    seeing: float | None = None
    limits: dict[str, float] = field(default_factory=dict)  # filter → mag
    detected: int | None = None
    kept: int | None = None

    @property
    def state(self) -> str:
        """State of the whole."""
        return overall(self.states.values())

    @property
    def errors(self) -> Counter[str]:
        """How many CCDs each error stopped."""
        return Counter(self.failures.values())

    @property
    def tried(self) -> int:
        """CCDs that were tried."""
        return len(self.states)

    @property
    def done(self) -> int:
        """CCDs that came to the end."""
        return sum(state == "done" for state in self.states.values())

    @property
    def failed(self) -> int:
        """CCDs that stopped."""
        return sum(state == "failed" for state in self.states.values())

    @property
    def progress(self) -> str:
        """`30 of 32`."""
        return f"{self.done} of {self.tried}"

    @property
    def filters(self) -> list[str]:
        """Its filters."""
        return [self.exposure.filter] if self.exposure.filter else sorted(set(self.exposure.filters.values()))

    @property
    def mini_height(self) -> float:
        """Height of the thumbnail."""
        return max((y + side + 0.8 for _, y, side, _ in self.mini), default=24)

    @property
    def mini(self) -> list[tuple[float, float, float, str]]:
        """Squares of a thumbnail of 24 units: x, y, side, state, in the order of the sections."""
        per_row = max(2, int(np.ceil(np.sqrt(len(self.states)))))
        side = 24 / per_row
        return [
            (round(i % per_row * side, 2), round(i // per_row * side, 2), round(side - 0.8, 2), self.states[name])
            for i, name in enumerate(sorted(self.states))
        ]


def images_covering(rows: QuerySet[Image], ra: float, dec: float, *fields: str) -> list[dict]:
    """`fields` of the images whose footprint contains the position."""
    near = rows.filter(sky.cone(ra, dec, rows.reach())).order_by("mjd").values("corners", *fields)
    return [row for row in near if row["corners"] and sky.contains(np.array(row["corners"]), ra, dec)[0]]


def resolve_position(text: str) -> tuple[float, float]:
    """A position in any notation, or the position of the object with that name; ValueError otherwise."""
    if found := Object.objects.filter(name=text.strip()).values_list("ra", "dec").first():
        return found
    return sky.parse_position(text)


def latest_reports(exposures: Iterable[UUID], tag: ChosenTag) -> dict[UUID, dict[str, Report]]:
    """Exposure id → section → its latest attempt under the tag, without what is long of an error."""
    found: dict[UUID, dict[str, Report]] = defaultdict(dict)
    for row in latest_attempts(tag).filter(exposure__in=list(exposures)).order_by("section").defer(*LONG):
        found[row.exposure_id][row.section] = row
    return found


def overview(exposures: Sequence[Exposure], tag: ChosenTag) -> list[ExposureRow]:
    """Rows with states and figures (means of their CCDs); the number of queries does not grow with their number."""
    rows = {exposure.pk: ExposureRow(exposure) for exposure in exposures}
    attempts = latest_attempts(tag).filter(exposure__in=rows).order_by("section")
    for key, section, state, step, said in attempts.values_list(
        "exposure", "section", "state", "error_step", "error_message"
    ):
        rows[key].states[section] = state
        if state == Report.State.FAILED:
            rows[key].failures[section] = f"{step or 'set-up'}: {said}"
    seeing = defaultdict(list)
    psfs = tag.narrow(PSF.objects.filter(sources__image__exposure__in=rows))
    for key, pixels, scale in psfs.values_list(
        "sources__image__exposure", "fwhm_pixels", "sources__image__pixel_scale"
    ):
        if scale:
            seeing[key].append(pixels * scale)
    for key, values in seeing.items():
        rows[key].seeing = statistics.fmean(values)
    limits = defaultdict(lambda: defaultdict(list))
    points = tag.narrow(ZeroPoint.objects.filter(**{f"{OF_ZERO_POINT}__in": rows}, limiting_magnitude__isnull=False))
    for key, band, limit in points.values_list(
        OF_ZERO_POINT, "world_coordinates__sources__image__filter", "limiting_magnitude"
    ):
        limits[key][band].append(limit)
    for key, bands in limits.items():
        rows[key].limits = {band: statistics.fmean(values) for band, values in sorted(bands.items())}
    sets = tag.narrow(MeasurementSet.objects.filter(**{f"{OF_MEASUREMENTS}__in": rows}))
    for key, detected, kept in sets.values_list(OF_MEASUREMENTS).annotate(Sum("n_measured"), Sum("n_kept")):
        rows[key].detected, rows[key].kept = detected, kept
    return list(rows.values())


@dataclass
class CCDRow:
    """One CCD of an exposure."""

    section: str
    report: Report | None = None
    image: Image | None = None
    filter: str = ""
    counts: dict = field(default_factory=dict)
    is_left_out: bool = False

    @property
    def state(self) -> str:
        """State of its latest attempt; `unused` where others were tried and this one was left out."""
        if self.report:
            return self.report.state
        return "unused" if self.is_left_out else "waiting"

    @property
    def is_tried(self) -> bool:
        """Whether there is anything to show of it."""
        return self.report is not None or self.image is not None

    @property
    def ticks(self) -> list[tuple[str, str]]:
        """(step, state) of every step."""
        return ticks(self.report)

    @property
    def seeing(self) -> float | None:
        """FWHM of the PSF, arcsec."""
        pixels, scale = self.counts.get("fwhm_pixels"), self.image.pixel_scale if self.image else None
        return pixels * scale if pixels and scale else None

    @property
    def seconds(self) -> float | None:
        """Time of all steps."""
        return self.report.seconds if self.report and self.report.steps else None

    @property
    def peak_mb(self) -> float | None:
        """Largest memory of any step."""
        return max((step.get("peak_mb") or 0 for step in self.report.steps), default=None) if self.report else None

    @property
    def error(self) -> str:
        """`photocal: 4 stars found, 10 needed`."""
        if self.report is None or self.report.state != Report.State.FAILED:
            return ""
        return f"{self.report.error_step or 'set-up'}: {self.report.error_message or self.report.error_type}"


def ticks(report: Report | None) -> list[tuple[str, str]]:
    """(step, done, failed, running or none) of every step that was planned."""
    if report is None:
        return []
    found, running = [], report.state == Report.State.RUNNING
    for name in report.plan:
        if name == report.error_step:
            found.append((name, "failed"))
        elif name in report.reached:
            found.append((name, "done"))
        elif running:
            found.append((name, "running"))
            running = False
        else:
            found.append((name, "none"))
    return found


def ccds(exposure: Exposure, tag: ChosenTag) -> list[CCDRow]:
    """The CCDs that were tried or have an image or a filter of their own, failures first."""
    reports = latest_reports([exposure.pk], tag).get(exposure.pk, {})
    images = tag.narrow(Image.objects.filter(kind=Image.Kind.SCIENCE, exposure=exposure)).defer("wcs", "quality")
    by_section = {image.section: image for image in images.order_by("created_at")}
    rows, states = [], {report.state for report in reports.values()}
    left_out = bool(states) and Report.State.RUNNING not in states
    for section in sorted({*reports, *by_section, *exposure.filters}):
        report, image = reports.get(section), by_section.get(section)
        band = exposure.filters.get(section) or (image.filter if image else exposure.filter)
        rows.append(CCDRow(section, report, image, band, report.counts if report else {}, left_out))
    return sorted(rows, key=lambda row: (row.state != "failed", row.section))


def neighbours(exposure: Exposure, tag: ChosenTag) -> tuple[str, str]:
    """Names of the exposures before and after it."""
    rows = tag.narrow(Exposure.objects.filter(instrument=exposure.instrument))
    before = rows.filter(mjd__lt=exposure.mjd).order_by("-mjd").values_list("name", flat=True).first()
    after = rows.filter(mjd__gt=exposure.mjd).order_by("mjd").values_list("name", flat=True).first()
    return before or "", after or ""


def nearest(rows: QuerySet[Exposure], wanted: dict[str, Any]) -> list[tuple[str, str]]:
    """(sentence, name) of the exposures that come closest in time and on the sky to a search that found none."""
    found = []
    if (start := wanted.get("start")) is not None and (name := _first(rows.filter(mjd__lt=start).order_by("-mjd"))):
        found.append(("The last one before that time is", name))
    if (end := wanted.get("end")) is not None and (name := _first(rows.filter(mjd__gte=end).order_by("mjd"))):
        found.append(("The first one after that time is", name))
    if (place := wanted.get("position")) is not None:
        science = list(rows.filter(kind=Exposure.Kind.SCIENCE).order_by().values_list("name", "ra", "dec"))
        if science:
            names, ra, dec = zip(*science)
            away = sky.separation(*place, np.array(ra), np.array(dec))
            closest = int(np.argmin(away))
            side = sky.direction(*place, ra[closest], dec[closest])
            found.append((f"The nearest centre of an exposure is {away[closest]:.1f}° to the {side}:", names[closest]))
    return found


def _first(rows: QuerySet[Exposure]) -> str | None:
    return rows.values_list("name", flat=True).first()
