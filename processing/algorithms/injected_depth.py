"""The depth of an image checked by experiment: faint PSFs are put at empty places, and either found or not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage
from scipy.optimize import minimize

from processing.algorithms.background import BackgroundMap
from processing.algorithms.detection import DetectionParameters, least_area, moffat_kernel
from processing.algorithms.extraction import Sources
from processing.algorithms.psf_model import PSFModel
from processing.algorithms.statistics import mad_std

_SEED = 5
_FEWEST = 30  # places
_DRAWS = 20  # candidates a place
_FREE = 2.5  # FWHM without a source or an unusable pixel
_REACH = 1.5  # FWHM around the place within which it may be found
_FAINTEST, _BRIGHTEST = 2.0, 9.0  # S/N of what is put in


@dataclass(frozen=True)
class InjectedDepth:
    """What an image shows of sources that were put into it."""

    flux_50: float  # electrons of the source of which one in two is found
    flux_5sigma: float  # electrons, 5 times the scatter of PSF fluxes at empty places
    expected_5sigma: float  # electrons, from the noise and the PSF
    count: int


def injected_depth(
    signal: np.ndarray,
    background: BackgroundMap,
    mask: np.ndarray,
    sources: Sources,
    psf: PSFModel,
    parameters: DetectionParameters,
    *,
    count: int = 300,
) -> InjectedDepth | None:
    """Put `count` faint PSFs, with photon noise, at empty places of `signal` (ny, nx) float32, which has no sky.

    They are sought with the filter, the threshold and the least area of the detection. None where fewer than 30 places
    are empty, as in a crowded field.
    """
    rng = np.random.default_rng(_SEED)
    kernel = moffat_kernel(sources.fwhm)
    reach = int(np.ceil(_REACH * sources.fwhm))
    half = reach + kernel.shape[0] // 2
    x, y = _empty_places(mask | (sources.segmentation > 0), max(half, _FREE * sources.fwhm), count, rng)
    if len(x) < _FEWEST:
        return None
    px, py = np.rint(x).astype(int), np.rint(y).astype(int)
    offset = np.arange(-half, half + 1)
    windows = np.ix_(np.zeros(1, int), offset, offset)
    rows, columns = py[:, None, None] + windows[1], px[:, None, None] + windows[2]
    noise = background.rms[py, px].astype(float)
    stamps = psf.stamps(x, y, x - px, y - py, half).astype(float)
    power = np.sum(stamps**2, axis=(1, 2))
    snr = rng.uniform(_FAINTEST, _BRIGHTEST, len(x))
    flux = snr * noise / np.sqrt(power)
    light = np.maximum(stamps * flux[:, None, None], 0)
    seen = signal[rows, columns].astype(float)
    empty_flux = np.sum(stamps * seen, axis=(1, 2)) / power
    seen += light + rng.normal(0, 1, light.shape) * np.sqrt(light)
    found = _found(
        seen / noise[:, None, None], kernel, reach, parameters.threshold, least_area(parameters, sources.fwhm)
    )
    unit = float(np.median(noise / np.sqrt(power)))
    return InjectedDepth(_half(snr, found) * unit, 5 * mad_std(empty_flux), 5 * unit, len(x))


def _empty_places(
    taken: np.ndarray, radius: float, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions with nothing of `taken` (ny, nx) within a square of half side `radius` px; never two in one square."""
    ny, nx = taken.shape
    half = int(np.ceil(radius))
    if min(ny, nx) <= 2 * half + 2:
        return np.zeros(0), np.zeros(0)
    xs, ys = (rng.uniform(half, size - 1 - half, _DRAWS * count) for size in (nx, ny))
    chosen, free = [], taken.copy()
    for k, (x, y) in enumerate(zip(xs, ys)):
        box = (slice(round(y) - half, round(y) + half + 1), slice(round(x) - half, round(x) + half + 1))
        if not free[box].any():
            free[round(y), round(x)] = True
            chosen.append(k)
            if len(chosen) == count:
                break
    return xs[chosen], ys[chosen]


def _found(windows: np.ndarray, kernel: np.ndarray, reach: int, threshold: float, area: int) -> np.ndarray:
    """Whether connected pixels of the filtered middle of each window (n, m, m) are above the threshold: (n,) bool."""
    shape = [windows.shape[1] + kernel.shape[0] - 1] * 2
    spectrum = fft.rfft2(windows, shape) * fft.rfft2(kernel / np.sqrt(np.sum(kernel.astype(float) ** 2)), shape)
    middle = slice(
        kernel.shape[0] // 2 + windows.shape[1] // 2 - reach, kernel.shape[0] // 2 + windows.shape[1] // 2 + reach + 1
    )
    above = fft.irfft2(spectrum, shape)[:, middle, middle] > threshold
    structure = np.zeros((3, 3, 3), bool)
    structure[1] = True  # pixels are neighbours within a window only
    labels, number = ndimage.label(above, structure)
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    sizes[0] = 0
    return np.max(sizes[labels], axis=(1, 2)) >= area


def _half(snr: np.ndarray, found: np.ndarray) -> float:
    """The S/N at which a logistic curve through what was found crosses one half."""

    def loss(values: np.ndarray) -> float:
        z = (snr - values[0]) / np.exp(values[1])
        return float(np.sum(np.logaddexp(0, np.where(found, -z, z))))

    return float(minimize(loss, [4.5, -0.5], method="Nelder-Mead").x[0])
