"""Write the golden files anew: `python -m tests.golden`, or only one of them: `… provenances`, `… step_outputs`."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
FOLDER = Path(tempfile.mkdtemp(prefix="seechange-golden-"))
os.environ["SEECHANGE_DATA"] = str(FOLDER)
os.environ["DJANGO_SETTINGS_MODULE"] = "seechange_site.settings"
for name in ("DATABASE_URL", "SEECHANGE_ARCHIVE", "SEECHANGE_ALERTS", "SEECHANGE_CONFIG"):
    os.environ.pop(name, None)


def main(wanted: list[str]) -> None:
    """Compute, compare with what was kept, write."""
    import django

    django.setup()
    from django.core.management import call_command

    from tests import golden
    from tests.golden import provenances, step_outputs

    unknown = set(wanted) - {"provenances", "step_outputs"}
    if unknown:
        raise SystemExit(f"{', '.join(unknown)} is neither provenances nor step_outputs")
    if not wanted or "provenances" in wanted:
        now = provenances.golden_provenances()
        lines = provenances.differences(_kept(golden.PROVENANCES), now)
        _write(golden.PROVENANCES, now, lines)
    if not wanted or "step_outputs" in wanted:
        call_command("migrate", verbosity=0)
        now = step_outputs.golden_outputs(FOLDER / "raw")
        kept, lines = _kept(golden.STEP_OUTPUTS), []
        if complaint := step_outputs.verdict(kept, now):
            print(complaint)
        for step, entry in now.items():
            changes = step_outputs.changed(kept.get(step, {}).get("products", {}), entry["products"])
            lines += [f"{step}: {line}" for line in changes]
        _write(golden.STEP_OUTPUTS, now, lines)


def _kept(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


def _write(path: Path, content: dict, lines: list[str]) -> None:
    text = json.dumps(content, indent=1, allow_nan=False)
    on_one_line = re.sub(r"\[[-+.,\de\s]*\]", lambda found: " ".join(found[0].split()), text)
    path.write_text(on_one_line + "\n")
    print(f"{path}: {len(lines)} changes", *lines[:200], sep="\n  ")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
