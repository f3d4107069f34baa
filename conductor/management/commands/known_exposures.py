"""Known exposures from the command line."""

from __future__ import annotations

import getpass
import os
import uuid
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from conductor import selectors
from conductor.errors import UnknownKnownExposure
from conductor.models import KnownExposure
from conductor.services.adding import add, named_instrument
from conductor.services.claiming import SCIENCE
from conductor.services.moving import ACTIONS, move
from processing.instruments.offers import Unreadable
from processing.management.step_command import clear_errors

ABOUT = """Exposures that wait to be processed, or were: add raw files, list them, hold them, hand them out again.

The conductor hands ready ones to launchers (`manage.py launch`), the highest priority and then the oldest first.

examples:
  manage.py known_exposures add raw/*.fits.fz --instrument demo        they are ready to be claimed
  manage.py known_exposures add new.fits --instrument demo --hold --priority 5
  manage.py known_exposures list --state failed --state partial
  manage.py known_exposures history new.fits                           what happened to it, and who did it
  manage.py known_exposures ready new.fits --reason "reference made"   hand it out (again); attempts begin at nought
  manage.py known_exposures release new.fits                           take it from its holder, which can finish no more
  manage.py known_exposures change new.fits --priority 10 --through-step photocal

Exposures are named by identifier (the raw file's name) or id. Exit status 1 when something was refused."""


class Command(BaseCommand):
    help = ABOUT
    requires_migrations_checks = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        adding = actions.add_parser("add", help="Make raw files known.")
        adding.add_argument("files", nargs="+", type=Path, metavar="FILE", help="Raw files.")
        adding.add_argument("--instrument", required=True, help="Instrument of the files.")
        adding.add_argument("--hold", action="store_true", help="Do not hand them out before somebody says so.")
        adding.add_argument("--priority", type=int, default=0, help="Higher is handed out first [0].")
        adding.add_argument("--through-step", default="", metavar="STEP", help="Last step to be done; default: all.")
        listing = actions.add_parser("list", help="The known exposures, latest first, and how many are in which state.")
        listing.add_argument("--state", action="append", choices=KnownExposure.State.values, help="Of these states.")
        listing.add_argument("--instrument", default="", help="Of this instrument.")
        listing.add_argument("--limit", type=int, default=50, metavar="N", help="At most N of them [50].")
        past = actions.add_parser("history", help="What happened to known exposures.")
        past.add_argument("names", nargs="+", metavar="NAME", help="Identifier or id.")
        for name, action in ACTIONS.items():
            moving = actions.add_parser(name, help=action.help)
            moving.add_argument("names", nargs="+", metavar="NAME", help="Identifier or id.")
            moving.add_argument("--reason", default="", help="Why, for those who ask later.")
            if name == "change":
                self._add_values(moving)

    def _add_values(self, parser: CommandParser) -> None:
        from django.utils.dateparse import parse_datetime
        from django.utils.timezone import is_naive, make_aware

        def moment(text: str) -> Any:
            if text == "now":
                return None
            found = parse_datetime(text)
            if found is None:
                raise ArgumentTypeError(f"'{text}' is no time like 2026-11-23T20:00, nor 'now'")
            return make_aware(found) if is_naive(found) else found

        parser.add_argument("--priority", type=int, help="Higher is handed out first.")
        parser.add_argument("--not-before", type=moment, default=..., metavar="TIME", help="UTC, or now.")
        parser.add_argument("--through-step", metavar="STEP", help="Last step to be done.")

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            getattr(self, f"_{options['action']}", self._move)(options)

    def _add(self, options: dict[str, Any]) -> None:
        instrument = named_instrument(options["instrument"])
        found = [instrument.offer(path.absolute()) for path in options["files"]]
        added = add(
            instrument.name,
            [one for one in found if not isinstance(one, Unreadable)],
            actor=person(),
            hold=options["hold"],
            priority=options["priority"],
            through_step=options["through_step"],
        )
        for row in added.new:
            self.stdout.write(f"{row.identifier}: {row.state}")
        for name in added.known:
            self.stdout.write(f"{name}: known already, left as it is")
        refused = [one for one in found if isinstance(one, Unreadable)] + added.refused
        for one in refused:
            self.stderr.write(f"{one.identifier}: {one.reason}")
        if refused:
            raise CommandError(f"{len(refused)} of {len(found)} files were not added")

    def _list(self, options: dict[str, Any]) -> None:
        rows = selectors.rows()
        rows = rows.filter(state__in=options["state"]) if options["state"] else rows
        rows = rows.filter(instrument=options["instrument"]) if options["instrument"] else rows
        for row in rows[: max(options["limit"], 0)]:
            kind = "" if row.kind in SCIENCE else f"{row.kind}, "
            waits = row.state == KnownExposure.State.READY and row.not_before and row.not_before > timezone.now()
            when = f", not before {row.not_before:%Y-%m-%d %H:%M} UT" if waits else ""
            who = f", {row.worker}" if row.worker else ""
            why = f": {row.last_error}" if row.last_error else ""
            self.stdout.write(
                f"{row.state:<8}{row.mjd:>12.5f} {row.filter or '-':<4} {row.identifier}  {kind}"
                f"priority {row.priority}, attempt {row.attempt}{when}{who}{why}"
            )
        self.stdout.write(", ".join(f"{number} {state}" for state, number in selectors.counts(rows).items() if number))

    def _history(self, options: dict[str, Any]) -> None:
        for row in map(_named, options["names"]):
            for event in selectors.history(row).order_by("id"):
                why = f": {event.reason}" if event.reason else ""
                self.stdout.write(f"{event.at:%Y-%m-%d %H:%M:%S}  {row}  {event.what} by {event.actor}{why}")

    def _move(self, options: dict[str, Any]) -> None:
        rows = [_named(name) for name in options["names"]]
        values = {name: options.get(name) for name in ("priority", "through_step") if options.get(name) is not None}
        if options.get("not_before", ...) is not ...:
            values["not_before"] = options["not_before"]
        moved = move(options["action"], [row.pk for row in rows], actor=person(), reason=options["reason"], **values)
        for one in moved:
            if one.ok:
                self.stdout.write(f"{one.identifier}: {one.state or 'deleted'}")
            else:
                self.stderr.write(f"{one.identifier}: {one.error}")
        if wrong := sum(not one.ok for one in moved):
            raise CommandError(f"{wrong} of {len(moved)} were left as they are")


def _named(text: str) -> KnownExposure:
    """The known exposure of that identifier or id; an error where there is none, or one of each of many instruments."""
    try:
        found = list(KnownExposure.objects.filter(pk=uuid.UUID(text)))
    except ValueError:
        found = list(KnownExposure.objects.filter(identifier=text))
    if len(found) > 1:
        listed = ", ".join(f"{row.pk} ({row.instrument})" for row in found)
        raise UnknownKnownExposure(asked=text, hint=f"; there are several, give an id: {listed}")
    if not found:
        raise UnknownKnownExposure(asked=text, hint="; `manage.py known_exposures list` shows what there is")
    return found[0]


def person() -> str:
    """Who does it, as events tell; in containers, users often have a number only."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"user {os.getuid()}"
    return f"{name} (command line)"
