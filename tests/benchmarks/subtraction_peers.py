"""Our subtraction methods beside properimage, sfft (both from PyPI) and source-extractor on the same pixels.

All get the middle of the new image and of our warped reference, sky-subtracted, with unusable pixels filled; all search
at 5σ (SE: by source-extractor, of either sign). Run by hand: `python manage.py benchmark subtraction_peers` (or
`python -m tests.benchmarks.subtraction_peers --help`). What is not installed is left out and named below the table; the
PyPI peers may be in an environment of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
os.environ["SEECHANGE_DATA"] = tempfile.mkdtemp(prefix="seechange-benchmark-")
METHODS = ("zogy", "alard_lupton", "sfft")
INSTALL = {
    "sfft": "pip install sfft",
    "properimage": "pip install 'setuptools<75' wheel && pip install --no-build-isolation properimage",
    "source-extractor": "apt-get install source-extractor",
}
PROGRAM = "source-extractor"


def main() -> None:
    """Simulate, calibrate, subtract by every method and peer, search, compare, print."""
    import django

    django.setup()
    from tests.benchmarks._pair_truth import table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--side", type=int, default=1024, help="Of the square window, px [1024]; sfft takes 3 GB there."
    )
    parser.add_argument("--seed", type=int, default=11, help="Of the simulation [11].")
    parser.add_argument(
        "--peers-python", default=sys.executable, metavar="PATH", help="Interpreter with the PyPI peers."
    )
    parser.add_argument("--json", metavar="FILE", help="Write the numbers.")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="seechange-benchmark-"))
    try:
        columns, notes = measure(options.side, options.seed, shutil.which(options.peers_python), folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"main, the middle {options.side} x {options.side} px, seed {options.seed}\n{table(columns)}")
    print("\n".join(notes), flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(columns, indent=1) + "\n")


def measure(side: int, seed: int, python: str | None, folder: Path) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Numbers by name of each column, and what is said below the table."""
    from processing.pipelines import Subtraction
    from tests.benchmarks import _peer_searches as searches
    from tests.benchmarks._pair_fields import pair_field
    from tests.benchmarks.subtraction import calibrated, method_timed

    pair = pair_field("main", seed)
    products = calibrated(pair)
    step = Subtraction(method="zogy", fallbacks=())
    timing = method_timed(type(step.parameters.method))
    with timing:
        _, difference = step.run(**products)
    given = searches.given_of(pair, timing.taken, difference, products["zero_point"], side)
    columns = {method: searches.ours(given, method) for method in METHODS}
    searches.write_pair(given, folder / "pair.npz")
    notes = [
        f"{int(given.asked.sum())} changes asked for; 5σ limit of the true PSFs and noise: {pair.limit():.2f} mag."
    ]
    for name in ("properimage", "sfft"):
        found = searches.peer(name, python, folder) if python else "missing"
        if isinstance(found, str):
            notes.append(f"{name}: {f'not installed ({INSTALL[name]})' if found == 'missing' else found}")
            continue
        title = "PyPI sfft" if name == "sfft" else name
        columns[title] = of_peer(given, *found)
    differences = {name: column for name, column in columns.items() if name in ("zogy", "PyPI sfft")}
    if not shutil.which(PROGRAM):
        notes.append(f"{PROGRAM}: not installed ({INSTALL[PROGRAM]})")
        differences = {}
    for name, column in differences.items():
        peaks, cost = searches.by_source_extractor(given, column.data, folder)
        columns[f"{name}+SE"] = searches.Column(peaks, column.data, None, column.cost | cost)
    return {name: searches.compare_column(given, column) for name, column in columns.items()}, notes


def of_peer(given: Any, planes: dict[str, Any], cost: dict[str, float]) -> Any:
    """The column of a peer: by its score where it has one, else by a matched filter of its difference."""
    from tests.benchmarks import _peer_searches as searches

    if "score" in planes:
        peaks, score = searches.by_own_score(given, planes["score"], planes["masked"])
    else:
        peaks, score = searches.by_matched_filter(given, planes["data"])
    return searches.Column(peaks, planes["data"], score, cost)


if __name__ == "__main__":
    main()
