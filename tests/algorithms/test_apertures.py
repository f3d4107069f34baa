"""Aperture photometry: the light within the circle, its error, and what is missing to the whole PSF."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from processing.algorithms.apertures import annulus_medians, aperture_corrections, aperture_fluxes
from processing.errors import NotEnoughStars
from tests.algorithms.pairs import MoffatPSF, render

SIGMA = 10.0
RADII = (3.0, 5.0, 8.0)


def lattice(size: int = 640, step: int = 40, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = np.array([(x, y) for y in range(step, size - step + 1, step) for x in range(step, size - step + 1, step)])
    return places + rng.uniform(-0.5, 0.5, places.shape)


@pytest.fixture(scope="module")
def field():
    """Equal stars on white noise."""
    places, flux = lattice(), 20_000.0
    image = render(640, MoffatPSF(3.0), places, np.full(len(places), flux))
    rng = np.random.default_rng(5)
    return places, flux, rng.normal(rng.poisson(image), SIGMA).astype(np.float32)


def enclosed(fwhm: float, radius: float) -> float:
    """Part of the light within a circle of a Moffat of beta 3 that is cut at 16 px.

    Every pixel has the value of its centre and belongs to the circle by its area: on average over the places of a star
    in its pixel that is the profile smeared by a pixel.
    """
    width2 = (fwhm / 2) ** 2 / (2 ** (1 / 3) - 1)
    fine = (np.arange(-17, 17, 0.05) + 0.025) ** 2
    square = fine[:, None] + fine[None, :]
    profile = ndimage.uniform_filter((1 + square / width2) ** -3.0, 20)
    return float(profile[square <= radius**2].sum() / profile.sum())


def test_fluxes_are_the_light_within_the_circle(field):
    places, flux, image = field
    found, _ = aperture_fluxes(image, *places.T, RADII, rms=SIGMA)
    for column, radius in enumerate(RADII):
        ratio = found[:, column] / flux
        assert ratio.mean() == pytest.approx(enclosed(3.0, radius), abs=4 * ratio.std() / np.sqrt(len(places)) + 0.001)


def test_errors_are_the_scatter_of_equal_stars(field):
    places, _, image = field
    found, error = aperture_fluxes(image, *places.T, RADII, rms=SIGMA)
    count = len(places)
    # In a small circle the place of the star in its pixel adds to the scatter.
    for column in (1, 2):
        assert found[:, column].std() == pytest.approx(error[:, column].mean(), rel=4 / np.sqrt(2 * count) + 0.02)


def test_a_masked_pixel_is_replaced_by_the_others_and_a_masked_circle_has_no_weight(field):
    places, _, image = field
    mask = np.zeros(image.shape, bool)
    x, y = np.round(places[0]).astype(int)
    mask[y + 6, x] = True
    u, v = np.round(places[1]).astype(int)
    mask[v - 9 : v + 10, u - 9 : u + 10] = True
    spoiled = image.copy()
    spoiled[mask] = 1e7
    found, error = aperture_fluxes(spoiled, *places[:2].T, (8.0,), rms=SIGMA, mask=mask)
    clean, _ = aperture_fluxes(image, *places[:1].T, (8.0,), rms=SIGMA)
    assert abs(found[0, 0] - clean[0, 0]) < 0.03 * clean[0, 0]
    assert found[1, 0] == 0 and np.isinf(error[1, 0])
    assert np.isfinite(found).all()


def test_corrections_are_the_magnitudes_that_the_circle_misses(field):
    places, flux, image = field
    found, _ = aperture_fluxes(image, *places.T, RADII, rms=SIGMA)
    corrections = aperture_corrections(found, np.full(len(places), flux))
    expected = [-2.5 * np.log10(enclosed(3.0, radius)) for radius in RADII]
    np.testing.assert_allclose(corrections.corrections, expected, atol=0.004)
    assert corrections.n_stars == len(places)
    assert np.all(corrections.scatter < 0.05)


def test_stars_without_light_say_nothing_about_the_correction():
    with pytest.raises(NotEnoughStars):
        aperture_corrections(np.array([[-1.0, 5.0]]), np.array([10.0]))
    found = aperture_corrections(np.array([[-1.0], [8.0]]), np.array([10.0, 10.0]))
    assert found.n_stars == 1
    assert found.corrections[0] == pytest.approx(-2.5 * np.log10(0.8))


def test_no_source_has_no_flux():
    found, error = aperture_fluxes(np.zeros((50, 50), np.float32), np.zeros(0), np.zeros(0), RADII, rms=1.0)
    assert found.shape == error.shape == (0, 3)


def test_a_ring_shows_the_level_around_a_star_and_not_the_star():
    places = np.array([(60.3, 70.8), (150.0, 40.5)])
    image = render(200, MoffatPSF(3.0), places, np.array([50_000.0, 80_000.0])) + 12.0
    data = np.random.default_rng(2).normal(image, SIGMA).astype(np.float32)
    found = annulus_medians(data, np.zeros(data.shape, bool), *places.T, (20.0, 24.0))
    pixels = np.pi * (24**2 - 20**2)
    np.testing.assert_allclose(found, 12.0, atol=4 * 1.25 * SIGMA / np.sqrt(pixels) + 0.5)  # and wings of 0.5


def test_a_ring_is_as_wide_as_it_says_and_leaves_out_what_is_masked():
    y, x = np.mgrid[:81, :81]
    radius = np.hypot(x - 40, y - 40)
    data = np.where((radius >= 13) & (radius <= 15), 5, 100).astype(np.float32)
    centre = np.array([40.0]), np.array([40.0])
    whole = np.zeros(data.shape, bool)
    assert annulus_medians(data, whole, *centre, (13.0, 15.0)) == [5]
    data[y > 40] = 1000
    assert annulus_medians(data, y > 40, *centre, (13.0, 15.0)) == [5]
    assert np.isnan(annulus_medians(data, (y > 40) | (x > 33), *centre, (13.0, 15.0))).all()


def test_a_ring_over_the_edge_has_what_is_inside_and_one_beyond_it_nothing():
    data = np.full((50, 70), 3.0, np.float32)
    x, y = np.array([0.0, 69.0, 35.0, 500.0, -40.0]), np.array([25.0, 49.0, -0.4, 20.0, -40.0])
    found = annulus_medians(data, np.zeros(data.shape, bool), x, y, (6.0, 9.0))
    np.testing.assert_array_equal(found, [3, 3, 3, np.nan, np.nan])
    assert annulus_medians(data, np.zeros(data.shape, bool), x[:0], y[:0], (6.0, 9.0)).shape == (0,)
