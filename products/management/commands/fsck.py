"""Check that files and rows belong together, and put right what can be."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from products import storage
from products.selectors.files import count_recorded
from products.services.checking import (
    GRACE_HOURS,
    Finding,
    Tell,
    Trouble,
    check_files,
    every_file,
    no_file,
    turn_of,
)
from products.services.consistency import check_alerts, check_badness
from products.services.repairing import delete_left_over, repair

SHOWN = 20  # lines of one kind


class Command(BaseCommand):
    help = """Hold files and rows against each other, here and in the archive. Nothing is changed without --repair.

  manage.py fsck                  every file of a row is there and has its size; nothing is left over
  manage.py fsck --full           and has its checksum: every file is read
  manage.py fsck --sample 100     the checksums of a hundredth of the files, every day of others: for a nightly job
  manage.py fsck --repair         fetch, copy to the archive, delete what no row names, hand on badness

Nothing that has a row is ever deleted. Exit status: 0 when all is well, 1 when something is left to do."""
    requires_migrations_checks = True

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> ArgumentParser:
        return super().create_parser(prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        depth = parser.add_mutually_exclusive_group()
        depth.add_argument("--full", action="store_true", help="Read every file and compare its checksum.")
        depth.add_argument(
            "--sample", type=int, metavar="DAYS", help="Compare checksums of today's part: each file once in DAYS days."
        )
        action = parser.add_mutually_exclusive_group()
        action.add_argument("--dry", action="store_true", help="Only report; this is the default.")
        action.add_argument("--repair", action="store_true", help="Put right what can be put right without a loss.")
        parser.add_argument(
            "--grace",
            type=float,
            default=GRACE_HOURS,
            metavar="HOURS",
            help=f"What is younger may belong to something that runs, and is left alone [{GRACE_HOURS:.0f}].",
        )
        parser.add_argument(
            "--delete-most",
            action="store_true",
            help="With --repair: delete files without row even where they outnumber those with one.",
        )
        parser.add_argument("--json", metavar="FILE", help="Write every finding; - writes to standard output.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["sample"] is not None and options["sample"] < 1:
            raise CommandError("--sample needs a number of days, 1 or more")
        if options["grace"] < 0:
            raise CommandError("--grace needs a number of hours, 0 or more")
        if (archive := storage.archive_root()) and not archive.is_dir() and count_recorded():
            raise CommandError(f"the archive {archive} is not there; is it mounted? (SEECHANGE_ARCHIVE)")
        with _bars() as tell:
            findings = list(self._findings(options, tell))
        if options["repair"]:
            delete_left_over(findings, even_if_most=options["delete_most"])
        left = sum(finding.is_open for finding in findings)
        if options["json"] == "-":
            self.stdout.write(_as_json(findings))
        else:
            self._show(findings, options["verbosity"])
            if options["json"]:
                Path(options["json"]).write_text(_as_json(findings))
        if left:
            raise CommandError(f"{left} problem{'s' if left > 1 else ''} left")

    @staticmethod
    def _findings(options: dict[str, Any], tell: Tell) -> Iterator[Finding]:
        """What is wrong; repaired at once where that needs no look at the whole."""
        hashed = every_file if options["full"] else turn_of(options["sample"]) if options["sample"] else no_file
        for finding in check_files(hashed, options["grace"], tell):
            if options["repair"]:
                repair(finding)
            yield finding
        mismatches = list(check_badness(tell))
        for finding in mismatches:
            if options["repair"]:
                repair(finding)
        yield from mismatches
        yield from check_alerts(options["grace"])

    def _show(self, findings: list[Finding], verbosity: int) -> None:
        where = f"{storage.root()}" + (f" and {storage.archive_root()}" if storage.archive_root() else "")
        if not findings:
            self.stdout.write(f"All is well in {where}.")
        for trouble in Trouble:
            found = [finding for finding in findings if finding.trouble is trouble]
            if not found:
                continue
            repaired = sum(finding.repaired for finding in found)
            note = f", {repaired} repaired" if repaired else ""
            hint = f" ({trouble.remedy})" if repaired < len(found) else ""
            self.stdout.write(f"{trouble.title}: {len(found)}{note}{hint}")
            shown = found if verbosity > 1 else found[:SHOWN]
            for finding in shown:
                mark = "  repaired: " if finding.repaired else "  "
                self.stdout.write(f"{mark}{finding.what}" + (f": {finding.detail}" if finding.detail else ""))
            if len(shown) < len(found):
                self.stdout.write(f"  … and {len(found) - len(shown)} more (--verbosity 2 or --json lists them all)")


def _as_json(findings: list[Finding]) -> str:
    content = {
        "data": str(storage.root()),
        "archive": str(storage.archive_root() or ""),
        "problems_left": sum(finding.is_open for finding in findings),
        "counts": Counter(finding.trouble.name.lower() for finding in findings),
        "findings": [
            {
                "trouble": finding.trouble.name.lower(),
                "what": finding.what,
                "row": finding.record.row if finding.record else "",
                "detail": finding.detail,
                "is_problem": finding.trouble.is_problem,
                "repaired": finding.repaired,
            }
            for finding in findings
        ],
    }
    return json.dumps(content, indent=1) + "\n"


@contextmanager
def _bars() -> Iterator[Tell]:
    """A bar on a terminal, silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda title, total: lambda number: None
        return
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:

        def tell(title: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(title, total=total)
            return lambda number: progress.update(task, advance=number)

        yield tell
