"""swarp's coadd of simulated images, on the grid of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from products.models import CoaddImage
from tests.benchmarks._peer_programs import Run, run
from tests.benchmarks._reference_fields import Shot

_OPTIONS = {
    "IMAGEOUT_NAME": "coadd.fits", "WEIGHTOUT_NAME": "coadd.weight.fits", "WEIGHT_TYPE": "MAP_WEIGHT",
    "COMBINE_TYPE": "CLIPPED", "RESAMPLING_TYPE": "LANCZOS3", "SUBTRACT_BACK": "N", "FSCALASTRO_TYPE": "NONE",
    "NTHREADS": "1", "WRITE_XML": "N", "VERBOSE_TYPE": "QUIET", "MEM_MAX": "1024", "COMBINE_BUFSIZE": "1024",
}  # fmt: skip


def swarp_coadd(made: Sequence[Shot], ours: CoaddImage, folder: Path) -> tuple[SimpleNamespace, Run]:
    """Its data and weight, in the electrons of the first image as ours are, and what the program used."""
    names = [_written(shot, made[0], folder / f"shot{place}.fits") for place, shot in enumerate(made)]
    grid = WCS(ours.wcs_header).to_header()
    grid["NAXIS1"], grid["NAXIS2"] = ours.shape[::-1]
    (folder / "coadd.head").write_text(grid.tostring(sep="\n", endcard=False, padding=False) + "\nEND\n")
    options = [word for key, value in _OPTIONS.items() for word in (f"-{key}", value)]
    (folder / "empty.conf").touch()
    used = run("SWarp", *names, "-c", "empty.conf", *options, folder=folder)
    data, weight = (fits.getdata(folder / name).astype(np.float32) for name in ("coadd.fits", "coadd.weight.fits"))
    return SimpleNamespace(data=data, weight=weight, quality={"artefact_pixels": {}}), used


def _written(shot: Shot, first: Shot, path: Path) -> str:
    part = shot.products
    header = fits.Header.fromstring(part.world_coordinates.header, sep="\n")
    header["FLXSCALE"] = 10 ** (0.4 * (first.products.zero_point.zp - part.zero_point.zp))
    fits.writeto(path, part.image.data - part.background.level, header, overwrite=True)
    weight = np.where(part.image.weight > 0, 1 / shot.sigma**2, 0).astype(np.float32)
    fits.writeto(path.with_suffix(".weight.fits"), weight, header, overwrite=True)
    return path.name
