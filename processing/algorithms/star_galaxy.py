"""Which sources are points: how much better a slightly wider profile than the PSF fits, as a probability too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from processing.algorithms.psf_model import STEP, PSFModel, nodes
from processing.algorithms.statistics import mad_std

_SCALE = 1 / 16  # FWHM: scale length of the disc, as in Desai et al.
_RADIUS = 1.75  # FWHM
_FEWEST = 40  # sources of one brightness that tell how many of them are galaxies
_BINS = 8
_ROUNDS = 30
_START = (0.3, 0.02, 0.01)  # part of galaxies, mean of their spread and its scatter, where the image does not tell
_NEIGHBOURS = 0.15  # of the spread of galaxies: what faint neighbours add to that of points
_NARROWEST = 0.003  # mean spread of galaxies: what is closer to points is not told apart
_FLOOR = 5e-4  # spread that errors of the PSF model feign at least


def spread_model(
    data: np.ndarray, variance: np.ndarray, mask: np.ndarray, psf: PSFModel, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """SPREAD_MODEL (n,) of the sources at (x, y) px and its error (n,), float64: 0 for points, above 0 for galaxies.

    data, variance (ny, nx) float32, electrons without sky, electrons²; mask (ny, nx) bool. Where no light is seen
    the value is 0 and the error infinite. Source: Desai et al. 2012 (ApJ 757, 83), equation 3, and Bouy et al. 2013
    (A&A 554, A101) for the normalised form: (GᵀWd)/(PᵀWd) − (GᵀWP)/(PᵀWP), where P is the PSF and G the same convolved
    with a disc of a sixteenth of the FWHM.
    """
    from processing.algorithms.source_kernels import spread

    x, y = np.asarray(x, float), np.asarray(y, float)
    wide = replace(psf, planes=_convolved_with_disc(psf))
    norms = np.stack([psf.norms(x, y), wide.norms(x, y)], axis=1)
    arrays = (np.ascontiguousarray(data, np.float32), np.ascontiguousarray(variance, np.float32))
    found = spread(
        *arrays, np.ascontiguousarray(mask, bool), psf.coefficients, wide.coefficients, STEP, psf.terms(x, y), norms,
        np.stack([x, y], axis=1), _RADIUS * psf.fwhm,
    )  # fmt: skip
    return found[:, 0], found[:, 1]


def _convolved_with_disc(psf: PSFModel) -> np.ndarray:
    """The planes convolved with an exponential disc: exp(−r/h), whose transform is (1 + (h k)²)^−3/2."""
    size = len(nodes(psf.half_size))
    pad = 2 * size
    k = [2 * np.pi * of(pad, 1 / STEP) for of in (np.fft.fftfreq, np.fft.rfftfreq)]
    disc = (1 + (_SCALE * psf.fwhm) ** 2 * (k[0][:, None] ** 2 + k[1][None, :] ** 2)) ** -1.5
    transforms = np.fft.rfft2(psf.planes.astype(float), (pad, pad))
    return np.fft.irfft2(transforms * disc, (pad, pad))[:, :size, :size].astype(np.float32)


def star_probability(spread: np.ndarray, error: np.ndarray, snr: np.ndarray, stars: np.ndarray) -> np.ndarray:
    """Probability (n,) float32 that each source is a point; 0.5 where its spread is unknown.

    Points have the spread of the PSF stars (indices `stars`) with its scatter; galaxies have more. How many galaxies
    there are, and how wide they are, is found for sources of similar brightness (`snr`) by expectation maximisation.
    """
    probability = np.full(spread.shape, 0.5, np.float32)
    known = np.flatnonzero(np.isfinite(error) & (error > 0) & (snr > 0))
    if not known.size:
        return probability
    centre, scatter = _locus(spread, error, stars)
    excess, sigma = spread[known] - centre, np.hypot(error[known], scatter)
    order = np.argsort(snr[known], kind="stable")
    count = max(1, min(_BINS, known.size // _FEWEST))
    for part in np.array_split(order, count):
        probability[known[part]] = _points(excess[part], sigma[part])
    return probability


def _locus(spread: np.ndarray, error: np.ndarray, stars: np.ndarray) -> tuple[float, float]:
    """Median spread of the PSF stars and their scatter beyond their errors."""
    stars = stars[np.isfinite(error[stars])]
    if len(stars) < 5:
        return 0.0, _FLOOR
    values = spread[stars]
    beyond = mad_std(values) ** 2 - np.median(error[stars]) ** 2
    return float(np.median(values)), float(np.sqrt(max(beyond, _FLOOR**2)))


def _points(excess: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Probabilities of a mixture of points at 0 and galaxies around a larger value, both widened by the errors."""
    part, mean, width = _START
    rounds = _ROUNDS if len(excess) >= _FEWEST else 0
    for _ in range(rounds):
        ours = 1 - _share(excess, sigma, part, mean, width)
        total = max(float(ours.sum()), 1e-9)
        part = float(np.clip(total / len(excess), 0.01, 0.99))
        mean = float(np.clip(np.sum(ours * excess) / total, _NARROWEST, 0.2))
        square = np.sum(ours * ((excess - mean) ** 2 - sigma**2)) / total
        width = float(np.sqrt(max(square, (mean / 3) ** 2)))
    return _share(np.maximum(excess, 0), sigma, part, mean, width).astype(np.float32)  # narrower is no less a point


def _share(excess, sigma, part, mean, width):
    sigma = np.hypot(sigma, _NEIGHBOURS * mean)
    both = np.hypot(sigma, width)
    exponent = 0.5 * ((excess / sigma) ** 2 - ((excess - mean) / both) ** 2)
    odds = part / (1 - part) * sigma / both * np.exp(np.clip(exponent, -300, 300))
    return 1 / (1 + odds)
