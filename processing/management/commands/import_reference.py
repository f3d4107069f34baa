"""An existing deep image as reference."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from processing import config
from processing.exposures import RunSettings, process_section, sections_of
from processing.management.reference_options import add_refset, replace_older
from processing.management.step_command import EngineCommand, exposure_named, line_of
from processing.references import calibrated, register
from products.models import Exposure, ProvenanceTag, Report


class Command(EngineCommand):
    help = """Make an existing image the reference of its filter and piece of sky; it is calibrated, not stacked.

It may come from another survey, with other pixels, another orientation and another name of the filter.

example: manage.py import_reference deep_g.fits --instrument generic --set instrument.gain=30 --refset mine
         manage.py import_reference deep.fits --set instrument.filter=r --as-filter R --refset deep"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("exposure", metavar="FILE|NAME", help="The image, or the name of an ingested exposure.")
        parser.add_argument("--instrument", default="generic", help="Instrument of the file [generic].")
        parser.add_argument("--sections", default="", metavar="A,B", help="Only these CCDs.")
        add_refset(parser)
        parser.add_argument(
            "--as-filter",
            default="",
            metavar="NAME",
            help="Filter that it serves for, where that has another name.",
        )

    def work(self, options: dict[str, Any]) -> None:
        options = {**options, "refset": None, "into": options["refset"]}  # it chooses no reference, it makes one
        exposure, made = exposure_named(options["exposure"], options, self.configuration(options)), []
        if not options["provenance_tag"] and (tag := self._tag_of_its_own(exposure, options)):
            options["provenance_tag"] = tag
            self.stdout.write(f"calibrated under the tag '{tag}': the other one holds another instrument")
        configuration, assignments = self.configuration(options), tuple(self.assignments(options))
        settings = RunSettings(configuration=configuration, assignments=assignments, through="photocal")
        for section in sections_of(exposure, [name for name in options["sections"].split(",") if name]):
            report = process_section(exposure, section, settings)
            if report.state != Report.State.DONE:
                raise CommandError(f"{exposure.name} {section}: {line_of(report)}")
            zero_point = calibrated(exposure, section, config.tag_of(configuration))
            row = register(zero_point, options["into"], description=options["description"], band=options["as_filter"])
            self.stdout.write(f"{section}: limit {row.zero_point.limiting_magnitude:.2f} mag, {row.image.filepath}")
            made.append(row)
        replace_older(self, made, {**options, "refset": options["into"]})
        cameras = ", ".join(sorted({row.instrument for row in made}))
        self.stdout.write(f"it serves images of {cameras}; others with --set referencing.same_instrument=false")

    def _tag_of_its_own(self, exposure: Exposure, options: dict[str, Any]) -> str:
        """A tag holds the images of one instrument: the name of another tag where that is a different one."""
        tag = config.tag_of(self.configuration(options))
        held = ProvenanceTag.objects.filter(tag=tag, provenance__process="acquisition")
        is_other = held.exclude(provenance=exposure.provenance_id).exists()
        return f"{tag}-{exposure.instrument}" if tag and is_other else ""
