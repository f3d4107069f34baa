"""What making master frames shares."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from processing.calibrations import common_sections, make_master
from processing.management.step_command import EngineCommand, exposure_named
from processing.progress import bar
from products.models import CalibratorFile


class MasterCommand(EngineCommand):
    """Master frames of one kind from raw exposures."""

    kind: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "exposures", nargs="+", metavar="FILE|NAME", help="Raw files, or exposures that were ingested."
        )
        parser.add_argument("--instrument", default="", help="Instrument of the files; not needed for names.")
        parser.add_argument("--sections", default="", metavar="A,B", help="Only these CCDs.")
        parser.add_argument("--calibrator-set", default="general", choices=CalibratorFile.Set.values, help="[general]")
        parser.add_argument("--valid-from", type=float, metavar="MJD", help="First date at which they hold [any].")
        parser.add_argument("--valid-to", type=float, metavar="MJD", help="Last date at which they hold [any].")

    def work(self, options: dict[str, Any]) -> None:
        configuration = self.configuration(options)
        exposures = [exposure_named(text, options, configuration) for text in options["exposures"]]
        sections = common_sections(exposures, [name for name in options["sections"].split(",") if name])
        with bar(f"master {self.kind}", len(sections)) as tick:
            for section in sections:
                row = make_master(
                    self.kind, exposures, section, configuration=configuration,
                    calibrator_set=options["calibrator_set"], valid=(options["valid_from"], options["valid_to"]),
                )  # fmt: skip
                tick(section)
                self.stdout.write(f"{row}: {row.image.filepath}")
