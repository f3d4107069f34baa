"""Forced photometry of two images, each with the PSF of the other: right on stars and galaxies, with a true error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.cross_photometry import Epoch, cross_flux
from tests.algorithms.pairs import MoffatPSF

SIZE, PLACES, RADIUS = 51, 400, 7.0
NEW, REFERENCE = MoffatPSF(4.2, half=20), MoffatPSF(3.3, half=20)
NOISES = 12.0, 4.0


def light(psf: MoffatPSF, points: list[tuple[float, float, float]]) -> np.ndarray:
    """Point sources at x, y from the middle of a stamp with their flux."""
    offset = np.arange(SIZE) - SIZE // 2
    return sum(flux * psf.profile(offset[None, :] - x, offset[:, None] - y) for x, y, flux in points)


def epochs(steady: list[tuple], change: list[tuple], seed: int = 3) -> tuple[Epoch, Epoch]:
    """Many noisy looks at the same things, of which `change` is in the new image only."""
    rng = np.random.default_rng(seed)
    found = []
    for psf, noise, points in ((NEW, NOISES[0], steady + change), (REFERENCE, NOISES[1], steady)):
        expected = light(psf, points)
        variance = np.broadcast_to(noise**2 + np.maximum(expected, 0) * (noise / NOISES[0]) ** 2, (PLACES, SIZE, SIZE))
        stamps = np.broadcast_to(psf.stamp(0, 0), (PLACES, 41, 41))
        found.append(Epoch(rng.normal(expected, np.sqrt(variance)), variance, stamps))
    return found[0], found[1]


def measured(new: Epoch, reference: Epoch, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    usable = np.ones(new.data.shape, bool)
    return cross_flux(new, reference, np.tile([x, y], (PLACES, 1)), usable, RADIUS)


GALAXY = [(4 * np.cos(k), 3 * np.sin(k), 700.0) for k in range(12)]


@pytest.mark.parametrize("steady", [[], [(0.3, -0.4, 40_000.0)], GALAXY], ids=["nothing", "a star", "a galaxy"])
@pytest.mark.parametrize("flux", [0.0, 3000.0, -2000.0])
def test_what_changed_is_measured_whatever_stands_there(steady, flux):
    found, error = measured(*epochs(steady, [(0.3, -0.4, flux)]), 0.3, -0.4)
    pull = (found - flux) / error
    assert abs(pull.mean()) < 4 / np.sqrt(PLACES) + 0.001 * sum(p[2] for p in steady) / error.mean()
    assert pull.std() == pytest.approx(1, abs=0.12)


def test_the_psf_of_one_image_alone_would_see_a_change_in_every_star():
    """What each convolved with the PSF of the other avoids."""
    new, reference = epochs([(0, 0, 40_000.0)], [])
    template = NEW.stamp(0, 0)[10:-10, 10:-10]
    plain = ((new.data - reference.data)[:, 15:-15, 15:-15] * template).sum(axis=(1, 2)) / (template**2).sum()
    crossed, error = measured(new, reference, 0, 0)
    assert abs(plain.mean()) > 30 * abs(crossed.mean())
    assert abs(crossed.mean()) < 4 * error.mean() / np.sqrt(PLACES)


def test_unusable_pixels_under_the_core_give_no_flux_and_those_farther_out_nothing_false():
    new, reference = epochs([], [(0, 0, 3000.0)])
    usable = np.ones(new.data.shape, bool)
    usable[0, 25, 27] = False
    usable[1, 25, 31] = False
    spoiled = np.where(usable, new.data, 1e6)
    flux, error = cross_flux(replace(new, data=spoiled), reference, np.zeros((PLACES, 2)), usable, RADIUS)
    assert np.isnan(flux[0]) and np.isnan(error[0])
    assert abs(flux[1] - 3000) < 6 * error[1]
    assert np.isfinite(flux[1:]).all()


def test_no_place_has_no_flux():
    new, reference = (epoch.part(slice(0, 0)) for epoch in epochs([], []))
    found = cross_flux(new, reference, np.zeros((0, 2)), np.zeros((0, SIZE, SIZE), bool), RADIUS)
    assert found[0].shape == found[1].shape == (0,)
