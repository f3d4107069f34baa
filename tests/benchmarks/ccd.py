"""One large CCD from raw pixels to alerts: CPU seconds and peak memory of every step, everything written.

Run by hand: `python manage.py benchmark ccd` (or `python -m tests.benchmarks.ccd --help`). It works in a data folder of
its own, which it removes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
FOLDER = Path(tempfile.mkdtemp(prefix="seechange-benchmark-"))
os.environ["SEECHANGE_DATA"] = str(FOLDER)
os.environ.pop("DATABASE_URL", None)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")


def main() -> None:
    """Simulate, process twice (the first run compiles), print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048, help="Pixels along x [2048].")
    parser.add_argument("--height", type=int, default=4096, help="Pixels along y [4096].")
    parser.add_argument(
        "--set", action="append", default=[], metavar="STEP.PARAMETER=VALUE", help="As in process_exposure."
    )
    parser.add_argument("--json", metavar="FILE", help="Write the numbers.")
    options = parser.parse_args()
    try:
        numbers = measure(options.width, options.height, options.set)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    show(numbers)
    if options.json:
        Path(options.json).write_text(json.dumps(numbers, indent=1) + "\n")


def measure(width: int, height: int, assignments: list[str]) -> list[dict]:
    """One entry a step of the second of two searched exposures, with the raw size and the number of sources."""
    import django

    django.setup()
    from django.core.management import call_command

    from processing import config
    from processing.demo import demo_configuration, run_demo
    from processing.simulated_night import Night
    from products.models import Report

    call_command("migrate", verbosity=0)
    night = Night(ccds=1, side=width, height=height, bands=("r",), early=2, late=2, biases=3, flats=3)

    def tell(title: str, total: int):
        print(f"{title} …", flush=True)
        return lambda text: None

    settings = config.assign(demo_configuration(), assignments)
    run_demo(night, FOLDER / "raw", numprocs=1, tell=tell, settings=settings)
    report = Report.objects.filter(exposure__name__endswith="late-2").get()
    if report.state != Report.State.DONE:
        raise SystemExit(f"stopped in {report.error_step}: {report.error_message}\n{report.traceback}")
    return report.steps


def show(steps: list[dict]) -> None:
    """The table."""
    print(f"{'step':<16}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}  counts")
    for step in steps:
        counts = ", ".join(f"{key} {value}" for key, value in step["counts"].items())
        print(f"{step['name']:<16}{step['cpu_seconds']:>8.2f}{step['seconds']:>8.2f}{step['peak_mb']:>9.0f}  {counts}")
    cpu, wall, peak = (
        f(step[k] for step in steps) for f, k in ((sum, "cpu_seconds"), (sum, "seconds"), (max, "peak_mb"))
    )
    print(f"{'together':<16}{cpu:>8.2f}{wall:>8.2f}{peak:>9.0f}")


if __name__ == "__main__":
    main()
