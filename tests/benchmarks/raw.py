"""A raw CCD of a real camera: calibrators made from raw frames, one exposure calibrated with them, held against truth.

Run by hand: `python manage.py benchmark raw` (or `python -m tests.benchmarks.raw --help`). It simulates everything, works in
a data folder of its own, which it removes, and prints each number beside the one to reach.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
FOLDER = Path(os.environ.get("SEECHANGE_BENCHMARK") or tempfile.mkdtemp(prefix="seechange-benchmark-"))
os.environ["SEECHANGE_DATA"] = str(FOLDER / "data")
os.environ.pop("DATABASE_URL", None)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")

ALL = "[overscan,crosstalk,bias,linearity,dark,flat,illumination,fringe,bad_pixels]"
SECTIONS = {"ls4": "NW_E", "decam": "N4"}
NIGHTS = 24  # fields that are exposed
FIELDS = tuple((round(40 + 2.9 * n, 2), round(-24 - 11 * (n * 0.618 % 1), 2)) for n in range(NIGHTS))


def main() -> None:
    """Simulate, calibrate, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instrument", default="ls4", choices=sorted(SECTIONS), help="Camera [ls4].")
    parser.add_argument("--section", default="", help="CCD; one in z, where there are fringes, if not given.")
    parser.add_argument("--flats", type=int, default=30, help="Dome flats in the stack [30].")
    parser.add_argument("--json", metavar="FILE", help="Write the numbers.")
    parser.add_argument("--step", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(measure(options.step)))
        return
    try:
        numbers = run(options.instrument, options.section or SECTIONS[options.instrument], options.flats)
    finally:
        if "SEECHANGE_BENCHMARK" not in os.environ:
            shutil.rmtree(FOLDER, ignore_errors=True)
    show(numbers)
    if options.json:
        Path(options.json).write_text(json.dumps(numbers, indent=1) + "\n")


def run(instrument: str, section: str, flats: int) -> dict[str, Any]:
    """All numbers by name."""
    raw, names = FOLDER / "raw", ["--instrument", instrument, "--sections", section]
    bands = [] if instrument == "ls4" else ["--filters", "z"]
    camera = ["--set", "simulator.ccd.fringes=0.02"]
    tell("simulating")
    manage("migrate", "-v0")
    manage(
        "simulate_exposure", str(raw), *names, *bands, *camera, "--calibration-set", "--biases", "15", "--darks", "9",
        "--flats", str(flats), "--level", "60000", "--numprocs", "1",
    )  # fmt: skip
    for number, (ra, dec) in enumerate(FIELDS):
        truth = ["--truth-planes"] if number == 0 else []
        night = ["--night", str(61382 + number), "--ra", str(ra), "--dec", str(dec)]
        manage("simulate_exposure", str(raw), *names, *bands, *camera, *night, *truth, "--numprocs", "1")
    manage("ingest", *map(str, sorted(raw.glob("*.fits.fz"))), "--instrument", instrument)
    found: dict[str, Any] = {}
    for command in (  # each needs those before it
        "measure_crosstalk", "make_bias", "make_linearity", "make_dark", "make_flat", "make_badpixelmask",
        "make_illumination", "make_fringe",
    ):  # fmt: skip
        tell(command)
        dates = ["--from", "61380", "--to", "61400", "--sections", section, "--instrument", instrument]
        light = ["--flat-type", "dome"] if command == "make_flat" else []
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        manage(command, *dates, *light, "--numprocs", "0", "--set", f"preprocessing.corrections={ALL}")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        found[f"{command}: CPU s"] = round(used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, 2)
    tell("comparing")
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.raw", "--step", section],
        check=True, capture_output=True, text=True, env={**os.environ, "SEECHANGE_BENCHMARK": str(FOLDER)},
    )  # fmt: skip
    return found | json.loads(done.stdout.splitlines()[-1])


def manage(*arguments: str) -> None:
    """Run a command of the project."""
    subprocess.run([sys.executable, "manage.py", *arguments], check=True, stdout=subprocess.DEVNULL)


def tell(text: str) -> None:
    """What goes on now."""
    print(f"{text} …", flush=True)


def measure(section: str) -> dict[str, Any]:
    """Calibrate the exposure with the truth beside it, twice (the first time compiles), and compare."""
    import django

    django.setup()
    from processing import config
    from processing.datastore import DataStore
    from processing.pipelines import Preprocessing
    from processing.providers import Calibrators, RawSection, provide
    from products.models import Exposure

    exposure = next(
        row for row in Exposure.objects.filter(kind="science").order_by("mjd") if truth_of(row.name, section).exists()
    )
    settings = config.assign({}, [f"preprocessing.corrections={ALL}"])
    step = Preprocessing(**settings["preprocessing"])
    data = DataStore(exposure, section=section)
    raw, calibrators = (provide((cls,), data, step) for cls in (RawSection, Calibrators))
    cpu = []
    for _ in range(3):
        start = time.process_time()
        image = step.run(exposure=exposure, raw=raw, calibrators=calibrators)
        cpu.append(time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    from tests.benchmarks._raw_truth import compare

    numbers = compare(image, calibrators, truth_of(exposure.name, section))
    return {"preprocessing: CPU s": round(min(cpu), 3), "preprocessing: peak MB": round(peak), **numbers}


def truth_of(name: str, section: str) -> Path:
    """The file with the true planes of a CCD."""
    return FOLDER / "raw" / f"{name}.truth.{section}.fits"


LIMITS = {
    "preprocessing: CPU s": 0.6,
    "preprocessing: peak MB": 1000,
    "amplifier step, % of sky": 0.2,
    "pixel response left, % rms": 0.1,
    "linearity left, %": 0.2,
    "ghosts left, sky noise": 0.1,
    "fringes left, % of them": 10,
    "pull on sky: std - 1": 0.03,
    "pull on galaxies: std - 1": 0.03,
    "saturated and bleed not flagged, %": 1,
    "trail not flagged, %": 5,
    "good pixels flagged, %": 0.1,
}


def show(numbers: dict[str, Any]) -> None:
    """The table."""
    for name, value in numbers.items():
        limit = LIMITS.get(name)
        verdict = "" if limit is None else f"to reach {limit:g}" + ("" if abs(value) <= limit else "   <- missed")
        print(f"{name:<40}{value:>12.4g}  {verdict}")


if __name__ == "__main__":
    main()
