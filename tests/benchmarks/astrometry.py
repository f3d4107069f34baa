"""How many simulated fields astrometry solves, how well, and whether it ever believes a wrong solution.

Run by hand: `python manage.py benchmark astrometry` (or `python -m tests.benchmarks.astrometry --help`).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")

CAMERAS = ("decam", "ls4")
_WRONG = 1.0  # px anywhere on the image


def main() -> None:
    """Solve the fields of each kind, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=400, help="Of each kind, half of them of each camera [400].")
    parser.add_argument("--seed", type=int, default=1000, help="Of the first one [1000].")
    parser.add_argument("--json", metavar="FILE", help="Write the numbers.")
    options = parser.parse_args()
    found = {kind: measure(kind, options.fields, options.seed) for kind in KINDS}
    print(f"{'fields':<46}{'solved':>9}{'wrong':>7}{'rms, mas':>10}{'worst, px':>11}{'CPU s':>8}{'longest':>9}")
    for kind, row in found.items():
        print(
            f"{kind:<46}{row['solved']:>5}/{row['fields']:<4}{row['wrong']:>6}{row['rms_mas']:>10.2f}"
            f"{row['worst_px']:>11.3f}{row['cpu_s']:>8.2f}{row['longest_s']:>9.2f}"
        )
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


def measure(kind: str, fields: int, seed: int) -> dict[str, float]:
    """Numbers by name of so many fields of one of KINDS."""
    from processing.algorithms.wcs_fit import AstrometryParameters, solve_wcs
    from processing.errors import NoSolution

    parameters, times, rms, worst = AstrometryParameters(), [], [], []
    for number in range(fields):
        field = KINDS[kind](CAMERAS[number % 2], seed + number)
        start = time.process_time()
        try:
            solution = solve_wcs(field.stars, field.catalog, field.guess, (4096, 2048), parameters, flips=field.flips)
        except NoSolution:
            solution = None
        times.append(time.process_time() - start)
        if solution is not None:
            worst.append(field.worst(solution))
            rms.append(field.rms(solution))
    right = np.array(worst) <= _WRONG
    return {
        "fields": fields,
        "solved": int(right.sum()),
        "wrong": int((~right).sum()),
        "rms_mas": float(np.median(rms)) if rms else np.nan,
        "worst_px": float(np.max(worst)) if worst else np.nan,
        "cpu_s": float(np.median(times)),
        "longest_s": float(np.max(times)),
    }


def _header_off(camera, seed):
    from tests.benchmarks._astrometry_fields import list_field

    return list_field(camera, seed)


def _sparse(camera, seed):
    from tests.benchmarks._astrometry_fields import list_field

    return list_field(camera, seed, in_image=40, spurious=0.9)


def _lost(camera, seed):
    """The header points elsewhere by up to 40 % of the longer side of the field, turned by anything."""
    from astropy.io import fits

    from processing.algorithms.wcs_fit import wcs_from_header
    from tests.benchmarks._astrometry_fields import SHAPE, list_field

    field = list_field(camera, seed, spurious=0.3, pointing=0.3 * SHAPE[0] * {"decam": 0.263, "ls4": 1.0}[camera])
    rng = np.random.default_rng(seed)
    turn = np.radians(rng.uniform(0, 360))
    header = fits.Header(field.guess.to_header())
    cd = field.guess.pixel_scale_matrix @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    for name in [name for name in header if name.startswith(("PC", "CDELT"))]:
        del header[name]
    for (i, j), value in np.ndenumerate(cd):
        header[f"CD{i + 1}_{j + 1}"] = value
    return replace(field, guess=wcs_from_header(header))


def _other_sky(camera, seed):
    """The stars of one field and the catalogue of another, moved to where the header points."""
    from processing.algorithms.sky import from_tangent_plane, tangent_plane
    from tests.benchmarks._astrometry_fields import list_field

    field, other = list_field(camera, seed), list_field(camera, seed + 100_000)
    plane = tangent_plane(other.catalog.ra, other.catalog.dec, other.projection.ra, other.projection.dec)
    ra, dec = from_tangent_plane(*plane, field.projection.ra, field.projection.dec)
    return replace(field, catalog=replace(other.catalog, ra=ra, dec=dec))


KINDS = {
    "header off by 60″, 0.5°, 2 %, flips": _header_off,
    "the same, 40 stars among 90 % spurious": _sparse,
    "header lost: any rotation, 0.3 fields off": _lost,
    "catalogue of another sky (none is right)": _other_sky,
}


if __name__ == "__main__":
    main()
