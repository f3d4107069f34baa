"""Simulated pairs of images through the whole chain by every method: what was found beside the truth, and the cost.

Each pair has its own PSFs, WCSs and warp. Run by hand: `python manage.py benchmark subtraction` (or
`python -m tests.benchmarks.subtraction --help`).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
METHODS = ("zogy", "alard_lupton", "sfft")


def main() -> None:
    """Simulate, calibrate, subtract by every method, search, compare, print."""
    import django

    os.environ["SEECHANGE_DATA"] = tempfile.mkdtemp(prefix="seechange-benchmark-")
    django.setup()
    from tests.benchmarks._pair_fields import SETUPS
    from tests.benchmarks._pair_truth import table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", choices=list(SETUPS), action="append", help="[main]")
    parser.add_argument("--method", action="append", help=f"[{', '.join(METHODS)}]")
    parser.add_argument(
        "--seed", type=int, action="append", help="Of the simulation; several give several tables [11]."
    )
    parser.add_argument("--json", metavar="FILE", help="Write the numbers.")
    options = parser.parse_args()
    numbers = {}
    for setup in options.setup or ["main"]:
        for seed in options.seed or [11]:
            columns = measure(setup, seed, options.method or METHODS)
            numbers[f"{setup} {seed}"] = columns
            print(f"{setup}, seed {seed}\n{table(columns)}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(numbers, indent=1) + "\n")


def measure(setup: str, seed: int, methods: tuple[str, ...] | list[str]) -> dict[str, dict[str, float]]:
    """Numbers by name of each method."""
    from tests.benchmarks._limit_truth import limit_rows
    from tests.benchmarks._pair_fields import pair_field
    from tests.benchmarks._pair_truth import compare

    pair = pair_field(setup, seed)
    given = calibrated(pair)
    return {
        method: compare(pair, found) | cost | limit_rows(pair, given, method)
        for method in methods
        for found, cost in [search(given, method)]
    }


def calibrated(pair: Any) -> dict[str, Any]:
    """Inputs of subtraction: the new image with its calibration, and the reference with its own."""
    from processing.providers import ReferenceProducts
    from products.models import Reference
    from tests.benchmarks.calibration import calibrate

    names = {"solution": "world_coordinates", "zp": "zero_point"}
    new, old = (
        {names.get(name, name): value for name, value in calibrate(image)[0].items()}
        for image in (pair.new, pair.reference)
    )
    return {**new, "reference": Reference(zero_point=old["zero_point"]), "made_of": ReferenceProducts(**old)}


def search(given: dict[str, Any], method: str) -> tuple[Any, dict[str, float]]:
    """What subtraction to scoring make of a pair, and their CPU seconds; run twice, the first compiles."""
    from processing.pipelines import Cutting, Detection, Measuring, Scoring, Subtraction
    from tests.benchmarks._pair_truth import Found
    from tests.benchmarks.calibration import peak_memory, reset_peak

    step = Subtraction(method=method, fallbacks=())
    cost: dict[str, float] = {}

    def timed(name: str, run: Any, **inputs: Any) -> Any:
        held, start = reset_peak(), time.process_time()
        made = run(**inputs)
        cost[f"{name}: CPU s"] = round(time.process_time() - start, 3)
        cost[f"{name}: MB above what was held"] = round(peak_memory() - held)
        return made

    with method_timed(type(step.parameters.method)) as seconds:
        warped, difference = timed("subtraction", step.run, **given)
    cost["the method alone: CPU s"] = round(sum(seconds), 3)
    both = {"difference": difference, "warped": warped, "image": given["image"], "background": given["background"]}
    new = {name: given[name] for name in ("world_coordinates", "zero_point", "psf")}
    point = {name: given[name] for name in ("world_coordinates", "zero_point")}
    detections = timed("detection", Detection().run, image=difference, **point)
    cutouts = timed("cutting", Cutting().run, sources=detections, **both)
    measured = timed("measuring", Measuring().run, cutouts=cutouts, sources=detections, **both, **new)
    scored = timed("scoring", Scoring().run, measurement_set=measured, cutouts=cutouts)
    bad = [row.is_bad for row in measured.rows]
    import numpy as np

    score = np.array([row.score for row in scored.rows])
    return Found(difference, detections.table, np.array(bad, bool), score, scored.threshold, given["zero_point"]), cost


class method_timed:
    """CPU seconds that a subtraction method takes, as a list; `taken` is what it was called with the last time."""

    def __init__(self, cls: type) -> None:
        self.cls, self.seconds, self.taken = cls, [], ()

    def __enter__(self) -> list[float]:
        ours = self.ours = self.cls.__call__

        def timed(*args: Any, **options: Any) -> Any:
            start = time.process_time()
            found = ours(*args, **options)
            self.seconds.append(time.process_time() - start)
            self.taken = args[1:]
            return found

        self.cls.__call__ = timed
        return self.seconds

    def __exit__(self, *error: object) -> None:
        self.cls.__call__ = self.ours


if __name__ == "__main__":
    main()
