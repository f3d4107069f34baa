"""Fakes for exposures that were processed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from processing.exposures import RunSettings, process_section, sections_of
from processing.management.step_command import EngineCommand, ingested_exposure, line_of
from products.models import Report


class Command(EngineCommand):
    help = "Inject fakes into processed CCDs, run them again from the subtraction on, and say how many come back."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("exposure", help="Name or id of an ingested exposure.")
        parser.add_argument("--section", action="append", default=[], help="CCD; all if not given.")
        parser.add_argument("--refset", help="Set of references to choose from.")

    def work(self, options: dict[str, Any]) -> None:
        configuration = self.configuration(options)
        assignments = tuple(self.assignments(options))
        settings = RunSettings(configuration=configuration, assignments=assignments, fakes=True)
        exposure = ingested_exposure(options["exposure"])
        failed = 0
        for section in sections_of(exposure, options["section"]):
            report = process_section(exposure, section, settings)
            failed += report.state != Report.State.DONE
            self.stdout.write(f"{section}: {line_of(report)}")
        if failed:
            raise CommandError(f"{failed} of the CCDs did not finish")
