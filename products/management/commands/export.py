"""Measurements, objects and detections for other programs."""

from __future__ import annotations

import difflib
import uuid
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from products import exporting
from products.errors import ArchiveError
from products.models import Exposure, Image
from products.selectors.tables import TABLES
from products.selectors.tags import DEFAULT, ChosenTag, tag_or_usual
from products.services import tagging

STDOUT = "-"


class Command(BaseCommand):
    help = """Write a table of what was found; the ending of the name chooses the format.

  manage.py export measurements --exposure demo_20261123_042219 -o night.fits
  manage.py export objects -o objects.csv                 everything under the tag that pages show
  manage.py export detections --exposure NAME --section N1 -o -    as CSV on standard output

measurements: what was saved, with score, cuts that it failed, and object. objects: one line an object.
detections: every peak of the difference images, also those that were not saved.
FITS and ECSV carry units and explanations of the columns; CSV has names only; JSON has all of it.
Positions are ICRS degrees, pixels count from 0, magnitudes are AB, dates MJD (UTC)."""
    requires_migrations_checks = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> ArgumentParser:
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=TABLES, help="Which table.")
        parser.add_argument("--exposure", default="", metavar="NAME", help="Of this exposure only, by name or id.")
        parser.add_argument("--section", default="", metavar="CCD", help="Of this CCD only.")
        parser.add_argument(
            "--provenance-tag", metavar="TAG", help=f"Products of which provenances [{DEFAULT}, else the newest tag]."
        )
        parser.add_argument(
            "-o",
            "--output",
            required=True,
            metavar="FILE",
            help=f"{', '.join('x' + ending for ending in exporting.FORMATS)}, or {STDOUT} for CSV on standard output.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        what, output = options["what"], options["output"]
        try:
            if output != STDOUT:
                exporting.format_of(Path(output))
            tag = _tag(options["provenance_tag"])
            exposure = _exposure(options["exposure"])
            section = _section(options["section"], exposure)
            table = TABLES[what](tag, exposure.name if exposure else "", section)
            table.meta = {"tag": tag.name, "exposure": exposure.name if exposure else "", "section": section}
            if output != STDOUT:
                exporting.write(table, Path(output))
        except (ValueError, ArchiveError, OSError) as error:
            raise CommandError(" ".join(str(error).split())) from error
        if output == STDOUT:
            self.stdout.write(exporting.as_csv(table), ending="")
        else:
            self.stdout.write(f"{len(table)} {what} of the tag '{tag.name}' written to {output}")


def _tag(asked: str | None) -> ChosenTag:
    """The tag asked for; as on the pages `current`, else the one that changed last, where none is."""
    tag = tag_or_usual(asked or "")
    if not tag.ids:
        tagging.refuse_unknown(tag.name)
    return tag


def _exposure(text: str) -> Exposure | None:
    if not text:
        return None
    try:
        chosen = {"pk": uuid.UUID(text)}
    except ValueError:
        chosen = {"name": text}
    if row := Exposure.objects.filter(**chosen).first():
        return row
    names = Exposure.objects.order_by("-mjd").values_list("name", flat=True)[:2000]
    close = difflib.get_close_matches(text, names, n=1)
    hint = f"did you mean '{close[0]}'?" if close else "the page /exposures/ lists what there is"
    raise ValueError(f"there is no exposure '{text}'; {hint}")


def _section(name: str, exposure: Exposure | None) -> str:
    """The CCD, where it has an image."""
    images = Image.objects.filter(exposure=exposure) if exposure else Image.objects.filter(exposure__isnull=False)
    if name and not images.filter(section=name).exists():
        known = sorted(set(images.order_by().values_list("section", flat=True).distinct()))
        whose = exposure.name if exposure else "any exposure"
        raise ValueError(f"there is no image of section '{name}' of {whose}; there are: {', '.join(known) or 'none'}")
    return name
