"""What the commands that make references share: the set, the piece of sky, and what becomes of older ones."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from processing.management.step_command import ingested_exposure
from processing.reference_choice import Area
from processing.references import supersede_with
from products.models import Image, Reference
from products.sky import parse_position


def add_refset(parser: ArgumentParser) -> None:
    """Options for the set that the reference goes into."""
    parser.add_argument("--refset", default="default", help="Name of the set [default].")
    parser.add_argument("--description", default="", help="Of the set, when it is new.")
    parser.add_argument(
        "--supersede",
        action="store_true",
        help="Mark the references of the set that the new one covers as superseded: what used them stays as it is.",
    )


def replace_older(command: BaseCommand, made: Sequence[Reference], options: dict[str, Any]) -> None:
    """Supersede where that is asked for, and say what."""
    if not options["supersede"]:
        return
    for row in made:
        for old in supersede_with(row, options["refset"]):
            command.stdout.write(f"superseded: {old} of {old.created_at:%Y-%m-%d} ({old.pk})")


def area_from(options: dict[str, Any]) -> Area | None:
    """The piece of sky that `--position` or `--covering` name; CommandError where they name none."""
    if options["position"] and options["covering"]:
        raise CommandError("--position and --covering both say where: give one of them")
    if options["position"]:
        if not 0 <= options["radius"] <= 30:
            raise CommandError(f"--radius {options['radius']:g}: 0 to 30 degrees are possible")
        ra, dec = position_of(options["position"])
        return Area(f"the disc of {options['radius']:g} deg at {ra:.4f} {dec:+.4f}", disc=(ra, dec, options["radius"]))
    if not options["covering"]:
        return None
    name, _, section = options["covering"].partition(":")
    exposure = ingested_exposure(name)
    rows = Image.objects.filter(exposure=exposure, kind=Image.Kind.SCIENCE)
    rows = [row for row in (rows.filter(section=section) if section else rows) if row.corners]
    if not rows:
        raise CommandError(
            f"{options['covering']} has no image yet whose footprint is known; process it with --through-step "
            "preprocessing, or give --position"
        )
    return Area.of(rows, options["covering"])


def position_of(text: str) -> tuple[float, float]:
    """RA and Dec in degrees of what was typed."""
    try:
        return parse_position(text)
    except ValueError as error:
        raise CommandError(f"'{text}' is no position: {error}") from error
