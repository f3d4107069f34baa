"""Differences of other programs, and the changes that are found in them by our peak finder or by source-extractor."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from astropy.io import fits
from scipy.signal import fftconvolve

from processing.algorithms.inpainting import fill
from processing.algorithms.masks import grow
from processing.algorithms.peaks import PEAKS, PeakParameters, find_peaks
from processing.algorithms.resampling import StampModel
from processing.algorithms.statistics import clipped_mean_and_std
from processing.algorithms.subtraction.base import Epoch, MatchedStars, SubtractionMethod
from processing.algorithms.subtraction.tiles import TILE, Tiles
from tests.benchmarks._pair_fields import PairField
from tests.benchmarks._pair_truth import expected_snr, flux_bias, half_light, matched, percent, regions
from tests.benchmarks._peer_methods import NOT_INSTALLED
from tests.benchmarks._peer_programs import run
from tests.benchmarks.calibration import peak_memory, reset_peak

THRESHOLD = 5.0  # σ, of every search
_EDGE = 40  # px along the edges of the window where nothing is searched
_FAR = 6.0  # px around unusable pixels that the kernel of sfft does not see
_SHARED = Path("/usr/share/source-extractor")
_KERNELS = {2.0: "gauss_2.0_5x5.conv", 3.0: "gauss_3.0_7x7.conv", 4.0: "gauss_4.0_7x7.conv"}  # FWHM, px
_WANTED = "XWIN_IMAGE\nYWIN_IMAGE\nX_IMAGE\nY_IMAGE\nXPEAK_IMAGE\nYPEAK_IMAGE\nFLUX_AUTO\nFLUXERR_AUTO\n"


@dataclass(frozen=True)
class Moved:
    """The PSF of a whole image, by positions in a window of it."""

    whole: StampModel
    x: int  # px, of the first pixel of the window
    y: int

    def stamp(self, x: float, y: float) -> np.ndarray:
        """The PSF at pixel (x, y) of the window."""
        return self.whole.stamp(x + self.x, y + self.y)


@dataclass(frozen=True)
class Given:
    """The window that every column starts from, and what is asked of all alike."""

    pair: PairField
    window: tuple[slice, slice]  # rows and columns of the whole image
    new: Epoch  # the window: sky-subtracted, unusable pixels filled
    reference: Epoch  # the same, warped to the new image by us
    stars: MatchedStars
    usable: np.ndarray  # (ny, nx) bool, where peaks count
    expected: np.ndarray  # (changes,) S/N
    asked: np.ndarray  # (changes,) bool
    zero_point: Any

    @property
    def variance(self) -> np.ndarray:
        """Of a pixel of new minus reference, source noise included; (ny, nx) float32, electrons²."""
        return self.new.variance + self.reference.variance

    def whole(self, plane: np.ndarray) -> np.ndarray:
        """A plane of the window in one of the whole image, 0 elsewhere."""
        found = np.zeros(self.pair.new.data.shape, plane.dtype)
        found[self.window] = plane
        return found


@dataclass(frozen=True)
class Column:
    """What a method and a search made of the window."""

    peaks: np.ndarray  # dtype PEAKS; flux 0 where there is none
    data: np.ndarray  # (ny, nx) the difference, in any unit
    score: np.ndarray | None
    cost: dict[str, float]


def given_of(pair: PairField, taken: tuple[Any, ...], difference: Any, zero_point: Any, side: int) -> Given:
    """The middle `side` px of what a method of ours has `taken`; our whole `difference` says what is to be found."""
    shape = pair.new.data.shape
    starts = [max(0, (size - side) // 2) for size in shape]
    window = tuple(slice(start, min(size, start + side)) for start, size in zip(starts, shape))
    new, reference, stars = taken
    mask = (new.mask | reference.mask)[window]
    usable = difference.weight[window] > 0
    _close_edges(usable)
    expected, asked = expected_snr(pair, difference)
    changes = pair.changes
    row, column = (np.clip(np.rint(changes[name]).astype(int), 0, size - 1) for name, size in zip("yx", shape))
    whole = np.zeros(shape, bool)
    whole[window] = usable
    epochs = (_cut(epoch, window, mask) for epoch in (new, reference))
    asked &= whole[row, column]
    return Given(pair, window, *epochs, _inside(stars, window), usable, expected, asked, zero_point)


def _close_edges(usable: np.ndarray) -> None:
    usable[:_EDGE] = usable[-_EDGE:] = False
    usable[:, :_EDGE] = usable[:, -_EDGE:] = False


def _cut(epoch: Epoch, window: tuple[slice, slice], mask: np.ndarray) -> Epoch:
    noise = np.asarray(epoch.noise)
    noise = noise[window] if noise.ndim else float(noise)
    return replace(
        epoch,
        data=fill(epoch.data[window], mask),
        variance=fill(epoch.variance[window], mask, background=float(np.mean(noise)) ** 2),
        mask=mask,
        psf=Moved(epoch.psf, window[1].start, window[0].start),
        noise=noise,
    )


def _inside(stars: MatchedStars, window: tuple[slice, slice]) -> MatchedStars:
    rows, columns = window
    kept = (stars.x > columns.start) & (stars.x < columns.stop - 1)
    kept &= (stars.y > rows.start) & (stars.y < rows.stop - 1)
    found = {name: values[kept] for name, values in vars(stars).items()}
    return MatchedStars(**{**found, "x": found["x"] - columns.start, "y": found["y"] - rows.start})


def ours(given: Given, method: str) -> Column:
    """A method of ours in the window, and its peaks; run twice, the first compiles."""
    made = SubtractionMethod.member(method)()
    for _ in range(2):
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before would count as held
        held, start = reset_peak(), time.process_time()
        found = made(given.new, given.reference, given.stars)
        used = cost("subtraction", time.process_time() - start, peak_memory() - held)
        held, start = reset_peak(), time.process_time()
        peaks = _peaks(given, found.score, found.alpha, found.alpha_err, found.tiles)
        used |= cost("detection", time.process_time() - start, peak_memory() - held)
    return Column(peaks, found.data, found.score, used)


def write_pair(given: Given, path: Path) -> None:
    """The images for `_peer_methods`."""
    arrays: dict[str, Any] = {"mask": given.new.mask, "far": grow(given.new.mask, _FAR)}
    for name, epoch in (("new", given.new), ("reference", given.reference)):
        arrays |= {name: epoch.data, f"{name}_noise": np.mean(epoch.noise), f"{name}_fwhm": epoch.fwhm}
    np.savez(path, **arrays)


def peer(name: str, python: str, folder: Path) -> tuple[dict[str, np.ndarray], dict[str, float]] | str:
    """Planes by name and the cost of properimage or sfft; why there are none: `missing`, or its last words."""
    script = Path(__file__).with_name("_peer_methods.py")
    command = [str(Path(python).absolute()), str(script), name, str(folder / "pair.npz"), str(folder / f"{name}.npz")]
    apart = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=apart, cwd=folder)
    if done.returncode == NOT_INSTALLED:
        return "missing"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    seconds, megabytes = map(float, done.stdout.split()[-2:])
    return dict(np.load(folder / f"{name}.npz")), cost("subtraction", seconds, megabytes)


def cost(of: str, seconds: float, megabytes: float) -> dict[str, float]:
    return {f"{of}: CPU s": round(seconds, 2), f"{of}: MB above what was held": round(megabytes)}


def by_own_score(given: Given, score: np.ndarray, masked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Peaks of a score by our peak finder, and the score in units of its clipped scatter; NaN where it is `masked`."""
    usable = given.usable & ~masked
    score = (score / clipped_mean_and_std(score[usable], sigma=4.0)[1]).astype(np.float32)
    peaks = _peaks(given, score, score, np.ones_like(score), _one_tile(given))
    peaks["flux"] = peaks["flux_err"] = 0  # it has none
    return peaks[usable[peaks["y_peak"], peaks["x_peak"]]], np.where(usable, score, np.float32(np.nan))


def by_matched_filter(given: Given, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Peaks and score of a difference in electrons, filtered with the PSF of the image that was not convolved."""
    tiles = _one_tile(given)
    psf = tiles.psf[0]
    weight = 1 / given.variance
    information = fftconvolve(weight, psf[::-1, ::-1] ** 2, mode="same")
    flux = (fftconvolve(data * weight, psf[::-1, ::-1], mode="same") / information).astype(np.float32)
    error = (1 / np.sqrt(information)).astype(np.float32)
    score = flux / error
    return _peaks(given, score, flux, error, tiles), score


def _one_tile(given: Given) -> Tiles:
    """The PSF of the broader image in the middle, for all of the window."""
    broader = max((given.new, given.reference), key=lambda epoch: epoch.fwhm)
    ny, nx = given.usable.shape
    table = np.zeros(1, TILE)
    table["y1"], table["x1"] = ny, nx
    psf = np.asarray(broader.psf.stamp((nx - 1) / 2, (ny - 1) / 2), np.float32)[None]
    return Tiles(table, psf, psf)


def _peaks(given: Given, score: np.ndarray, flux: np.ndarray, error: np.ndarray, tiles: Tiles) -> np.ndarray:
    planes = SimpleNamespace(
        score=score, mask=~given.usable, unsupported=None, alpha=flux, flux_error=lambda x, y: error[y, x], tiles=tiles
    )
    return find_peaks(planes, given.new.fwhm, PeakParameters(threshold=THRESHOLD))


def by_source_extractor(given: Given, data: np.ndarray, folder: Path) -> tuple[np.ndarray, dict[str, float]]:
    """Sources of either sign with the weight of the images: its Gaussian filter, one pixel of 5σ of that is enough."""
    weight = np.where(given.usable, 1 / given.variance, 0).astype(np.float32)
    fits.writeto(folder / "weight.fits", weight, overwrite=True)
    (folder / "wanted.param").write_text(_WANTED)
    kernel = _SHARED / _KERNELS[min(_KERNELS, key=lambda fwhm: abs(fwhm - given.new.fwhm))]
    filtered = np.loadtxt(kernel, skiprows=2)
    threshold = str(THRESHOLD * np.sqrt(np.sum(filtered**2)) / filtered.sum())  # it counts in unfiltered noise
    tables, seconds, megabytes = [], 0.0, 0.0
    for sign in (1, -1):
        fits.writeto(folder / "difference.fits", np.float32(sign) * data.astype(np.float32), overwrite=True)
        used = run(
            "source-extractor", "difference.fits", "-c", str(_SHARED / "default.sex"), "-CATALOG_NAME", "found.cat",
            "-CATALOG_TYPE", "FITS_1.0", "-PARAMETERS_NAME", "wanted.param", "-FILTER_NAME", str(kernel),
            "-STARNNW_NAME", str(_SHARED / "default.nnw"), "-WEIGHT_TYPE", "MAP_WEIGHT", "-WEIGHT_IMAGE", "weight.fits",
            "-DETECT_THRESH", threshold, "-ANALYSIS_THRESH", threshold, "-DETECT_MINAREA", "1", "-BACK_TYPE", "MANUAL",
            "-BACK_VALUE", "0.0", "-GAIN", "1.0", "-SATUR_LEVEL", "1e9", "-SEEING_FWHM", str(given.new.fwhm),
            "-PIXEL_SCALE", "1.0", "-CHECKIMAGE_TYPE", "NONE", "-VERBOSE_TYPE", "QUIET", folder=folder,
        )  # fmt: skip
        seconds, megabytes = seconds + used.seconds, max(megabytes, used.megabytes)
        tables.append(_as_peaks(given, fits.getdata(folder / "found.cat", 1), sign))
    return np.concatenate(tables), cost("detection", seconds, megabytes)


def _as_peaks(given: Given, table: np.ndarray, sign: int) -> np.ndarray:
    peaks = np.zeros(len(table), PEAKS)
    peaks["x"], peaks["y"] = table["XWIN_IMAGE"] - 1, table["YWIN_IMAGE"] - 1
    peaks["x_peak"], peaks["y_peak"] = table["XPEAK_IMAGE"] - 1, table["YPEAK_IMAGE"] - 1
    peaks["flux"], peaks["flux_err"] = sign * table["FLUX_AUTO"], table["FLUXERR_AUTO"]
    peaks["is_negative"] = sign < 0
    return peaks[given.usable[peaks["y_peak"], peaks["x_peak"]]]


def compare_column(given: Given, column: Column) -> dict[str, float]:
    """The numbers of a column; what it does not give is left out."""
    pair, changes = given.pair, given.pair.changes
    peaks = column.peaks.copy()
    peaks["x"] += given.window[1].start
    peaks["y"] += given.window[0].start
    match = matched(pair, SimpleNamespace(peaks=peaks))
    seen, false = match.which >= 0, ~match.of_change
    strong, plain = given.asked & (given.expected > 10), given.asked & (changes["kind"] == "hostless")
    found = {
        "50 % completeness, mag fainter than the limit": half_light(changes["mag"][plain] - pair.limit(), seen[plain]),
        "changes of S/N > 10": int(strong.sum()),
        "of these found, %": percent(seen[strong]),
        "detections": len(column.peaks),
        "false, without unflagged cosmic rays": int((false & ~match.of_ray).sum()),
        "unflagged cosmic rays": int(match.of_ray.sum()),
    }
    empty, near = (region[given.window] for region in regions(pair, given.whole(given.usable))[:2])
    if column.score is not None:
        found["score on empty sky: mean"] = float(np.nanmean(column.score[empty]))
        found["score on empty sky: standard deviation"] = float(np.nanstd(column.score[empty]))
    ratio = column.data / np.sqrt(given.variance)
    found["scatter within 6 px of bright stars over that of sky"] = float(ratio[near].std() / ratio[empty].std())
    if peaks["flux"].any():
        mine = seen & given.asked
        peaks = peaks[match.which[mine]]
        unit = 10 ** (0.4 * (pair.new.camera.zero_point - given.zero_point.at(peaks["x"], peaks["y"])))
        found["flux bias of bright transients, %"] = flux_bias(pair, changes[mine], peaks["flux"] * unit)
    return found | column.cost
