"""Take in raw exposures."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from processing.errors import StepError
from processing.exposures import ingest, sections_of
from processing.management.step_command import EngineCommand, instrument_from, said_of
from products.errors import ArchiveError


class Command(EngineCommand):
    help = "Take raw files into the data folder and make a row of each; a file that is known already is left alone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("files", nargs="+", type=Path, help="Raw files.")
        parser.add_argument("--instrument", default="generic", help="Instrument of the files [generic].")

    def work(self, options: dict[str, Any]) -> None:
        instrument, failed = instrument_from(options, self.configuration(options)), 0
        for path in options["files"]:
            try:
                row = ingest(path, instrument)
                sections = ", ".join(sections_of(row))
                self.stdout.write(
                    f"{row.name}: {row.kind}, {row.filter or 'no filter'}, MJD {row.mjd:.5f}, CCDs {sections}"
                )
            except (StepError, ArchiveError) as error:
                failed += 1
                self.stderr.write(said_of(path, error))
        if failed:
            raise CommandError(f"{failed} of {len(options['files'])} files were not taken in")
