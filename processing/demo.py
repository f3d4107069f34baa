"""The demo: a small simulated night, from calibration frames to alerts, held against what was injected."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from processing import config
from processing.calibrations import make_master
from processing.exposures import RunSettings, ingest, process_jobs, sections_of
from processing.instruments.base import Instrument
from processing.reference_choice import Choice
from processing.references import make_reference
from processing.simulated_night import EPOCH, FIRST_MJD, Night, truth_of, write_night
from processing.star_catalogs import keep_excerpt
from products.models import Alert, DifferenceImage, Exposure, Image, Measurement, Report
from products.pixel_flags import PixelFlag
from products.sky import separation

Tell = Callable[[str, int], Callable[[str], None]]  # (title, total) -> tick


@dataclass
class Outcome:
    """What came out of the demo, held against the truth."""

    injected: int = 0
    recovered: int = 0
    false_alerts: int = 0
    sections_ok: int = 0
    sections_failed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    missed: list[dict[str, Any]] = field(default_factory=list)
    alerts: int = 0
    true_alerts: int = 0
    faint: tuple[int, int] = (0, 0)  # injected and recovered at S/N 5 to 10
    steps: dict[str, float] = field(default_factory=dict)  # CPU seconds
    errors: Counter[str] = field(default_factory=Counter)  # of the CCDs that failed

    def summary(self) -> dict[str, Any]:
        """The numbers for `--json`."""
        return {
            "injected": self.injected,
            "recovered": self.recovered,
            "false_alerts": self.false_alerts,
            "true_alerts": self.true_alerts,
            "sections_ok": self.sections_ok,
            "sections_failed": self.sections_failed,
            "seconds": round(sum(self.seconds.values()), 2),
            "seconds_by_stage": {name: round(value, 2) for name, value in self.seconds.items()},
        }


def run_demo(
    night: Night, folder: Path, *, numprocs: int, tell: Tell, settings: Mapping[str, Any] | None = None
) -> Outcome:
    """Simulate, calibrate, reference, process and compare; what exists from an earlier demo is found.

    `settings` is a configuration to use instead of that of the demo; it must name the set of references `demo`.
    """
    outcome, clock = Outcome(), time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        outcome.seconds[name] = time.perf_counter() - clock
        clock = time.perf_counter()

    settings = settings or demo_configuration()
    tick = tell("simulating the night", night.n_exposures)
    files = write_night(night, folder, tick)
    lap("simulating")
    camera = Instrument.member("demo")()
    exposures = [ingest(path, camera) for path in files.exposures]
    keep_excerpt(files.catalog, "demo", EPOCH)
    lap("ingesting")
    _calibration_frames(exposures, settings, tell)
    lap("calibration frames")
    science = [row for row in exposures if row.kind == "science"]
    early = [row for row in science if row.mjd < FIRST_MJD]
    late = [row for row in science if row.mjd >= FIRST_MJD]
    reports = _process(early, settings, "photocal", numprocs, tell, "calibrating early epochs")
    _references(sorted({row.filter for row in early}), settings, tell)
    lap("references")
    reports += _process(late, settings, "", numprocs, tell, "raw pixels to alerts")
    lap("processing")
    outcome.sections_ok = sum(report.state == Report.State.DONE for report in reports)
    outcome.sections_failed = len(reports) - outcome.sections_ok
    outcome.errors = Counter(f"{row.error_step}: {row.error_message}" for row in reports if row.error_message)
    for report in reports:
        for step in report.steps:
            outcome.steps[step["name"]] = outcome.steps.get(step["name"], 0.0) + step["cpu_seconds"]
    compare(night, late, outcome)
    lap("comparing")
    return outcome


def demo_configuration() -> dict[str, Any]:
    """The configuration of the demo."""
    return config.load(Path(__file__).parent / "configs" / "demo.yaml")


def _calibration_frames(exposures: list[Exposure], settings: Mapping[str, Any], tell: Tell) -> None:
    groups = [("bias", [row for row in exposures if row.kind == "bias"])]
    flats = [row for row in exposures if row.kind == "flat"]
    groups += [("flat", [row for row in flats if row.filter == band]) for band in sorted({row.filter for row in flats})]
    sections = sections_of(exposures[0])
    tick = tell("calibration frames", len(groups) * len(sections))
    for kind, rows in groups:
        for section in sections:
            make_master(kind, rows, section, configuration=settings)
            tick(f"{kind} {section}")


def _process(
    exposures: list[Exposure], settings: Mapping[str, Any], through: str, numprocs: int, tell: Tell, title: str
) -> list[Report]:
    run = RunSettings(configuration=settings, through=through)
    jobs = [(row, section, run) for row in exposures for section in sections_of(row)]
    tick = tell(title, len(jobs))
    return process_jobs(jobs, numprocs=numprocs, progress=lambda job, step: step or tick(f"{job[0].name} {job[1]}"))


def _references(bands: list[str], settings: Mapping[str, Any], tell: Tell) -> None:
    tag = config.tag_of(settings)
    groups = []
    for band in bands:
        choice = Choice(("demo",), filter=band, tag=tag, mjd_range=(0.0, FIRST_MJD))
        groups += list(choice.groups().values())
    tick = tell("references", len(groups))
    for rows in groups:
        row = make_reference(rows, "demo", settings, description="Early epochs of the demo's field.")
        tick(f"{row.filter} {row.section}")


def compare(night: Night, exposures: list[Exposure], outcome: Outcome) -> None:
    """Fill in what was recovered, missed and false: injected transients with S/N > 10 away from masks count."""
    faint = [0, 0]
    for exposure in exposures:
        for section in sections_of(exposure):
            image = Image.objects.filter(exposure=exposure, section=section, kind="science").first()
            difference = Image.objects.filter(exposure=exposure, section=section, kind="difference").first()
            if difference is None:
                continue
            difference = difference.as_kind()
            truth = truth_of(night, exposure, section)
            alerts = _alerted(exposure, section)
            changed = truth[np.isin(truth["kind"], ["transient", "variable"])]
            for row in alerts:
                near = (
                    separation(row.ra, row.dec, changed["ra"], changed["dec"]) * 3600 if len(changed) else np.array([])
                )
                outcome.alerts += 1
                outcome.true_alerts += bool((near < 1.5).any())
            outcome.false_alerts = outcome.alerts - outcome.true_alerts
            for source in truth[truth["kind"] == "transient"]:
                snr = _expected_snr(source, difference)
                if snr is None or snr < 5:
                    continue
                found = any(separation(row.ra, row.dec, source["ra"], source["dec"]) * 3600 < 1.5 for row in alerts)
                if snr < 10:
                    faint[0] += 1
                    faint[1] += found
                    continue
                outcome.injected += 1
                outcome.recovered += found
                if not found:
                    outcome.missed.append(_why(source, exposure, section, snr, image))
    outcome.faint = tuple(faint)


def _alerted(exposure: Exposure, section: str) -> list[Measurement]:
    return list(
        Measurement.objects.filter(
            scores__alerts__in=Alert.objects.all(),
            measurement_set__cutouts__sources__image__zero_point__world_coordinates__sources__image__exposure=exposure,
            measurement_set__cutouts__sources__image__section=section,
        ).distinct()
    )


def _expected_snr(source: np.void, planes: DifferenceImage) -> float | None:
    """S/N that the injected flux should have here; None on or beside masked pixels and beyond the image."""
    x, y = round(float(source["x"])), round(float(source["y"]))
    ny, nx = planes.shape
    if not (4 <= x < nx - 4 and 4 <= y < ny - 4):
        return None
    box = (slice(y - 3, y + 4), slice(x - 3, x + 4))
    spoiled = int(PixelFlag.BRIGHT_HALO)
    if (planes.weight[box] <= 0).any() or (planes.flags[box] & spoiled).any():
        return None
    return float(source["flux"]) / float(planes.alpha_error[y, x])


def _why(source: np.void, exposure: Exposure, section: str, snr: float, image: Image) -> dict[str, Any]:
    """What became of a transient that gave no alert."""
    rows = Measurement.objects.filter(
        measurement_set__cutouts__sources__image__zero_point__world_coordinates__sources__image=image
    ).near(float(source["ra"]), float(source["dec"]), 1.5)
    if not rows:
        reason = "not detected"
    elif rows[0].is_bad:
        reason = f"cut: {', '.join(rows[0].failed_cuts)}"
    elif score := rows[0].scores.first():
        reason = f"score {score.score:.2f} too low"
    else:
        reason = "not scored"
    return {
        "exposure": exposure.name,
        "section": section,
        "snr": round(snr, 1),
        "mag": float(source["mag"]),
        "reason": reason,
    }
