"""Trails of what moved during the exposure: length, angle and flux, with errors that are true."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.psf_model import moffat_model
from processing.algorithms.trail_fit import fit_trails

NOISE, SIDE, COUNT = 20.0, 41, 60


def trails(fwhm: float, seed: int):
    """Stamps of trails of a Moffat PSF, made point by point, with noise; and their truth."""
    rng = np.random.default_rng(seed)
    model, middle = moffat_model(fwhm, (SIDE, SIDE), half_size=25), SIDE // 2
    x, y = rng.uniform(-1, 1, (2, COUNT))
    length, angle = rng.uniform(1.2 * fwhm, 5 * fwhm, COUNT), rng.uniform(-90, 90, COUNT)
    flux = rng.uniform(60, 400, COUNT) * NOISE * fwhm
    stamps = np.zeros((COUNT, SIDE, SIDE))
    for part in (np.arange(80) + 0.5) / 80 - 0.5:
        dx = x + part * length * np.cos(np.radians(angle))
        dy = y + part * length * np.sin(np.radians(angle))
        nothing = np.full(COUNT, float(middle))
        stamps += model.stamps(nothing, nothing, dx, dy, middle) / 80
    data = flux[:, None, None] * stamps + rng.normal(0, NOISE, stamps.shape)
    psf = model.stamp(middle, middle)
    return data, np.repeat(psf[None], COUNT, axis=0), length, angle, flux


@pytest.mark.parametrize("fwhm", [2.2, 3.3, 4.5])
def test_length_angle_and_flux_are_those_of_the_trail(fwhm):
    data, psf, length, angle, flux = trails(fwhm, 1)
    rng = np.random.default_rng(2)
    start = angle + rng.normal(0, 8, COUNT), length * rng.uniform(0.6, 1.4, COUNT)
    found = fit_trails(data, np.full(data.shape, NOISE**-2), psf, fwhm, *start)
    assert np.mean(found.length - length) == pytest.approx(0, abs=0.12)
    assert np.median(np.abs(found.length - length)) < 0.1 * fwhm
    assert np.median(np.abs((found.angle - angle + 90) % 180 - 90)) < 2
    pull = (found.flux - flux) / found.flux_err
    assert abs(pull.mean()) < 0.5 and 0.75 < pull.std() < 1.3
    assert np.median(found.chi2) == pytest.approx(1, abs=0.05)


def test_pixels_without_weight_do_not_count():
    data, psf, length, angle, flux = trails(3.3, 3)
    weight = np.full(data.shape, NOISE**-2)
    weight[:, :, 22:24] = 0
    data[:, :, 22:24] = 1e6
    found = fit_trails(data, weight, psf, 3.3, angle, length)
    assert np.median(found.flux / flux) == pytest.approx(1, abs=0.01)


def test_no_candidate_no_trail():
    nothing = np.zeros((0, SIDE, SIDE))
    assert fit_trails(nothing, nothing, np.zeros((0, 51, 51)), 3.0, np.zeros(0), np.zeros(0)).length.shape == (0,)
