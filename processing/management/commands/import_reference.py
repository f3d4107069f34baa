"""An existing deep image as reference."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from processing import config
from processing.exposures import RunSettings, process_section, sections_of
from processing.management.step_command import EngineCommand, exposure_named, line_of
from processing.references import calibrated, register
from products.models import Report


class Command(EngineCommand):
    help = """Make an existing image the reference of its filter and piece of sky; it is calibrated, not stacked.

example: manage.py import_reference deep_g.fits --instrument generic --set instrument.gain=30 --refset mine"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("exposure", metavar="FILE|NAME", help="The image, or the name of an ingested exposure.")
        parser.add_argument("--instrument", default="generic", help="Instrument of the file [generic].")
        parser.add_argument("--sections", default="", metavar="A,B", help="Only these CCDs.")
        parser.add_argument("--refset", default="default", help="Name of the set [default].")
        parser.add_argument("--description", default="", help="Of the set, when it is new.")

    def work(self, options: dict[str, Any]) -> None:
        options = {**options, "refset": None, "into": options["refset"]}  # it chooses no reference, it makes one
        configuration, assignments = self.configuration(options), tuple(self.assignments(options))
        settings = RunSettings(configuration=configuration, assignments=assignments, through="photocal")
        exposure = exposure_named(options["exposure"], options, configuration)
        for section in sections_of(exposure, [name for name in options["sections"].split(",") if name]):
            report = process_section(exposure, section, settings)
            if report.state != Report.State.DONE:
                raise CommandError(f"{exposure.name} {section}: {line_of(report)}")
            zero_point = calibrated(exposure, section, config.tag_of(configuration))
            row = register(zero_point, options["into"], description=options["description"])
            self.stdout.write(f"{section}: limit {row.zero_point.limiting_magnitude:.2f} mag, {row.image.filepath}")
