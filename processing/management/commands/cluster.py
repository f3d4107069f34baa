"""Work the queue off."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django_q.conf import Conf

from processing.management.step_command import clear_errors, number_of_seconds, require_migrated
from processing.queue.supervisor import Limits, Supervisor


class Command(BaseCommand):
    help = """Work the queue off: what process_exposure --queue put in, watches, and alerts that wait.

examples:
  manage.py cluster
  QUEUE_WORKERS=4 manage.py cluster --stop-limit 30

It runs until SIGTERM or Ctrl-C, then gives running tasks some time; what is cut short is given back and goes on where
it was at the next start. Several clusters, also on several machines, may work for the same database. A cluster that
hangs is killed and replaced, which the log and the page of the queue say."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> ArgumentParser:
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        default = Limits()
        for option, value, text in (
            ("--still-limit", default.still, "Replace the workers when no task was done so long, though one was free"),
            ("--stop-limit", default.stop, "What running tasks have left after SIGTERM"),
            ("--pause", default.pause, "Before a task whose worker was killed is tried again"),
        ):
            parser.add_argument(
                option, type=number_of_seconds, default=value, metavar="SECONDS", help=f"{text} [{value:g}]."
            )

    def handle(self, *args: Any, **options: Any) -> None:
        limits = Limits(still=options["still_limit"], stop=options["stop_limit"], pause=options["pause"])
        with clear_errors():
            require_migrated()
        if Conf.WORKERS < 1 or Conf.TIMEOUT < 1:
            raise CommandError("QUEUE_WORKERS and QUEUE_TIMEOUT must be above 0: nothing would be done")
        self.stdout.write(f"{Conf.WORKERS} workers; Ctrl-C stops them")
        Supervisor(limits).run()
