"""References from calibrated images."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from processing import config
from processing.management.step_command import EngineCommand
from processing.progress import bar
from processing.references import Choice, make_reference


class Command(EngineCommand):
    help = """Coadd calibrated images into references, one a CCD.

example: manage.py make_reference --instrument demo --filter g --mjd-max 61300 --refset default"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--instrument", required=True)
        parser.add_argument("--filter", required=True, help="Short name of the filter.")
        parser.add_argument("--refset", default="default", help="Name of the set [default].")
        parser.add_argument("--description", default="", help="Of the set, when it is new.")
        parser.add_argument("--sections", default="", metavar="A,B", help="Only these CCDs.")
        parser.add_argument("--mjd-min", type=float, default=0.0, help="Only exposures from this date on.")
        parser.add_argument("--mjd-max", type=float, default=1e9, help="Only exposures up to this date.")
        parser.add_argument("--max-seeing", type=float, metavar="ARCSEC", help="Only images this sharp.")
        parser.add_argument("--min-number", type=int, default=1, help="Fewer images make no reference [1].")
        parser.add_argument("--max-number", type=int, default=30, help="The sharpest so many are used [30].")

    def work(self, options: dict[str, Any]) -> None:
        configuration = self.configuration(options)
        choice = Choice(
            instrument=options["instrument"],
            filter=options["filter"],
            tag=config.tag_of(configuration),
            sections=tuple(name for name in options["sections"].split(",") if name),
            mjd_range=(options["mjd_min"], options["mjd_max"]),
            max_seeing=options["max_seeing"],
            min_number=options["min_number"],
            max_number=options["max_number"],
        )
        groups = choice.groups()
        with bar(f"references {choice.filter}", len(groups)) as tick:
            for section, rows in groups.items():
                row = make_reference(rows, options["refset"], configuration, description=options["description"])
                tick(section)
                depth = row.zero_point.limiting_magnitude
                self.stdout.write(f"{section}: {len(rows)} images, limit {depth:.2f} mag, {row.image.filepath}")
