"""Our calibration beside source-extractor, psfex, scamp and swarp on the same simulated CCD: accuracy, CPU s, memory.

Run by hand: `python manage.py benchmark peers` (or `python -m tests.benchmarks.peers --help`). It needs the Debian
packages source-extractor, psfex, scamp and swarp; what is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")


def main() -> None:
    """Measure ours and the peers', print two columns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camera", choices=["decam", "ls4"], action="append", help="[both]")
    parser.add_argument("--seed", type=int, default=12, help="Of the simulation [12].")
    parser.add_argument("--json", metavar="FILE", help="Write the numbers.")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="seechange-benchmark-"))
    os.environ["SEECHANGE_DATA"] = str(folder)
    found = {}
    try:
        for camera in options.camera or ["decam", "ls4"]:
            ours, peers = (apart(function, camera, options.seed, folder) for function in (of_ours, of_peers))
            found[camera] = {"ours": ours, "peers": peers}
            show(f"{camera}, seed {options.seed}", ours, peers)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


def apart(function: Any, *arguments: Any) -> dict[str, float]:
    """The result of a function in a process of its own: peak memory is that of the process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def of_ours(camera: str, seed: int, folder: Path) -> dict[str, float]:
    """Numbers by name of this project."""
    import django

    django.setup()
    from tests.benchmarks._calibration_fields import calibration_field
    from tests.benchmarks._calibration_truth import compare
    from tests.benchmarks.calibration import calibrate

    field = calibration_field(camera, seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    calibrate(field)  # compiles what is not yet in the cache
    products, seconds = calibrate(field)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{camera}: {before:.0f} MB with the simulated field, {peak:.0f} MB at most", flush=True)
    return {**seconds, **compare(field, products)}


def of_peers(camera: str, seed: int, folder: Path) -> dict[str, float]:
    """The same numbers of the Debian programs."""
    import django

    django.setup()
    from tests.benchmarks._calibration_fields import calibration_field
    from tests.benchmarks._peer_programs import run_peers

    return run_peers(calibration_field(camera, seed), folder)


def show(title: str, ours: dict[str, float], peers: dict[str, float]) -> None:
    """The table."""
    print(f"{title:<58}{'SeeChange':>12}{'peers':>12}")
    for name in dict.fromkeys([*ours, *peers]):
        columns = [f"{found[name]:>12.4g}" if name in found else f"{'–':>12}" for found in (ours, peers)]
        print(f"  {name:<56}{''.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
