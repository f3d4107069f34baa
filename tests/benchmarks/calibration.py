"""Sources, sky, PSF, WCS and zero point of simulated CCDs held against the truth, with CPU seconds and memory.

Run by hand: `python manage.py benchmark calibration` (or `python -m tests.benchmarks.calibration --help`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")


def main() -> None:
    """Simulate, calibrate (once more before, which compiles), compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--camera", choices=["decam", "ls4"], action="append", help="[both]")
    parser.add_argument("--seed", type=int, action="append", help="Of the simulation; several give several rows [11].")
    parser.add_argument("--json", metavar="FILE", help="Write the numbers.")
    options = parser.parse_args()
    import django

    os.environ["SEECHANGE_DATA"] = tempfile.mkdtemp(prefix="seechange-benchmark-")
    django.setup()
    found = {}
    for camera in options.camera or ["decam", "ls4"]:
        for seed in options.seed or [11]:
            found[f"{camera} {seed}"] = measure(camera, seed)
            show(f"{camera}, seed {seed}", found[f"{camera} {seed}"])
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


def measure(camera: str, seed: int) -> dict[str, Any]:
    """Numbers by name of one CCD."""
    from tests.benchmarks._calibration_fields import calibration_field
    from tests.benchmarks._calibration_truth import compare

    field = calibration_field(camera, seed)
    calibrate(field)  # compiles what is not yet in the cache
    products, seconds = calibrate(field)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**seconds, "peak MB of all, with the simulation": round(peak), **compare(field, products)}


def calibrate(field: Any) -> tuple[dict[str, Any], dict[str, float]]:
    """The products of extraction, astrocal and photocal by name, and the CPU seconds of each step."""
    from processing import config
    from processing.instruments.base import Instrument
    from processing.pipelines import AstroCal, Extraction, PhotoCal
    from processing.providers import StarCatalog
    from products.models import Exposure, ScienceImage
    from tests.benchmarks._calibration_fields import MJD, at_epoch

    settings = config.assign({}, [])
    steps = {cls.name: cls(**settings.get(cls.name, {})) for cls in (Extraction, AstroCal, PhotoCal)}
    exposure = Exposure(name="field", instrument="demo", mjd=MJD, exposure_time=60.0, filter="r")
    image = ScienceImage(
        exposure=exposure, section="1", data=field.data, weight=field.weight, flags=field.flags,
        width=field.data.shape[1], height=field.data.shape[0], wcs=field.header.tostring(sep="\n"),
        pixel_scale=field.camera.scale, saturation=field.camera.full_well, filter="r", instrument="demo", mjd=MJD,
        exposure_time=60.0, mjd_end=MJD + 60 / 86400,
    )  # fmt: skip
    catalog, instrument = StarCatalog(at_epoch(field.catalog), "simulated"), Instrument.member("demo")()
    seconds, start = {}, time.process_time()

    def done(name: str) -> None:
        nonlocal start
        seconds[f"{name}: CPU s"] = round(time.process_time() - start, 3)
        start = time.process_time()

    held = reset_peak()
    with psf_timed() as psf_seconds:
        sources, psf, background = steps["extraction"].run(image=image)
    done("extraction with PSF")
    seconds["of these the PSF model: CPU s"] = round(sum(psf_seconds), 3)
    seconds["extraction: MB above what was held"] = round(peak_memory() - held)
    start = time.process_time()
    solution = steps["astrocal"].run(image=image, sources=sources, catalog=catalog, instrument=instrument)
    done("astrocal")
    zero_point = steps["photocal"].run(
        image=image, sources=sources, psf=psf, background=background, world_coordinates=solution, catalog=catalog,
        instrument=instrument,
    )  # fmt: skip
    done("photocal")
    products = {"image": image, "sources": sources, "psf": psf, "background": background}
    products |= {"solution": solution, "zp": zero_point}
    return products, seconds


@contextmanager
def psf_timed() -> Iterator[list[float]]:
    """CPU seconds that the extraction spends on the model of the PSF."""
    from processing.steps import extraction

    ours, seconds = extraction.fit_psf, []

    def timed(*args: Any, **options: Any) -> Any:
        start = time.process_time()
        found = ours(*args, **options)
        seconds.append(time.process_time() - start)
        return found

    extraction.fit_psf = timed
    try:
        yield seconds
    finally:
        extraction.fit_psf = ours


def reset_peak() -> float:
    """Begin to look for the peak of the memory anew (Linux); the memory in use now, MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def peak_memory() -> float:
    """The peak since then, MB."""
    return _memory("VmHWM")


def _memory(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def show(title: str, numbers: dict[str, Any]) -> None:
    """The table."""
    print(title)
    for name, value in numbers.items():
        print(f"  {name:<58}{value:>12.5g}", flush=True)


if __name__ == "__main__":
    main()
