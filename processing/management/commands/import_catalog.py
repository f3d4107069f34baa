"""A star catalogue of one's own."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from processing.catalogs.base import read_catalog
from processing.errors import BadInput
from processing.management.step_command import EngineCommand
from processing.star_catalogs import keep_excerpt


class Command(EngineCommand):
    help = """Keep the stars of a table (FITS, CSV, ECSV, VOTable) for astrometry and photometry.

It needs ra and dec in degrees (ICRS) and magnitudes; proper motions (mas/yr) and errors are used where they are.
example: manage.py import_catalog stars.csv --name gaia_dr3 --epoch 2016.0"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path)
        parser.add_argument("--name", required=True, help="Name of the catalogue, e.g. gaia_dr3.")
        parser.add_argument("--epoch", type=float, default=2016.0, help="Epoch of the positions, Julian year [2016.0].")

    def work(self, options: dict[str, Any]) -> None:
        if not 1800 < options["epoch"] < 2200:
            raise BadInput(what=f"--epoch {options['epoch']:g}", reason="a Julian year is needed, e.g. 2016.0")
        row = keep_excerpt(read_catalog(options["file"]), options["name"], options["epoch"])
        bands = ", ".join(row.filters)
        self.stdout.write(f"{row.n_stars} stars of {row.origin} around {row.ra:.4f} {row.dec:+.4f}, magnitudes {bands}")
