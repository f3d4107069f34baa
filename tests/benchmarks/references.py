"""Warps and coadds of simulated CCDs held against the truth, with CPU seconds and memory, beside swarp where it is.

Run by hand: `python manage.py benchmark references` (or `python -m tests.benchmarks.references --help`).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "seechange_site.settings")
os.environ["SEECHANGE_DATA"] = tempfile.mkdtemp(prefix="seechange-benchmark-")

import numpy as np
from scipy import fft


def main() -> None:
    """Simulate, warp and stack (once more before, which compiles), compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, action="append", help="Of the simulation; several give several rows [11].")
    parser.add_argument("--number", type=int, default=10, help="Images in the coadd [10].")
    parser.add_argument("--camera", choices=["decam", "ls4"], default="decam", help="Of the images to stack [decam].")
    parser.add_argument("--method", choices=["mean", "proper"], action="append", help="Of stacking [both].")
    parser.add_argument("--skip-warp", action="store_true", help="Stack only.")
    parser.add_argument("--json", metavar="FILE", help="Write the numbers.")
    options = parser.parse_args()
    import django

    django.setup()
    found: dict[str, Any] = {}
    for seed in options.seed or [11]:
        if not options.skip_warp:
            found[f"warp {seed}"] = {
                name: value for fwhm in (2.0, 3.0, 4.2) for name, value in measure_warp(fwhm, seed).items()
            }
            show(f"warp, seed {seed}", found[f"warp {seed}"])
        found[f"coadd {seed}"] = measure_coadds(options, seed)
        show(f"coadd of {options.number} images, {options.camera}, seed {seed}", found[f"coadd {seed}"])
    found["noise of a proper coadd"] = proper_noise()
    show("proper coadd of white noise", found["noise of a proper coadd"])
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")


def measure_warp(fwhm: float, seed: int) -> dict[str, float]:
    """A starry CCD without noise, warped and rendered where it is warped to: fluxes star by star, and the time."""
    from astropy.wcs import WCS

    from processing.algorithms.resampling import pixel_map
    from processing.algorithms.simulation_render import Frame, Seeing, render
    from tests.benchmarks._calibration_fields import CAMERAS, MJD
    from tests.benchmarks._reference_fields import projection_of, sky_around

    camera = replace(CAMERAS["decam"], galaxies=0.0, stars=3000.0)
    sky, shape = sky_around(camera, seed), camera.shape
    target, source = projection_of(camera), projection_of(camera, (9.3, -14.6), 0.04)
    seeing = Seeing(fwhm)
    (here, truth), (there, _) = (
        render(sky, Frame(shape, one, seeing, "r", 30.0, 0.0, (0.0, 0.0)), MJD) for one in (target, source)
    )
    mapping = pixel_map(WCS(target.header()), shape, WCS(source.header()), shape)
    planes = there, np.ones(shape, np.float32), (there > 1e6).astype(np.uint16)
    warped, seconds = _warped_in(planes, mapping, shape)
    stars = truth[(truth["flux"] > 1e4) & (np.abs(truth["x"] - 1023) < 960) & (np.abs(truth["y"] - 2047) < 1980)]
    half = int(np.ceil(2.5 * fwhm))
    sums, fits = [], []
    for x, y in zip(np.rint(stars["x"]).astype(int), np.rint(stars["y"]).astype(int)):
        box = np.s_[y - half : y + half + 1, x - half : x + half + 1]
        sums.append(warped[box].sum() / here[box].sum())
        fits.append(float(np.sum(warped[box] * here[box]) / np.sum(here[box] ** 2)))
    name = f"FWHM {fwhm:g} px: "
    return {
        f"{name}CPU s of image, variance and flags": seconds,
        f"{name}stars": len(sums),
        f"{name}median flux ratio - 1, sums, %": 100 * (float(np.median(sums)) - 1),
        f"{name}scatter of it (MAD), %": 148.26 * float(np.median(np.abs(np.array(sums) - np.median(sums)))),
        f"{name}median amplitude ratio - 1, PSF-weighted, %": 100 * (float(np.median(fits)) - 1),
        f"{name}scatter of it (MAD), % ": 148.26 * float(np.median(np.abs(np.array(fits) - np.median(fits)))),
    }


def _warped_in(planes: tuple[np.ndarray, ...], mapping: Any, shape: tuple[int, int]) -> tuple[np.ndarray, float]:
    """The warped image, and the least CPU seconds of three times after one that compiles."""
    from processing.algorithms.resampling import warp, warp_flags, warp_valid, warp_variance

    seconds = []
    for _ in range(4):
        start = time.process_time()
        found = warp(planes[0], mapping, shape)
        warp_variance(planes[1], mapping, shape)
        warp_flags(planes[2], mapping, shape)
        warp_valid(mapping, shape)
        seconds.append(time.process_time() - start)
    return found, round(min(seconds[1:]), 3)


def measure_coadds(options: argparse.Namespace, seed: int) -> dict[str, float]:
    """Stack the images of one seed in each way."""
    from astropy.wcs import WCS

    from processing.pipelines import Coaddition
    from processing.providers import CoaddInputs
    from processing.scratch import ScratchStore
    from tests.benchmarks._reference_fields import inputs_of, shots, truth_of

    small = shots(options.camera, seed, 3, shape=(300, 280))
    made = shots(options.camera, seed, options.number)
    found: dict[str, float] = {}
    for method in options.method or ["mean", "proper"]:
        step = Coaddition(stack={"method": method})
        step.run(CoaddInputs(inputs_of(small).components))  # compiles
        inputs = CoaddInputs(inputs_of(made).components, ScratchStore)
        before, seconds = _resident(), []
        for _ in range(2):
            start = time.process_time()
            image = step.run(inputs)
            seconds.append(time.process_time() - start)
        numbers = compare(image, truth_of(made, WCS(image.wcs_header), image.shape), method)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        numbers |= {"CPU s": round(min(seconds), 2), "MB above what the images take": round(peak - before)}
        found |= {f"{method}: {name}": value for name, value in numbers.items()}
    if shutil.which("SWarp"):
        found |= {f"swarp, clipped: {name}": value for name, value in of_swarp(made, image).items()}
    return found


def of_swarp(made: list[Any], ours: Any) -> dict[str, float]:
    """The same of the Debian program, which writes its images to files."""
    from astropy.wcs import WCS

    from tests.benchmarks._peer_coadd import swarp_coadd
    from tests.benchmarks._reference_fields import truth_of

    with tempfile.TemporaryDirectory(prefix="seechange-benchmark-") as folder:
        image, used = swarp_coadd(made, ours, Path(folder))
    numbers = compare(image, truth_of(made, WCS(ours.wcs_header), ours.shape), "mean")
    del numbers["pixels rejected, of those that were hit"]
    return numbers | {"CPU s": used.seconds, "MB": used.megabytes}


def _resident() -> float:
    """Memory of this process now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def compare(image: Any, truth: Any, method: str) -> dict[str, float]:
    """Depth against theory, what cosmic rays left, the flux of stars."""
    from processing.algorithms.masks import grow

    usable = image.weight > 0
    sigma = 1 / np.sqrt(np.maximum(image.weight, 1e-30))
    off = np.where(usable, image.data - truth.data, 0)
    sky = usable & (truth.data < 0.5 * sigma)
    hit = truth.hits & sky
    numbers = {
        "hit pixels on empty sky": int(hit.sum()),
        "of them above 5 sigma": int(np.sum(off[hit] > 5 * sigma[hit])),
        "as many pixels elsewhere above 5 sigma": float(np.sum((off > 5 * sigma) & sky & ~truth.hits))
        * float(hit.sum() / sky.sum()),
        "pixels rejected, of those that were hit": sum(image.quality["artefact_pixels"].values()) / truth.hits.sum(),
        "noise over what the variance says": float(np.std((off / sigma)[sky & ~truth.hits])),
    }
    if method == "mean":
        filtered = _filtered(off, truth.psf)
        noise = 1.4826 * float(np.median(np.abs(filtered[sky & ~truth.hits])))
        numbers["depth over theory"] = float(np.sum(truth.psf**2) / noise / truth.theory)
        full = grow(truth.data > 3e4, 40)  # where saturated pixels are left out, the sharpest images miss most
        bright = (truth.data > 50 * sigma) & usable & ~truth.hits & ~full
        numbers["bright pixels over truth, median"] = float(np.median(image.data[bright] / truth.data[bright]))
    return numbers


def _filtered(data: np.ndarray, psf: np.ndarray) -> np.ndarray:
    size = [fft.next_fast_len(n + psf.shape[0], real=True) for n in data.shape]
    half = psf.shape[0] // 2
    spectrum = fft.rfft2(data, size) * fft.rfft2(psf[::-1, ::-1].astype(np.float32), size)
    return fft.irfft2(spectrum, size)[half : half + data.shape[0], half : half + data.shape[1]]


def proper_noise() -> dict[str, float]:
    """Frames of white noise alone, of different seeing and depth."""
    from processing.algorithms.psf_model import moffat_model
    from processing.algorithms.stacking import Frame, StackParameters, coadd

    rng, shape = np.random.default_rng(23), (700, 900)
    frames = []
    for fwhm in np.linspace(3.0, 5.5, 12):
        noise = float(rng.uniform(8, 14))
        data, variance = rng.normal(0, noise, shape).astype(np.float32), np.full(shape, noise**2, np.float32)
        frames.append(Frame(data, variance, np.zeros(shape, bool), moffat_model(float(fwhm), shape)))
    found = coadd(frames, StackParameters(method="proper"))
    pull = (found.data / np.sqrt(found.variance))[60:-60, 60:-60]
    return {
        "std": float(pull.std()),
        "correlation of neighbours along x": float(np.mean(pull[:, 1:] * pull[:, :-1])),
        "correlation of neighbours along y": float(np.mean(pull[1:] * pull[:-1])),
    }


def show(title: str, numbers: dict[str, Any]) -> None:
    """The table."""
    print(title)
    for name, value in numbers.items():
        print(f"  {name:<66}{value:>12.5g}", flush=True)


if __name__ == "__main__":
    main()
