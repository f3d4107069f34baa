"""Star catalogues of one's own."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from processing.catalogs.partitions import files_of
from processing.catalogs.tables import kind_of
from processing.errors import BadInput
from processing.management.step_command import EngineCommand
from processing.star_catalogs import import_tables


class Command(EngineCommand):
    help = """Keep the stars of tables (Parquet, FITS, CSV, ECSV, VOTable) for astrometry and photometry.

They need ra and dec (ICRS, degrees or another unit that the table names) and magnitudes; errors, proper motions
(mas/yr), parallaxes and flags are kept where they are. The table of one field is kept as it is; larger ones, and
folders of tables, are kept by HEALPix cell, whatever their size. A copy of Gaia that is split by HEALPix already can be
used where it is, without importing it: --set astrocal.catalog="{name: gaia_dr3, service: healpix, url: FOLDER}".
example: manage.py import_catalog stars.csv --name gaia_dr3 --epoch 2016.0
example: manage.py import_catalog /data/survey/ --name survey --epoch 2015.5"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, nargs="+", help="Tables, or folders of them.")
        parser.add_argument("--name", required=True, help="Name of the catalogue, e.g. gaia_dr3.")
        parser.add_argument("--epoch", type=float, default=2016.0, help="Epoch of the positions, Julian year [2016.0].")

    def work(self, options: dict[str, Any]) -> None:
        if not 1800 < options["epoch"] < 2200:
            raise BadInput(what=f"--epoch {options['epoch']:g}", reason="a Julian year is needed, e.g. 2016.0")
        if not re.fullmatch(r"[\w.+-]{1,40}", options["name"]) or options["name"] == "local":
            reason = "letters, digits, _ . + and - are possible, 40 at most, and not 'local'"
            raise BadInput(what=f"--name {options['name']}", reason=reason)
        paths = [one for path in options["file"] for one in (files_of(path) if path.is_dir() else [path])]
        for path in paths:
            kind_of(path)
        say = self.stderr.write if options["verbosity"] > 1 else lambda text: None
        rows = import_tables(paths, options["name"], options["epoch"], say)
        bands, stars = ", ".join(rows[0].filters), sum(row.n_stars for row in rows)
        where = f"around {rows[0].ra:.4f} {rows[0].dec:+.4f}"
        if rows[0].order is not None:
            where = f"in {len(rows)} HEALPix cells of order {rows[0].order}"
        self.stdout.write(f"{stars} stars of {rows[0].origin} {where}, magnitudes {bands}")
