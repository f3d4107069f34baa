"""Look for new exposures."""

from __future__ import annotations

import time
from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import close_old_connections

from conductor import steps
from conductor.errors import CannotLook
from conductor.management.commands.known_exposures import person
from conductor.models import Watch
from conductor.services import watches
from conductor.watching import Look, check_arguments, due, look_all
from processing.instruments.offers import argument_value
from processing.management.step_command import clear_errors
from processing.reporting import LOST

PAUSE, AFTER_LOSS = 1.0, 10.0  # s between two looks at what is due; more while the database is away

ABOUT = """Look through folders and archives for new exposures, again and again, and make them known.

A watch has a name, an instrument, search arguments (here, in the admin or by the REST API) and an interval. It runs
until it is stopped; several such processes do not get into each other's way. With a queue (`manage.py cluster`)
none is needed.

examples:
  manage.py watch tonight --create --instrument demo --argument folder=/data/raw --interval 60
  manage.py watch                      all watches, each when it is due
  manage.py watch tonight --once       look now, say what was found, and end
  manage.py watch --list               every watch and what it found last

Exit status of --once: 1 when a watch could not look."""


class Command(BaseCommand):
    help = ABOUT
    requires_migrations_checks = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", default="", metavar="NAME", help="This watch only; default: all.")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--once", action="store_true", help="Look now, due or not, and end.")
        what.add_argument("--create", action="store_true", help="Make the watch, or change the one of that name.")
        what.add_argument("--list", action="store_true", help="Show the watches.")
        made = parser.add_argument_group("of --create")
        made.add_argument("--instrument", help="Instrument that knows where to look.")
        made.add_argument(
            "--argument", action="append", default=[], metavar="NAME=VALUE", help="What it is asked for; repeatable."
        )
        made.add_argument("--interval", type=int, default=120, metavar="SECONDS", help="Between two looks [120].")
        made.add_argument("--hold", action="store_true", help="New exposures wait until somebody makes them ready.")
        made.add_argument("--priority", type=int, default=0, help="Of what it finds [0].")
        made.add_argument("--through-step", default="", metavar="STEP", help="Last step for what it finds.")

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            if options["create"]:
                self._create(options)
            elif options["list"]:
                self._list(self._chosen(options["name"]))
            elif options["once"]:
                self._once(self._chosen(options["name"]))
            else:
                self._for_ever(options["name"])

    def _create(self, options: dict[str, Any]) -> None:
        if not (options["name"] and options["instrument"]):
            raise CommandError("--create needs a NAME and --instrument")
        if wrong := [text for text in options["argument"] if "=" not in text]:
            raise CommandError(f"'{wrong[0]}': write --argument NAME=VALUE")
        pairs = (text.split("=", 1) for text in options["argument"])
        arguments = {name: argument_value(text) for name, text in pairs}
        check_arguments(options["instrument"], arguments)
        values = {name: options[name] for name in ("instrument", "interval", "hold", "priority")}
        values |= {"arguments": arguments, "through_step": steps.checked(options["through_step"])}
        watch = Watch.objects.filter(name=options["name"]).first() or Watch(name=options["name"])
        done = "changed" if watch.pk else "made"
        for name, value in values.items():
            setattr(watch, name, value)
        try:
            watch.clean_fields()
        except ValidationError as error:
            raise CommandError("; ".join(f"{name}: {said[0]}" for name, said in error.message_dict.items())) from error
        watches.save(watch, actor=person())
        self.stdout.write(f"watch {watch} {done}; it looks while `manage.py watch` runs")

    def _chosen(self, name: str) -> list[Watch]:
        found = list(Watch.objects.filter(name=name) if name else Watch.objects.all())
        if name and not found:
            known = ", ".join(Watch.objects.values_list("name", flat=True)) or "none"
            raise CannotLook(reason=f"there is no watch '{name}'; there are: {known}")
        return found

    def _list(self, watches: list[Watch]) -> None:
        for watch in watches:
            last = f"{watch.last_run:%Y-%m-%d %H:%M:%S}" if watch.last_run else "never"
            how = "paused" if watch.is_paused else f"every {watch.interval} s{', holds' if watch.hold else ''}"
            said = watch.last_error or watch.last_result
            self.stdout.write(f"{watch}: {watch.instrument} {watch.arguments}, {how}; last {last} {said}".rstrip())

    def _once(self, watches: list[Watch]) -> None:
        found = look_all(watches)
        for one in found:
            self._tell(one)
        busy = {watch.name for watch in watches} - {one.watch for one in found}
        for name in sorted(busy):
            self.stdout.write(f"{name}: another process is looking")
        if failed := [one.watch for one in found if one.error]:
            raise CommandError(f"{', '.join(failed)} could not look")

    def _for_ever(self, name: str) -> None:
        said: dict[str, str] = {}
        while True:
            try:
                for one in look_all(due(self._chosen(name))):
                    if one.new or said.get(one.watch) != str(one):
                        self._tell(one)
                    said[one.watch] = str(one)
            except LOST as error:
                self.stderr.write(f"the database cannot be used ({' '.join(str(error).split())}); it is tried again")
                close_old_connections()
                time.sleep(AFTER_LOSS)
            time.sleep(PAUSE)

    def _tell(self, one: Look) -> None:
        stream = self.stderr if one.error else self.stdout
        stream.write(f"{one.watch}: {one}")
        stream.flush()
