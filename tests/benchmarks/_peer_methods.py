"""Subtraction by properimage or sfft of two images in a file, run by the interpreter that has them.

`python _peer_methods.py NAME PAIR OUT` reads arrays of PAIR (.npz), writes those of OUT and prints CPU seconds and MB
above what was held before the call. Nothing of this project is imported. Exit status 3: NAME is not installed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LIMIT = 8 * 1024**3  # bytes
KERNEL_FWHM = 2.0  # half width of the kernel of sfft: what its packets choose
NOT_INSTALLED = 3


def of_properimage(pair: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Difference, S_corr and what it masks, with the PSFs that it measures itself.

    It takes its noise from the counts, to which a sky belongs. It need not look for a shift: with it, the same is found
    in five times the time; with its default, a Gaussian PSF, more is left of the stars.
    """
    from properimage.operations import subtract
    from properimage.single_image import SingleImage

    new, reference = (
        SingleImage(pair[name] + pair[f"{name}_noise"] ** 2, mask=pair["mask"].copy(), gain=1.0)
        for name in ("new", "reference")
    )
    data, _, score, masked = subtract(reference, new, align=False, shift=False, fitted_psf=False)
    return {"data": data.real, "score": score, "masked": masked}


def of_sfft(pair: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Difference with the kernel and order that its packets choose; the sharper image is convolved."""
    from sfft.CustomizedPacket import Customized_Packet

    broad, sharp = float(pair["new_fwhm"]), float(pair["reference_fwhm"])
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        files = [_written(Path(folder), name, pair) for name in ("reference", "new")]
        _, data = Customized_Packet.CP(
            *(names[0] for names in files), *(names[1] for names in files), GKerHW=int(KERNEL_FWHM * max(broad, sharp)),
            ForceConv="REF" if broad >= sharp else "SCI", BGPolyOrder=0, BACKEND_4SUBTRACT="Numpy",
            NUM_CPU_THREADS_4SUBTRACT=1, VERBOSE_LEVEL=0,
        )  # fmt: skip
    return {"data": data.T}


def _written(folder: Path, name: str, pair: dict[str, np.ndarray]) -> tuple[str, str]:
    """Files of an image and of what the kernel is fitted to."""
    from astropy.io import fits

    paths = folder / f"{name}.fits", folder / f"{name}_masked.fits"
    fits.writeto(paths[0], pair[name])
    fits.writeto(paths[1], np.where(pair["far"], np.float32(0), pair[name]))
    return str(paths[0]), str(paths[1])


def memory(name: str) -> float:
    """A figure of this process (Linux), MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))


METHODS: dict[str, tuple[Any, str, int]] = {  # the function, the module that it needs, calls: the last one is timed
    "properimage": (of_properimage, "properimage.operations", 1),
    "sfft": (of_sfft, "sfft.CustomizedPacket", 2),  # the first compiles
}


def main() -> None:
    """Read, subtract, write, print."""
    name, given, out = sys.argv[1:]
    method, module, calls = METHODS[name]
    try:
        importlib.import_module(module)
    except ImportError as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_INSTALLED)
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    pair = dict(np.load(given))
    for _ in range(calls):
        Path("/proc/self/clear_refs").write_text("5")
        held, start = memory("VmRSS"), time.process_time()
        found = method(pair)
        seconds, megabytes = time.process_time() - start, memory("VmHWM") - held
    np.savez(out, **found)
    print(round(seconds, 2), round(megabytes))


if __name__ == "__main__":
    main()
