"""Send what has not gone out."""

from __future__ import annotations

import datetime
import getpass
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management import CommandError

from processing.management.step_command import EngineCommand
from processing.sending import send
from processing.steps.alerting import Alerting
from products.dates import mjd_of
from products.models import Alert
from products.models.alerts import AlertRows
from products.services.resending import send_again


class Command(EngineCommand):
    help = (
        "Send the alerts that wait, e.g. after a broker was down. Those that went out are not sent again, unless "
        "--again or --dead asks for it; who asked and why is kept."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--night", metavar="DATE", help="Only those of the night that begins on this day (UTC).")
        parser.add_argument(
            "--stream", action="append", default=[], help="Only those of this stream; may be given several times."
        )
        parser.add_argument("--now", action="store_true", help="Also those whose next try is later.")
        again = parser.add_argument_group("sending again")
        again.add_argument("--again", nargs="+", metavar="ID", default=[], help="Send these again, sent or given up.")
        again.add_argument(
            "--dead", action="store_true", help="Try those again that were given up, of the night and stream."
        )
        again.add_argument("--why", default="", help="Why they are sent again; needed for it.")
        again.add_argument("--by", metavar="NAME", help="Who wants it; the user of this machine if not given.")

    def work(self, options: dict[str, Any]) -> None:
        rows = chosen(options)
        if options["again"] or options["dead"]:
            if not options["why"]:
                raise CommandError("say with --why for what reason they are sent again")
            keys = _known(options["again"])
            if options["dead"]:
                keys |= set(rows.filter(state=Alert.State.DEAD).values_list("pk", flat=True))
            send_again(keys, who=options["by"] or _user(), why=options["why"])
            rows = rows | Alert.objects.filter(pk__in=keys) if options["again"] else rows
        streams = Alerting(**self.configuration(options).get("alerting", {})).parameters.streams
        gone = send(rows, streams, early=options["now"])
        self.report(rows, gone, [stream.name for stream in streams])

    def report(self, rows: AlertRows, gone: int, streams: list[str]) -> None:
        """Say what went out and what did not, and why."""
        waiting = rows.filter(state=Alert.State.PENDING)
        self.stdout.write(f"{gone} sent, {waiting.count()} still waiting")
        if withheld := rows.withheld().count():
            self.stdout.write(f"{withheld} withheld: what they rest on is marked as bad")
        unknown = waiting.exclude(stream__in=streams).order_by().values_list("stream", flat=True).distinct()
        if names := sorted(unknown):
            self.stdout.write(f"the configuration has no stream {', '.join(names)}: its alerts wait until it has")
        if dead := rows.filter(state=Alert.State.DEAD).count():
            self.stdout.write(f"{dead} given up: /alerts/?state=dead says why, --dead tries them again")


def chosen(options: dict[str, Any]) -> AlertRows:
    """The alerts of the night and the streams that are asked for."""
    rows = Alert.objects.all()
    if options["stream"]:
        rows = rows.filter(stream__in=options["stream"])
    if options["night"]:
        try:
            day = datetime.date.fromisoformat(options["night"])
        except ValueError:
            raise CommandError(f"--night {options['night']} is no date like 2026-11-23") from None
        noon = mjd_of(datetime.datetime.combine(day, datetime.time(12), datetime.UTC))
        rows = rows.filter(score__measurement__mjd__gte=noon, score__measurement__mjd__lt=noon + 1)
    return rows


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in containers, users often have a number only
        raise CommandError("the user of this machine has no name; say with --by who wants it") from None


def _known(texts: list[str]) -> set[UUID]:
    """The ids of alerts that there are; CommandError names another."""
    keys = set()
    for text in texts:
        try:
            keys.add(UUID(text))
        except ValueError:
            raise CommandError(f"{text} is not the id of an alert") from None
    if missing := keys - set(Alert.objects.filter(pk__in=keys).values_list("pk", flat=True)):
        raise CommandError(f"there is no alert {', '.join(map(str, sorted(missing)))}")
    return keys
