"""CPU time and memory of a master flat of one large CCD, from compressed raw files to the kept product.

Run by hand: `python manage.py benchmark flats` (or `python -m tests.benchmarks.flats --help`).
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
LEVEL = 30_000.0  # electrons


def main() -> None:
    """Simulate the frames, stack them in a process of its own, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=30, help="Flats in the stack [30].")
    parser.add_argument("--width", type=int, default=2048, help="Pixels along x [2048].")
    parser.add_argument("--height", type=int, default=4096, help="Pixels along y [4096].")
    parser.add_argument("--stack", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stack:
        stack(options.stack)
        return
    folder = Path(tempfile.mkdtemp(prefix="seechange-benchmark-"))
    environment = os.environ | {"SEECHANGE_DATA": str(folder), "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}"}
    try:
        simulate(folder / "raw", options.frames, (options.height, options.width))
        command = [sys.executable, "-m", "tests.benchmarks.flats", "--stack", str(folder / "raw")]
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def simulate(folder: Path, frames: int, shape: tuple[int, int]) -> None:
    """Raw files of the demo's camera: five biases and the flats."""
    import django
    import numpy as np
    from astropy.io import fits

    django.setup()
    from processing.algorithms.simulation_detector import bias_frame, flat_frame, make_detector
    from processing.instruments.demo import RawCcd, RawFacts, write_raw

    detector, rng = make_detector(shape, seed=1), np.random.default_rng(1)
    for number in range(5 + frames):
        kind = "bias" if number < 5 else "flat"
        data = bias_frame(detector, rng) if kind == "bias" else flat_frame(detector, LEVEL, rng)
        band, seconds = ("", 0.0) if kind == "bias" else ("r", 5.0)
        facts = RawFacts(f"{kind}-{number}", kind, band, 61000 + number / 1440, seconds, 10.0, 10.0)
        path = folder / f"{facts.name}.fits.fz"
        write_raw(path, facts, [RawCcd("N1", data, detector.amplifiers, fits.Header())])


def stack(folder: Path) -> None:
    """Make the bias, which also loads what is compiled, and then the flat."""
    import django

    django.setup()
    from django.core.management import call_command

    from processing.calibration_frames import groups
    from processing.calibrations import Making, make
    from processing.exposures import ingest
    from processing.instruments.demo import Demo

    call_command("migrate", verbosity=0)
    rows = [ingest(path, Demo()) for path in sorted(folder.iterdir())]
    for kind in ("bias", "flat"):
        chosen = [row for row in rows if row.kind == kind]
        wall, cpu = time.perf_counter(), time.process_time()
        made = make(Making(kind), groups(kind, chosen)[0]).row
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{kind}: {made.quality['frames']} frames, {cpu:.1f} CPU s, {wall:.1f} s, at most {memory:.2f} GB so far")


if __name__ == "__main__":
    main()
