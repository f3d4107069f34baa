"""The demo: from nothing to alerts in the browser."""

from __future__ import annotations

import errno
import os
import socket
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import reverse
from rich.console import Console
from rich.table import Table

from processing.demo import Outcome, run_demo
from processing.management.step_command import EngineCommand, number_of_processes
from processing.progress import bars
from processing.simulated_night import Night
from products.models import Object

HOST, PORT = "127.0.0.1", 8000


class Command(EngineCommand):
    help = """Simulate a small night of raw exposures, process it to alerts, and compare with what was put in.

Makes the database where it is missing. Running it again finds what exists and makes nothing twice.

  manage.py demo --serve                 go on to serve the site, to look at what was found
  manage.py demo --serve --port 8001     the same where port 8000 is taken"""
    needs_tables = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        size = Night()
        parser.add_argument("--json", metavar="FILE", help="Write the numbers.")
        parser.add_argument("--serve", action="store_true", help=f"Serve the site on {HOST} afterwards.")
        parser.add_argument("--port", type=port_number, default=PORT, help=f"On which port [{PORT}].")
        parser.add_argument(
            "--numprocs",
            type=number_of_processes,
            default=os.cpu_count() or 1,
            help="CCDs processed at once [number of cores].",
        )
        parser.add_argument("--ccds", type=int, default=size.ccds, help=f"CCDs of the mosaic [{size.ccds}].")
        parser.add_argument("--side", type=int, default=size.side, help=f"Pixels of a CCD along an axis [{size.side}].")
        parser.add_argument("--seed", type=int, default=size.seed, help=f"Another seed is another sky [{size.seed}].")

    def work(self, options: dict[str, Any]) -> None:
        if options["ccds"] < 1 or not 256 <= options["side"] <= 4096:
            raise CommandError("--ccds must be at least 1 and --side between 256 and 4096")
        if options["serve"]:
            refuse_taken(options["port"])  # now: in some minutes nobody may be looking
        call_command("migrate", verbosity=0, interactive=False)
        night = Night(ccds=options["ccds"], side=options["side"], seed=options["seed"])
        with bars() as tell:
            outcome = run_demo(night, settings.SEECHANGE_DATA / "demo", numprocs=options["numprocs"], tell=tell)
        self.write_json(options["json"], outcome.summary())
        self._show(outcome, options["port"])
        if outcome.sections_failed:
            reasons = "".join(f"\n  {number} × {text}" for text, number in outcome.errors.most_common(5))
            raise CommandError(f"{outcome.sections_failed} CCDs did not finish:{reasons}")
        if options["serve"]:
            call_command("runserver", f"{HOST}:{options['port']}", use_reloader=False)

    def _show(self, outcome: Outcome, port: int) -> None:
        console = Console(file=self.stdout, width=None if self.stdout.isatty() else 100)
        faint_in, faint_out = outcome.faint
        table = Table(title="Found against put in")
        for title, justify in (("", "left"), ("injected", "right"), ("recovered", "right"), ("missed", "right")):
            table.add_column(title, justify=justify)
        table.add_row("transients, S/N > 10", *map(str, (outcome.injected, outcome.recovered, len(outcome.missed))))
        table.add_row("transients, S/N 5 to 10", *map(str, (faint_in, faint_out, faint_in - faint_out)))
        console.print(table)
        console.print(f"{outcome.alerts} alerts: {outcome.true_alerts} true, {outcome.false_alerts} false")
        for row in outcome.missed:
            console.print(
                f"  missed: S/N {row['snr']:.0f}, {row['mag']:.1f} mag, {row['exposure']} {row['section']}: "
                f"{row['reason']}"
            )
        for title, unit, times in (
            ("Where the time went", "seconds", outcome.seconds),
            ("of it, in the steps of all CCDs", "CPU s", outcome.steps),
        ):
            table = Table(title=title)
            table.add_column("")
            table.add_column(unit, justify="right")
            for name, value in times.items():
                table.add_row(name, f"{value:.1f}")
            table.add_row("together", f"{sum(times.values()):.1f}")
            console.print(table)
        self._addresses(console, port)

    def _addresses(self, console: Console, port: int) -> None:
        thing = Object.objects.order_by("-n_measurements", "name").first()
        pages = {"the night": "/", "exposures": "/exposures/", "candidates": "/candidates/"}
        if thing:
            pages["the object seen most often"] = reverse("object", kwargs={"name": thing.name})
        runserver = "python manage.py runserver" + (f" {port}" if port != PORT else "")
        console.print(f"To look at it run: {runserver} (or this command with --serve), and open")
        for title, page in pages.items():
            console.print(f"  http://{HOST}:{port}{page}  {title}", soft_wrap=True)
        console.print("To label and to change things run: python manage.py createsuperuser, and log in at /login/")


def port_number(text: str) -> int:
    """A port that a program may ask for."""
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise ArgumentTypeError(f"'{text}' is not a port: they go from 1 to 65535")
    return int(text)


def refuse_taken(port: int) -> None:
    """CommandError where the site cannot be served on a port; it names one that is free."""
    if reason := why_not(port):
        free = next((other for other in range(max(port + 1, 1024), 65536) if not why_not(other)), None)
        hint = f"choose another, e.g. --port {free}" if free else "choose another with --port"
        raise CommandError(f"port {port} {reason}; {hint}")


def why_not(port: int) -> str:
    """Why nothing can listen on a port; empty where it is free."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            listener.bind((HOST, port))
        except OSError as error:
            return "is taken by another program" if error.errno == errno.EADDRINUSE else f"is refused: {error.strerror}"
    return ""
