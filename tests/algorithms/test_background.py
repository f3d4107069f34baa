"""The sky: unbiased under stars and on integers, its noise that of a pixel, and an answer in crowded fields too."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.background import BackgroundParameters, estimate_background, object_mask
from processing.errors import BadInput, BadPixels
from tests.algorithms.starfields import Field, Sky, simulate

PARAMETERS = BackgroundParameters()
SHAPE = (768, 768)


def nothing(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.zeros(shape, bool)


def empty(field: Field, radius: float = 4.0) -> np.ndarray:
    """Pixels far from everything that was drawn."""
    free = ~nothing(field.data.shape)
    rows, columns = np.indices(field.data.shape)
    for (x, y), flux in zip([*np.c_[field.x, field.y], *field.galaxies], [*field.flux, *[5e4] * len(field.galaxies)]):
        reach = field.sky.fwhm * (radius + 2 * np.log10(max(flux / 1000, 1)))
        box = tuple(slice(max(0, int(c - reach)), int(c + reach) + 2) for c in (y, x))
        free[box] &= np.hypot(rows[box] - y, columns[box] - x) > reach
    return free


def block_means(values: np.ndarray, good: np.ndarray, size: int = 32) -> np.ndarray:
    """Means of the good pixels of blocks that are half good."""
    split = [
        plane.reshape(plane.shape[0] // size, size, -1, size).swapaxes(1, 2).reshape(-1, size**2)
        for plane in (values * good, good)
    ]
    counts = split[1].sum(axis=1)
    return (split[0].sum(axis=1) / np.maximum(counts, 1))[counts > size**2 / 2]


@pytest.fixture(scope="module", params=[2.0, 4.2], ids="FWHM {} px".format)
def field(request) -> Field:
    """800 stars in a square degree of pixels are many: 300 of them here."""
    return simulate(Sky(shape=SHAPE, fwhm=request.param, stars=300, galaxies=12, seed=4))


@pytest.mark.parametrize("quantum", [1.0, 5.0])
def test_the_sky_under_stars_is_unbiased_on_integers_of_any_step(field, quantum):
    """A step of 5 electrons is 0.42 σ: camera units with a gain of 5."""
    data = np.rint(field.data / quantum).astype(np.float32)
    found = estimate_background(data, nothing(), PARAMETERS)
    sigma = field.noise / quantum
    free = empty(field)
    bias = (found.level * quantum - field.background)[free].mean() / field.noise
    assert abs(bias) < 0.02
    assert abs((data - found.level)[free].mean()) < 0.02 * sigma
    assert found.value == pytest.approx(np.median(field.background) / quantum, abs=0.03 * sigma)


@pytest.mark.parametrize("quantum", [1.0, 5.0])
def test_the_noise_is_that_of_an_empty_pixel(field, quantum):
    found = estimate_background(np.rint(field.data / quantum).astype(np.float32), nothing(), PARAMETERS)
    expected = np.sqrt(field.sky.sky / quantum**2 + (1 / 12 if quantum > 1 else 0))
    assert found.noise == pytest.approx(expected, rel=0.01)
    ratio = found.rms * quantum / np.sqrt(field.background)
    assert ratio.std() < 0.01  # 128² pixels tell a noise to 0.6 %


def test_blocks_of_empty_sky_scatter_hardly_more_than_their_pixels(field):
    found = estimate_background(field.data, nothing(), PARAMETERS)
    means = block_means(field.data - found.level, empty(field))
    assert len(means) > 100
    assert means.std() < 1.5 * field.noise / np.sqrt(0.75 * 32**2)


def test_a_gradient_of_a_tenth_is_followed_to_the_edges():
    field = simulate(Sky(shape=SHAPE, stars=0, galaxies=0, gradient=0.1, seed=2))
    found = estimate_background(field.data, nothing(), PARAMETERS)
    off = (found.level - field.background) / field.noise
    mesh = 1 / PARAMETERS.box  # σ, of the mean of a mesh
    assert off.std() < 2 * mesh
    for edge in (off[:8], off[-8:], off[:, :8], off[:, -8:]):
        assert abs(edge.mean()) < 5 * mesh


def test_masked_pixels_do_not_count_whatever_is_in_them(field):
    mask = nothing()
    mask[300:420, 100:500] = mask[:, 700] = True
    spoiled = np.where(mask, np.float32(1e6), field.data)
    found = estimate_background(spoiled, mask, PARAMETERS)
    free = empty(field) & ~mask
    assert abs((found.level - field.background)[free].mean()) < 0.02 * field.noise
    assert np.isfinite(found.level).all() and np.isfinite(found.rms).all()


@pytest.mark.parametrize("fwhm, tolerance", [(2.0, 0.15), (3.0, 0.5)])
def test_in_a_field_of_200_000_stars_per_ccd_the_sky_is_that_of_the_emptiest_pixels(fwhm, tolerance):
    """Objects cover nearly all: what is left is a sky a bit too bright, and a noise a bit too large."""
    field = simulate(Sky(shape=(512, 512), fwhm=fwhm, stars=6200, faintest=400.0, galaxies=0, sky=250.0, seed=3))
    found = estimate_background(field.data, nothing(field.data.shape), PARAMETERS)
    assert found.covered > 0.9
    excess = (found.level - field.background).mean() / field.noise
    median = np.median(field.data - field.background) / field.noise
    assert -0.05 < excess < min(tolerance, 0.35 * median)
    assert abs(found.residual) < 0.1
    assert 0.98 < found.noise / field.noise < 1.25


def test_figures_say_what_is_covered_and_what_is_left(field):
    found = estimate_background(field.data, nothing(), PARAMETERS)
    residual = field.data - field.background
    objects = object_mask(residual, field.noise, nothing(), PARAMETERS.object_threshold, PARAMETERS.grow)
    assert found.covered == pytest.approx(objects.mean(), abs=0.03)
    assert abs(found.residual) < 0.01


POLYNOMIAL = BackgroundParameters(model="polynomial", order=2)


def test_a_polynomial_keeps_a_nebula_that_the_mesh_takes_for_sky():
    field = simulate(Sky(shape=SHAPE, stars=150, galaxies=0, gradient=0.1, seed=5))
    y, x = np.indices(SHAPE)
    nebula = 4 * field.noise * np.exp(-0.5 * ((x - 400) ** 2 + (y - 350) ** 2) / 90**2)
    data = field.data + np.random.default_rng(1).normal(nebula, np.sqrt(nebula)).astype(np.float32)
    mesh, smooth = (estimate_background(data, nothing(), of) for of in (PARAMETERS, POLYNOMIAL))
    at_peak = (slice(330, 370), slice(380, 420))
    off_mesh, off = ((found.level - field.background) / field.noise for found in (mesh, smooth))
    assert off_mesh[at_peak].mean() > 0.25
    assert abs(off[at_peak].mean()) < 0.5 * off_mesh[at_peak].mean()
    assert abs(off.mean()) < 0.1


@pytest.mark.parametrize("order", [0, 1, 2, 3, 4])
def test_polynomials_of_every_order_follow_a_gradient_as_far_as_they_can(order):
    field = simulate(Sky(shape=(300, 420), stars=30, galaxies=0, gradient=0.1, seed=7))
    parameters = BackgroundParameters(model="polynomial", order=order)
    found = estimate_background(field.data, nothing((300, 420)), parameters)
    off = (found.level - field.background) / field.noise
    assert abs(off.mean()) < (0.03 if order else 0.2)
    assert off.std() < 0.03 if order else off.std() == pytest.approx((field.background / field.noise).std(), rel=0.1)


def test_too_few_meshes_for_a_polynomial_are_an_error_that_says_what_to_do():
    noise = np.random.default_rng(1).normal(50, 4, (40, 40)).astype(np.float32)
    with pytest.raises(BadInput, match="a lower order"):
        estimate_background(noise, nothing((40, 40)), BackgroundParameters(model="polynomial", order=4))


def test_without_a_good_pixel_there_is_no_sky():
    with pytest.raises(BadPixels, match="background"):
        estimate_background(np.ones((64, 64), np.float32), ~nothing((64, 64)), PARAMETERS)


def test_a_sky_without_noise_is_refused():
    with pytest.raises(BadInput, match="no noise"):
        estimate_background(np.full((256, 256), 100, np.float32), nothing((256, 256)), PARAMETERS)


def test_an_image_smaller_than_a_mesh_has_one_level():
    rng = np.random.default_rng(1)
    found = estimate_background(rng.normal(50, 4, (60, 90)).astype(np.float32), nothing((60, 90)), PARAMETERS)
    assert found.value == pytest.approx(50, abs=5 * 4 / np.sqrt(60 * 90))
    assert found.noise == pytest.approx(4, rel=0.05)


def test_the_image_is_left_as_it_was_and_the_answer_is_the_same_twice(field):
    before = field.data.copy()
    first, second = (estimate_background(field.data, nothing(), PARAMETERS) for _ in range(2))
    np.testing.assert_array_equal(field.data, before)
    np.testing.assert_array_equal(first.level, second.level)
    np.testing.assert_array_equal(first.rms, second.rms)


def test_the_object_mask_covers_stars_and_almost_no_noise():
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 1, (500, 500)).astype(np.float32)
    found = object_mask(noise, 1.0, nothing(noise.shape), threshold=1.0, grow=0)
    # 3.7 standard deviations of the smoothed noise.
    assert found.mean() < 4e-4
    noise[250, 250] += 30
    assert object_mask(noise, 1.0, nothing(noise.shape), threshold=1.0, grow=5)[250, 253]
