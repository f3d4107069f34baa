"""What source-extractor (Debian package `source-extractor`) makes of the same simulated CCD."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits

from tests.benchmarks._calibration_fields import CalibrationField
from tests.benchmarks._calibration_truth import compare_lists

_PROGRAM = "source-extractor"
_SHARED = Path("/usr/share/source-extractor")
_SIGMA = 4.4  # of the filtered image, as ours
_COLUMNS = ("X_IMAGE", "Y_IMAGE", "CLASS_STAR", "FLUX_APER", "FLUXERR_APER")


def source_extractor(field: CalibrationField) -> dict[str, float]:
    """Numbers by name; none where the program is not installed."""
    if shutil.which(_PROGRAM) is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        table = _run(field, Path(folder))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = np.zeros(len(table), [(name, "f8") for name in ("x", "y", "p_star")])
    rows["x"], rows["y"], rows["p_star"] = table["X_IMAGE"] - 1, table["Y_IMAGE"] - 1, table["CLASS_STAR"]
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = {"CPU s": seconds, "sources": len(rows), **compare_lists(field, rows)}
    return {f"{_PROGRAM}: {name}": value for name, value in found.items()}


def _run(field: CalibrationField, folder: Path) -> np.ndarray:
    """With weights, the true seeing and full well, a filter of about the seeing, and our threshold in units of its noise."""
    camera = field.camera
    fits.writeto(folder / "image.fits", field.data)
    fits.writeto(folder / "weight.fits", field.weight)
    (folder / "columns").write_text("\n".join(_COLUMNS) + "\n")
    kernel = "gauss_4.0_7x7.conv" if camera.fwhm > 3 else "gauss_2.0_5x5.conv"
    weights = np.loadtxt(_SHARED / kernel, skiprows=2)
    threshold = _SIGMA * np.sqrt(np.sum(weights**2)) / weights.sum()  # the program counts in noise before the filter
    settings = {
        "c": _SHARED / "default.sex", "PARAMETERS_NAME": "columns", "CATALOG_NAME": "found.fits", "CATALOG_TYPE": "FITS_1.0",
        "FILTER_NAME": _SHARED / kernel, "STARNNW_NAME": _SHARED / "default.nnw", "DETECT_THRESH": threshold,
        "ANALYSIS_THRESH": threshold, "DETECT_MINAREA": 4, "WEIGHT_TYPE": "MAP_WEIGHT", "WEIGHT_IMAGE": "weight.fits",
        "SEEING_FWHM": camera.fwhm * camera.scale, "PIXEL_SCALE": camera.scale, "SATUR_LEVEL": camera.full_well,
        "GAIN": 1, "BACK_SIZE": 128, "PHOT_APERTURES": 2 * camera.fwhm,
    }  # fmt: skip
    options = [part for key, value in settings.items() for part in (f"-{key}", str(value))]
    subprocess.run([_PROGRAM, "image.fits", *options], cwd=folder, check=True, capture_output=True)
    return np.array(fits.getdata(folder / "found.fits"))
