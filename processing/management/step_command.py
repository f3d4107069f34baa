"""What the commands share: options for configuration, one clear line for an expected failure, exit status 1."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
import uuid
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from processing import config
from processing.errors import Interrupted
from processing.exposures import RunSettings, ingest, process_section, sections_of
from processing.instruments.base import Instrument
from processing.parameters import ConfigurationError
from processing.reporting import LOST, expected
from processing.step import Step
from products.interrupts import interrupt
from products.models import Exposure, Report


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Expected failures become one line for people; SIGTERM stops as Ctrl-C does: what is half done is given up."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        heard = [one for one in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(one) is not signal.SIG_IGN]
        before = {one: signal.signal(one, interrupt) for one in heard}
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if isinstance(expected(error), Interrupted):
            raise CommandError(str(Interrupted()), returncode=128 + signal.SIGINT) from error
        if isinstance(error, LOST):
            reason = " ".join(str(error).split())
            raise CommandError(f"the database cannot be used: {reason}; is it there (DATABASE_URL)?") from error
        if not hasattr(error, "details"):
            raise
        raise CommandError(" ".join(str(error).split())) from error
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def require_migrated() -> None:
    """CommandError where the tables are not those of this version."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError("the database lacks the tables of this version; run: python manage.py migrate")


def refuse_unwritable(path: str | None) -> None:
    """CommandError, before hours of work, for a summary that could not be written after them."""
    if path and not (Path(path).parent.is_dir() and not Path(path).is_dir()):
        raise CommandError(f"the summary cannot be written to {path}: name a file in a folder that exists")


def said_of(text: object, error: Exception) -> str:
    """One line about a file or exposure that cannot be used; it names what the error itself does not."""
    line = " ".join(str(error).split())
    return line if str(text) in line else f"{text}: {line}"


def number_of_processes(text: str) -> int:
    """Whole, and not below 0."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"'{text}' is not a whole number from 0 on")
    return int(text)


def number_of_seconds(text: str) -> float:
    """Above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise ArgumentTypeError(f"'{text}' is not a number of seconds above 0")
    return seconds


class EngineCommand(BaseCommand):
    """A command of the engine: `--config`, `--set` and the tag of provenances."""

    needs_tables = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> ArgumentParser:
        parser = super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        group = parser.add_argument_group("configuration")
        group.add_argument(
            "--config", metavar="FILE", help="YAML configuration; default: the setting SEECHANGE_CONFIG."
        )
        group.add_argument(
            "--set",
            metavar="STEP.PARAMETER=VALUE",
            action="append",
            default=[],
            dest="assignments",
            help="Change one parameter, e.g. --set detection.peaks.threshold=6; may be given several times.",
        )
        group.add_argument(
            "--provenance-tag", metavar="TAG", help="Gather the provenances of this run under TAG [current]."
        )

    def configuration(self, options: dict[str, Any]) -> dict[str, Any]:
        """The configuration of this run."""
        found = config.assign(config.load(options["config"]), self.assignments(options))
        config.refuse_wrong(found)
        return found

    def assignments(self, options: dict[str, Any]) -> list[str]:
        """What the command line changes, as for `--set`."""
        named = {"pipeline.provenance_tag": "provenance_tag", "referencing.refset": "refset"}
        texts = {key: options.get(name) for key, name in named.items()}
        return [*options["assignments"], *(config.assignment(key, text) for key, text in texts.items() if text)]

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            if self.needs_tables:
                require_migrated()
            refuse_unwritable(options.get("json"))
            self.work(options)

    def work(self, options: dict[str, Any]) -> None:
        """What the command does."""
        raise NotImplementedError

    def write_json(self, path: str | None, content: Any) -> None:
        """Write a summary where one is asked for."""
        if not path:
            return
        try:
            Path(path).write_text(json.dumps(content, indent=1, default=str, allow_nan=False) + "\n")
        except OSError as error:
            raise CommandError(f"the summary could not be written: {error}") from error


def instrument_from(options: dict[str, Any], configuration: dict[str, Any]) -> Instrument:
    """The instrument by `--instrument`, with the options of the block `instrument` of the configuration."""
    if not options["instrument"]:
        known = ", ".join(Instrument.members())
        raise ConfigurationError(f"say of which instrument the files are: --instrument NAME; there are: {known}")
    return Instrument.member(options["instrument"]).build(configuration.get("instrument", {}), "instrument")


def known_exposure(text: str) -> Exposure | None:
    """The exposure with this name or id; CommandError where instruments share the name: any choice could be wrong."""
    known = Exposure.objects.filter(name=text)
    with contextlib.suppress(ValueError):
        known = known | Exposure.objects.filter(pk=uuid.UUID(text))
    rows = list(known[:5])
    if len(rows) > 1:
        ids = ", ".join(f"{row.pk} ({row.instrument})" for row in rows)
        raise CommandError(f"several exposures are called {text}; give the id of one: {ids}")
    return rows[0] if rows else None


def ingested_exposure(text: str) -> Exposure:
    """The exposure with this name or id; CommandError says how to get it."""
    if row := known_exposure(text):
        return row
    raise CommandError(f"no exposure has the name or id {text}; take its file in: manage.py ingest FILE")


def exposure_named(text: str, options: dict[str, Any], configuration: dict[str, Any]) -> Exposure:
    """An exposure by the name or id of its row, or taken in from a file."""
    if row := known_exposure(text):
        if any(item.startswith("instrument.") for item in options["assignments"]):
            hint = "leave out --set instrument.…, or take the file in under another name"
            raise CommandError(f"{text} is known and keeps what was read when it was taken in; {hint}")
        return row
    path = Path(text)
    if path.is_dir():
        raise CommandError(f"{text} is a folder; name the files in it")
    if not path.exists():
        raise CommandError(f"{text} is neither a file nor the name of an ingested exposure")
    return ingest(path, instrument_from(options, configuration))


class StepCommand(EngineCommand):
    """One step on an existing image: options come from the declarations of its parameters."""

    step: type[Step]

    @property
    def help(self) -> str:
        return (
            f"{(self.step.__doc__ or '').strip()}\n\nWhat comes before is found or made; what exists is not made again."
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("exposure", help="Name or id of an ingested exposure.")
        parser.add_argument(
            "--section", action="append", default=[], help="CCD; all if not given; may be given several times."
        )
        parser.add_argument("--refset", help="Set of references to choose from.")
        group = parser.add_argument_group(f"parameters of {self.step.name}")
        for row in self.step.parameters_class().declarations():
            unit = row["unit"] or "no unit"
            text = f"{row['help']} [{unit}; default {row['default']}]".replace("%", "%%")
            group.add_argument(
                "--" + row["name"].replace("_", "-"), dest=f"parameter_{row['name']}", metavar="VALUE", help=text
            )

    def work(self, options: dict[str, Any]) -> None:
        changes = tuple(self._parameters(options))
        configuration = config.assign(self.configuration(options), changes)
        config.refuse_wrong(configuration)
        exposure = ingested_exposure(options["exposure"])
        assignments = (*self.assignments(options), *changes)
        settings = RunSettings(configuration=configuration, assignments=assignments, through=self.step.name)
        failed = 0
        for section in sections_of(exposure, options["section"]):
            report = process_section(exposure, section, settings)
            failed += report.state != Report.State.DONE
            self.stdout.write(f"{section}: {line_of(report)}")
        if failed:
            raise CommandError(f"{failed} of the CCDs did not finish")

    def _parameters(self, options: dict[str, Any]) -> Iterator[str]:
        """The parameters of the step that were given, as for `--set`."""
        for row in self.step.parameters_class().declarations():
            name, value = f"{self.step.name}.{row['name']}", options.get(f"parameter_{row['name']}")
            if value is not None:
                yield config.assignment(name, value) if row["annotation"] is str else f"{name}={value}"


def line_of(report: Report) -> str:
    """One line about a CCD."""
    if report.state == Report.State.DONE:
        counts = ", ".join(f"{key} {value}" for key, value in report.counts.items() if value is not None)
        return f"done in {report.seconds:.1f} s; {counts}"
    return f"stopped in {report.error_step or 'the set-up'}: {report.error_message}"


def summary(exposure: Exposure, reports: list[Report]) -> dict[str, Any]:
    """What `--json` writes of an exposure."""
    return {
        "exposure": exposure.name,
        "instrument": exposure.instrument,
        "provenances": {name: found for report in reports for name, found in report.provenances.items()},
        "sections": {
            report.section: {
                "status": report.state,
                "attempt": report.attempt,
                "seconds": round(report.seconds, 3),
                "steps": report.steps,
                "counts": report.counts,
                "error": None
                if report.state == Report.State.DONE
                else {
                    "step": report.error_step,
                    "type": report.error_type,
                    "message": report.error_message,
                    "details": report.error_details,
                },
            }
            for report in reports
        },
    }
