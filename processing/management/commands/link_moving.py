"""Tracklets of a night."""

from __future__ import annotations

import datetime
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from rich.console import Console
from rich.table import Table

from processing.linking import link_night
from processing.management.step_command import EngineCommand
from processing.progress import bar
from products.dates import mjd_of
from products.models import Tracklet, TrackletSet
from products.selectors.tags import DEFAULT

SHOWN = 40  # tracklets in the table
WIDTH = 100  # characters of a line where no terminal says how many
STAGES = 2  # that are told: what there is to link, and what was found


class Command(EngineCommand):
    help = """Link the detections of one night that lie along a straight line: what moved.

Kept detections that brightened are linked, but for those of objects that were seen in other nights too. It can be run
again when more of the night has been processed; from the same detections nothing is made twice.
example: manage.py link_moving --night 2026-11-22 --tag current
example: manage.py link_moving --night 2026-11-22 --set linking.links.max_rate=300"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--night", type=_night, required=True, metavar="DATE", help="It begins at noon UT of this day, YYYY-MM-DD."
        )
        parser.add_argument("--tag", help=f"Link what was measured under this tag; as --provenance-tag [{DEFAULT}].")
        parser.add_argument("--json", metavar="FILE", help="Write what was found.")

    def work(self, options: dict[str, Any]) -> None:
        options["provenance_tag"] = tag = options["tag"] or options["provenance_tag"] or DEFAULT
        night = int(mjd_of(options["night"]))
        with bar(f"night {options['night']:%Y-%m-%d}", STAGES) as tick:
            found = link_night(night, tag, self.configuration(options), tick)
        rows = list(found.tracklets.all())
        chance = ", ".join(f"{float(value):.2g} of {number} or more" for number, value in sorted(found.chance.items()))
        self.stdout.write(
            f"{found.n_detections} detections, {found.n_tracklets} tracklets"
            + (f"; by chance one expects {chance}" if chance and found.n_detections else "")
        )
        if not found.n_detections:
            self.stdout.write(
                f"nothing under the tag '{tag}' can be linked in the night from noon UT of "
                f"{options['night']:%Y-%m-%d} on: is that the date of its evening?"
            )
        if rows:
            Console(file=self.stdout._out, width=None if self.stdout.isatty() else WIDTH).print(_table(rows))
        self.write_json(options["json"], _as_json(found, rows))


def _night(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.combine(datetime.date.fromisoformat(text), datetime.time(), datetime.UTC)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not a date such as 2026-11-22") from None


def _table(rows: list[Tracklet]) -> Table:
    title = f"The first {SHOWN} of {len(rows)} tracklets" if len(rows) > SHOWN else f"{len(rows)} tracklets"
    table = Table(title=title)
    for name in ("detections", "RA", "Dec", "arcsec/h", "towards", "residual ″", "mag", "known as"):
        table.add_column(name, justify="left" if name == "known as" else "right")
    for row in rows[:SHOWN]:
        magnitude = "" if row.magnitude is None else f"{row.magnitude:.2f}"
        numbers = f"{row.rate:.2f}", f"{row.position_angle:.0f}°", f"{row.residual:.2f}", magnitude
        table.add_row(str(row.n_detections), f"{row.ra:.5f}", f"{row.dec:+.5f}", *numbers, row.known_as)
    return table


def _as_json(found: TrackletSet, rows: list[Tracklet]) -> dict[str, Any]:
    names = ("id", "n_detections", "mjd", "ra", "dec", "rate", "position_angle", "residual", "magnitude", "known_as")
    return {
        "night": found.night,
        "provenance": found.provenance_id,
        "detections": found.n_detections,
        "chance": found.chance,
        "tracklets": [{name: getattr(row, name) for name in names} for row in rows],
    }
