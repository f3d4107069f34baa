from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from processing.calibrator_choice import Kind
from processing.management.master_command import MasterCommand


class Command(MasterCommand):
    kind = Kind.CROSSTALK
    made = "Measure the crosstalk between amplifiers from bright stars and register the table for use."
    teaching = """\
What part of a bright star shows up where another amplifier reads at the same moment. Several exposures with many
bright stars that are not saturated are needed. Amplifiers of the same CCD are compared; with --all-pairs those of
different CCDs too, which takes much longer.

examples:
  manage.py measure_crosstalk --night 2026-11-22 --instrument decam
  manage.py measure_crosstalk field_*.fits --instrument ls4 --all-pairs --numprocs 16"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--all-pairs", action="store_true", help="Look for ghosts of other CCDs too.")

    def assignments(self, options: dict[str, Any]) -> list[str]:
        more = ["measure_crosstalk.all_pairs=true"] if options["all_pairs"] else []
        return [*super().assignments(options), *more]
