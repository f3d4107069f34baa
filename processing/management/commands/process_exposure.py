"""Bring exposures from raw files to alerts."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from processing.errors import StepError
from processing.exposures import RunSettings, process_exposure, sections_of
from processing.management.step_command import (
    EngineCommand,
    exposure_named,
    instrument_from,
    line_of,
    number_of_processes,
    said_of,
    summary,
)
from processing.pipelines import SCIENCE
from processing.progress import bar
from processing.tasks import enqueue_exposure
from products.errors import ArchiveError
from products.models import Exposure, Report


class Command(EngineCommand):
    help = """Bring exposures through all steps, raw pixels to alerts: one process a CCD.

examples:
  manage.py process_exposure night/image_0042.fits --instrument demo
  manage.py process_exposure my.fits --instrument generic --set instrument.gain=1.5 --through-step photocal
  manage.py process_exposure demo_0042 --sections C1 --refset mine --json summary.json

A CCD that fails, or whose process is killed, fails alone; the exit status is 0 only if every CCD finished."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        last = [step.name for step in SCIENCE]
        parser.add_argument(
            "exposures", nargs="+", metavar="FILE|NAME|ID", help="Raw files, or exposures that were ingested."
        )
        parser.add_argument("--instrument", default="generic", help="Instrument of the files [generic].")
        parser.add_argument("--sections", default="", metavar="A,B", help="Only these CCDs, separated by commas.")
        parser.add_argument(
            "--numprocs",
            type=number_of_processes,
            default=os.cpu_count() or 1,
            help="CCDs processed at once [number of cores]; 0: in this process, one after the other.",
        )
        parser.add_argument(
            "--through-step", choices=last, default="", metavar="STEP", help=f"Stop after: {', '.join(last)}."
        )
        parser.add_argument("--refset", help="Set of references to choose from [default].")
        parser.add_argument(
            "--fakes", action="store_true", help="Afterwards inject fakes and analyse what becomes of them."
        )
        parser.add_argument(
            "--queue", action="store_true", help="Put them into the queue, which `manage.py cluster` works off."
        )
        parser.add_argument(
            "--json", metavar="FILE", help="Write a summary: steps, times, memory, counts, errors of each CCD."
        )

    def work(self, options: dict[str, Any]) -> None:
        configuration = self.configuration(options)
        instrument_from(options, configuration)
        settings = RunSettings(
            configuration=configuration,
            assignments=tuple(self.assignments(options)),
            through=options["through_step"],
            fakes=options["fakes"],
        )
        summaries, reports, refused = [], [], []
        for text in options["exposures"]:
            try:
                exposure = exposure_named(text, options, configuration)
                found = self._process(exposure, settings, options)
            except (StepError, ArchiveError, CommandError) as error:
                refused.append(said_of(text, error))
                summaries.append({"exposure": text, "error": {"type": type(error).__name__, "message": refused[-1]}})
            else:
                summaries.append(summary(exposure, found))
                reports += found
        self.write_json(options["json"], summaries[0] if len(summaries) == 1 else summaries)
        self._conclude(reports, refused)

    def _process(self, exposure: Exposure, settings: RunSettings, options: dict[str, Any]) -> list[Report]:
        names = sections_of(exposure, [name for name in options["sections"].split(",") if name])
        if options["queue"]:
            enqueue_exposure(exposure, settings, sections=names, numprocs=options["numprocs"])
            self.stdout.write(f"{exposure.name}: in the queue; manage.py cluster works it off")
            return []
        steps = 1 + [step.name for step in SCIENCE].index(settings.through or SCIENCE[-1].name)
        with bar(exposure.name, steps * len(names)) as tick:
            reports = process_exposure(
                exposure, settings, sections=names, numprocs=options["numprocs"],
                progress=lambda section, step: step and tick(f"{section} {step}"),
            )  # fmt: skip
        for report in reports:
            self.stdout.write(f"{exposure.name} {report.section}: {line_of(report)}")
        return reports

    def _conclude(self, reports: list[Report], refused: list[str]) -> None:
        """Exit status 0 only if every CCD of every exposure finished."""
        failed = sum(report.state != Report.State.DONE for report in reports)
        if refused and not reports:
            raise CommandError("\n".join(refused))
        for line in refused:
            self.stderr.write(line)
        said = [f"{failed} of {len(reports)} CCDs did not finish; their reports say why"] if failed else []
        said += [f"{len(refused)} exposures could not be used"] if refused else []
        if said:
            raise CommandError("; ".join(said))
