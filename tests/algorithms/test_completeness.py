"""How faint a new source may be: the completeness of detection on noise, in total S/N, and what the limit says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.spatial import cKDTree
from scipy.special import erf

from processing.algorithms.peaks import PeakParameters, find_peaks
from processing.algorithms.subtraction.base import SubtractionMethod
from tests.algorithms.pairs import MoffatPSF, PairSky, render, simulate_pair
from tests.algorithms.test_cuts import planes_of

SIZE, STEP, FIELDS, NOISE = 768, 32, 3, 20.0
METHODS = sorted(SubtractionMethod.members())


@pytest.fixture(
    scope="module", params=[(m, f) for f in (2.0, 4.2) for m in METHODS], ids="{0[0]}, FWHM {0[1]} px".format
)
def injected(request) -> tuple[np.ndarray, np.ndarray]:
    """Total S/N of injections on a jittered lattice away from stars, and which were found at 5 σ."""
    method, fwhm = request.param
    psf, rng = MoffatPSF(fwhm), np.random.default_rng(8)
    snr, found = [], []
    for seed in range(FIELDS):
        sky = PairSky(size=SIZE, stars=60, brightest=1e5, new_fwhm=fwhm, ref_fwhm=0.9 * fwhm, noise=NOISE, frames=9)
        pair = simulate_pair(replace(sky, flux_ratio=1.0, seed=seed))
        at = np.array([(x, y) for y in range(32, SIZE - 31, STEP) for x in range(32, SIZE - 31, STEP)], float)
        at += rng.uniform(-4, 4, at.shape)
        at = at[cKDTree(np.c_[pair.stars.x, pair.stars.y]).query(at)[0] > 20]
        wanted = rng.uniform(3, 9, len(at))
        variance = (NOISE**2 + (NOISE / 3) ** 2) / (psf.stamp(0, 0) ** 2).sum()
        flux = wanted * (wanted / 2 + np.sqrt(wanted**2 / 4 + variance))  # the noise of its own light included
        data = pair.new.data + rng.poisson(render(SIZE, psf, at, flux)).astype(np.float32)
        spread = np.maximum(data + NOISE**2, 0.25 * NOISE**2).astype(np.float32)
        new = replace(pair.new, data=data, variance=spread)
        difference = SubtractionMethod.member(method)()(new, pair.reference, pair.stars)
        peaks = find_peaks(planes_of(difference), fwhm, PeakParameters(negative=False))
        distance, _ = cKDTree(np.c_[peaks["x"], peaks["y"]]).query(at)
        column, row = np.rint(at).astype(int).T
        free = ~difference.mask[row, column]
        light_variance = difference.alpha_err[row, column] ** 2
        snr.append((flux / np.sqrt(light_variance))[free])
        found.append((distance < max(1.5, 0.6 * fwhm))[free])
    return np.concatenate(snr), np.concatenate(found)


def test_half_of_the_sources_of_5_sigma_are_found(injected):
    """The peak between pixels makes it a little more than half."""
    snr, found = injected
    bins = np.arange(3, 8.01, 0.5)
    which = np.digitize(snr, bins)
    middle = np.array([snr[which == k].mean() for k in range(1, len(bins))])
    rate = np.array([found[which == k].mean() for k in range(1, len(bins))])
    (half, width), _ = curve_fit(lambda q, q50, s: 0.5 * (1 + erf((q - q50) / s / np.sqrt(2))), middle, rate, (5, 1))
    assert half <= 5.0
    assert half > 4.6  # and not by counting noise
    assert 0.8 < width < 1.2


def test_nearly_all_sources_above_7_sigma_are_found(injected):
    snr, found = injected
    middling = (snr > 7) & (snr < 7.5)
    assert found[middling].mean() >= 0.97 - 2 * np.sqrt(0.97 * 0.03 / middling.sum())
    assert found[snr > 7.5].mean() >= 0.995 - 2 * np.sqrt(0.005 / (snr > 7.5).sum())
