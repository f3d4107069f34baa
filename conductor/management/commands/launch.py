"""Work off known exposures on this machine."""

from __future__ import annotations

import os
import re
import socket
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from conductor.client import Client
from conductor.launcher import Launcher, Plan
from conductor.steps import NAMES
from processing.instruments.base import Instrument
from processing.management.step_command import EngineCommand, number_of_processes, number_of_seconds

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


class Command(EngineCommand):
    help = """Claim exposures from the conductor, one after the other, and process each: one process a CCD.

examples:
  manage.py launch --cluster alpha
  manage.py launch --cluster alpha --conductor https://seechange.example.org --token-file claim_token
  manage.py launch --cluster alpha --max-run-time 11h --numprocs 32      inside a batch job of 12 hours
  manage.py launch --cluster alpha --once                                until nothing waits

It needs the address of the conductor, a token with the scope "claim" (from the account page; in a file, or in
SEECHANGE_CLAIM_TOKEN), and the database and data folder that the products go into. While it works it tells the
conductor every 15 s that it lives. SIGTERM and Ctrl-C stop what is at work cleanly, keep what is finished, and give the
exposure back. Exit status: 0 when every exposure that it took was finished or given back, 1 otherwise."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--cluster", required=True, help="Name of this cluster, as the conductor shows it.")
        parser.add_argument(
            "--node", default=socket.gethostname(), help=f"What tells it from its neighbours [{socket.gethostname()}]."
        )
        parser.add_argument(
            "--conductor", metavar="URL", default=settings.SEECHANGE_CONDUCTOR,
            help=f"Address of the site [{settings.SEECHANGE_CONDUCTOR}]; default: SEECHANGE_CONDUCTOR.",
        )  # fmt: skip
        parser.add_argument("--token-file", metavar="FILE", help="File with the token; default: SEECHANGE_CLAIM_TOKEN.")
        self._add_work(parser)
        self._add_end(parser)

    def _add_work(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--numprocs", type=at_least_one, default=os.cpu_count() or 1,
            help="CCDs processed at once [number of cores].",
        )  # fmt: skip
        parser.add_argument("--instrument", choices=sorted(Instrument.members()), default="", help="Only this one.")
        parser.add_argument(
            "--through-step", choices=NAMES, default="", metavar="STEP",
            help="Stop after this step; the conductor may ask to stop earlier.",
        )  # fmt: skip
        parser.add_argument(
            "--sections", default="", metavar="A,B",
            help="Only these CCDs, separated by commas; an exposure with more ends as partial.",
        )  # fmt: skip
        parser.add_argument("--refset", help="Set of references to choose from [default].")

    def _add_end(self, parser: ArgumentParser) -> None:
        plan = Plan("")
        parser.add_argument("--once", action="store_true", help="End when nothing waits, instead of asking again.")
        parser.add_argument("--max-exposures", type=at_least_one, metavar="N", help="End after so many exposures.")
        parser.add_argument(
            "--max-run-time", type=duration, metavar="TIME",
            help="Claim nothing after that time, e.g. 90m or 11h. What is at work then is finished: leave room for it.",
        )  # fmt: skip
        parser.add_argument(
            "--interval", type=number_of_seconds, default=plan.interval, metavar="SECONDS",
            help=f"Between two questions while nothing waits [{plan.interval:g}].",
        )  # fmt: skip
        parser.add_argument(
            "--lease", type=number_of_seconds, default=plan.lease, metavar="SECONDS",
            help=f"When nothing is heard of it so long, its exposure goes to another [{plan.lease:g}].",
        )  # fmt: skip
        parser.add_argument(
            "--min-free", type=number_of_seconds, default=plan.min_free_gb, metavar="GB",
            help=f"Claim nothing while the disk of the data folder has less room [{plan.min_free_gb:g}].",
        )  # fmt: skip

    def work(self, options: dict[str, Any]) -> None:
        plan = Plan(
            cluster=options["cluster"],
            node=options["node"],
            numprocs=options["numprocs"],
            instrument=options["instrument"],
            through_step=options["through_step"],
            sections=tuple(name for name in options["sections"].split(",") if name),
            configuration=self.configuration(options),
            assignments=tuple(self.assignments(options)),
            once=options["once"],
            max_exposures=options["max_exposures"],
            max_run_time=options["max_run_time"],
            interval=options["interval"],
            lease=options["lease"],
            min_free_gb=options["min_free"],
        )
        client = Client(options["conductor"], token_from(options["token_file"]))
        launcher = Launcher(client, plan, self._say)
        launcher.run()
        wrong = {state: number for state, number in launcher.outcome.items() if state != "done"}
        if wrong:
            said = ", ".join(f"{number} {state}" for state, number in wrong.items())
            raise CommandError(f"{said} of {launcher.outcome.total()} exposures; their reports say why")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def token_from(path: str | None) -> str:
    """The claim token; it is not an option, since everybody on the machine can read those."""
    try:
        token = Path(path).read_text().strip() if path else settings.SEECHANGE_CLAIM_TOKEN
    except OSError as error:
        raise CommandError(f"the token cannot be read: {error}") from error
    if not token or not token.isascii() or len(token.split()) != 1:
        hint = "make one with the scope claim on the account page of the site, and put it into a file of your own"
        raise CommandError(f"a token is needed (--token-file or SEECHANGE_CLAIM_TOKEN): {hint}")
    return token


def at_least_one(text: str) -> int:
    """A whole number above 0: what computes runs in processes of its own, so that heartbeats come through."""
    number = number_of_processes(text)
    if number < 1:
        raise ArgumentTypeError("at least 1")
    return number


def duration(text: str) -> float:
    """Seconds, from `90`, `90s`, `45m`, `11h` or `2d`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not found or not float(found[1]):
        raise ArgumentTypeError(f"'{text}' is not a time such as 90s, 45m or 11h")
    return float(found[1]) * UNITS[found[2]]
