"""What the admission guard says of files, without taking them in."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from processing.admission.admitting import Admitted, admit
from processing.errors import BadExposureFile
from processing.instruments.base import scratch_folder
from processing.management.step_command import EngineCommand, instrument_from


class Command(EngineCommand):
    help = """Say whether files would be let in, and why not; nothing is kept and no table is needed.

  manage.py check_file raw/*.fits.fz --instrument demo
  manage.py check_file field_1.weight.fits --companion

Every refusal has a code, which the page "Files from outside" of the documentation explains. What is odd and tolerated
is a warning. Exit status 1 where a file would be refused."""

    needs_tables = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="Files to look through.")
        parser.add_argument("--instrument", default="generic", help="Instrument of the files [generic].")
        parser.add_argument(
            "--companion", action="store_true", help="They are weights, masks or tables that lie beside exposures."
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="Write one JSON list of all files.")

    def work(self, options: dict[str, Any]) -> None:
        rules = instrument_from(options, self.configuration(options)).admission_rules()
        rules = rules.of_companion() if options["companion"] else rules
        found: list[Admitted | BadExposureFile] = []
        for path in options["files"]:
            try:
                found.append(admit(path, rules, scratch_folder()))
            except BadExposureFile as error:
                found.append(error)
            if not options["as_json"]:
                self.stdout.write(_said(path, found[-1]))
        if options["as_json"]:
            content = [_facts(path, outcome) for path, outcome in zip(options["files"], found)]
            self.stdout.write(json.dumps(content, indent=1))
        if refused := sum(isinstance(outcome, BadExposureFile) for outcome in found):
            raise CommandError(f"{refused} of {len(found)} files would be refused")


def _said(path: Path, outcome: Admitted | BadExposureFile) -> str:
    if isinstance(outcome, BadExposureFile):
        return f"refused  {outcome}"
    images = ", ".join(name or "one without a name" for name in outcome.images) or "none"
    lines = [f"OK       {path}: {outcome.hdus} HDUs, {outcome.size} bytes, images: {images}"]
    return "\n".join([*lines, *(f"         warning: {oddity}" for oddity in outcome.warnings)])


def _facts(path: Path, outcome: Admitted | BadExposureFile) -> dict[str, Any]:
    if isinstance(outcome, BadExposureFile):
        why = {"detail": outcome.detail, "meaning": outcome.code.meaning, "advice": outcome.code.advice}
        return {"file": str(path), "is_admitted": False, "code": outcome.code.value, **why}
    warnings = [{"code": oddity.code.value, "detail": oddity.detail} for oddity in outcome.warnings]
    facts = {"hdus": outcome.hdus, "images": outcome.images, "bytes": outcome.size, "warnings": warnings}
    return {"file": str(path), "is_admitted": True, **facts}
