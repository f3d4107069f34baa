"""Orbits of asteroids."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from processing.errors import BadInput
from processing.management.step_command import EngineCommand
from processing.orbit_catalogs import import_orbits
from products.dates import date_of_mjd


class Command(EngineCommand):
    help = """Keep the orbits of a file in the format of MPCORB.DAT (plain or .gz), by which known asteroids are found.

Import a new one every few weeks, under the same name: for each image the one is used whose epoch is nearest.
example: manage.py import_orbits MPCORB.DAT.gz --name mpc
then:    manage.py process_exposure FILE --set knownobjects.source=mpcorb"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="The file, as the Minor Planet Center gives it.")
        parser.add_argument("--name", default="mpc", help="What knownobjects.source.catalog calls it [mpc].")

    def work(self, options: dict[str, Any]) -> None:
        name = options["name"]
        if not re.fullmatch(r"[\w.+-]{1,40}", name):
            raise BadInput(what=f"--name {name}", reason="letters, digits, _ . + and - are possible, 40 at most")
        row, lines = import_orbits(options["file"], name)
        self.stdout.write(f"{row.n_orbits} orbits of {name}, epoch {date_of_mjd(row.epoch):%Y-%m-%d}")
        if lines.n_bad:
            self.stderr.write(f"{lines.n_bad} lines are no orbits and were left out: {lines.told()}")
