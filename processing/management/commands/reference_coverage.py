"""Which references cover a position."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from processing.management.reference_options import position_of
from processing.management.step_command import EngineCommand
from products.models import Reference, RefSet
from products.reference_coverage import Cover, covers


class Command(EngineCommand):
    help = """Say which references cover a position, with how many images and how deep there.

example: manage.py reference_coverage "10:12:30 -05:10:00" --filter g"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("position", metavar="RA DEC", help="Degrees, or hours and degrees, in quotes.")
        parser.add_argument("--filter", default="", help="Short name; all if not given.")
        parser.add_argument("--refset", default="", help="Only those of this set.")
        parser.add_argument("--json", metavar="FILE", help="Write what was found.")

    def work(self, options: dict[str, Any]) -> None:
        ra, dec = position_of(options["position"])
        rows = Reference.objects.select_related("zero_point__world_coordinates__sources__image")
        rows = rows.filter(filter=options["filter"]) if options["filter"] else rows
        rows = rows.filter(provenance__refsets__name=options["refset"]) if options["refset"] else rows
        found = covers(rows.containing(ra, dec), ra, dec)
        found.sort(key=lambda one: (one.reference.filter, not one.is_usable, -(one.limit or 0)))
        sets = dict.fromkeys(one.reference.provenance_id for one in found)
        for name, provenance in RefSet.objects.filter(provenance__in=sets).values_list("name", "provenance"):
            sets[provenance] = name
        for one in found:
            self.stdout.write(_line(one, sets[one.reference.provenance_id]))
        if not found:
            band = f" in {options['filter']}" if options["filter"] else ""
            self.stdout.write(f"no reference covers {ra:.5f} {dec:+.5f}{band}; make one: manage.py make_reference")
        self.write_json(options["json"], [_as_json(one, sets[one.reference.provenance_id]) for one in found])


def _line(one: Cover, refset: str | None) -> str:
    row = one.reference
    number = "?" if one.n_images is None else str(one.n_images)
    depth = f"limit {one.limit:.2f} mag" if one.limit is not None else "no limit"
    state = row.badness.label or ("no usable pixel there" if one.has_gap else "good")
    where = f"{row.filter}  {row.instrument} {row.section}  set {refset or '-'}"
    return f"{where}  {number} images  {depth}  {state}  {row.pk}"


def _as_json(one: Cover, refset: str | None) -> dict[str, Any]:
    row = one.reference
    return {
        "id": row.pk,
        "refset": refset,
        "filter": row.filter,
        "instrument": row.instrument,
        "section": row.section,
        "x": one.x,
        "y": one.y,
        "images": one.n_images,
        "limiting_magnitude": one.limit,
        "usable": one.is_usable,
        "badness": row.badness.names,
    }
