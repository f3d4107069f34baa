"""Adaptive moments: width, ellipticity and place of a source, whatever its brightness and its neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.shapes import FWHM_PER_SIGMA, adaptive_moments


def gaussian(shape: tuple[int, int], x: float, y: float, cov: tuple[float, float, float], flux: float) -> np.ndarray:
    """An elliptical Gaussian sampled at pixel centres; `cov` is xx, yy, xy."""
    rows, columns = np.indices(shape)
    u, v = columns - x, rows - y
    xx, yy, xy = cov
    determinant = xx * yy - xy**2
    chi2 = (yy * u**2 + xx * v**2 - 2 * xy * u * v) / determinant
    return (flux * np.exp(-chi2 / 2) / (2 * np.pi * np.sqrt(determinant))).astype(np.float32)


@pytest.mark.parametrize("fwhm", [2.0, 3.0, 4.2, 7.0])
@pytest.mark.parametrize("first", [2.5, 5.0])
def test_the_width_of_a_gaussian_is_found_from_any_start(fwhm, first):
    variance = (fwhm / FWHM_PER_SIGMA) ** 2
    image = gaussian((81, 81), 40.3, 39.8, (variance, variance, 0), 1000)
    found = adaptive_moments(image, 40, 40, fwhm=first, radius=4)[0]
    assert found["converged"]
    assert found["fwhm"] == pytest.approx(fwhm, rel=0.003)
    # At FWHM 2 px the product of source and weight is as narrow as 0.6 px and its sum over pixels not its integral.
    assert (found["x"], found["y"]) == pytest.approx((40.3, 39.8), abs=0.003 if fwhm > 2.5 else 0.008)
    assert np.hypot(found["e1"], found["e2"]) < (0.005 if fwhm > 2.5 else 0.02)


@pytest.mark.parametrize("angle", [0, 30, 90, 135])
def test_the_ellipticity_of_a_gaussian_is_that_of_its_covariance(angle):
    turn = np.radians(angle)
    major, minor = 1.9**2, 1.5**2
    xx, yy = (major * c**2 + minor * s**2 for c, s in ((np.cos(turn), np.sin(turn)), (np.sin(turn), np.cos(turn))))
    xy = (major - minor) * np.sin(turn) * np.cos(turn)
    found = adaptive_moments(gaussian((61, 61), 30.2, 30.4, (xx, yy, xy), 1000), 30, 30, fwhm=4.0, radius=4)[0]
    assert found["e1"] == pytest.approx((xx - yy) / (xx + yy), abs=0.003)
    assert found["e2"] == pytest.approx(2 * xy / (xx + yy), abs=0.003)


def test_positions_scatter_as_their_errors_say():
    rng, variance, noise = np.random.default_rng(1), 1.5**2, 10.0
    step, count = 30, 15
    shape = (step * (count + 1), step * (count + 1))
    truth = np.array([(x * step, y * step) for y in range(1, count + 1) for x in range(1, count + 1)], float)
    truth += rng.uniform(-0.5, 0.5, truth.shape)
    image = np.zeros(shape, np.float32)
    for x, y in truth:
        box = slice(round(y) - 12, round(y) + 13), slice(round(x) - 12, round(x) + 13)
        place = x - box[1].start, y - box[0].start
        image[box] += gaussian((25, 25), *place, (variance, variance, 0), 3000)
    image = (rng.poisson(image) + rng.normal(0, noise, shape)).astype(np.float32)
    found = adaptive_moments(image, *np.round(truth).T, fwhm=3.5, noise=noise)
    pull = (found["x"] - truth[:, 0]) / found["x_err"]
    assert found["converged"].all()
    assert abs(pull.mean()) < 4 / np.sqrt(len(truth))
    assert pull.std() == pytest.approx(1, abs=0.05 + 3 / np.sqrt(2 * len(truth)))


def test_a_neighbour_in_another_segment_is_left_out():
    variance = 1.6**2
    image = gaussian((61, 61), 30, 30, (variance, variance, 0), 1000)
    both = image + gaussian((61, 61), 37, 30, (variance, variance, 0), 3000)
    segments = np.zeros(image.shape, np.int32)
    segments[:, :33], segments[:, 33:] = 1, 2
    alone = adaptive_moments(image, 30, 30, fwhm=3.8, segmentation=segments)[0]
    beside = adaptive_moments(both, 30, 30, fwhm=3.8, segmentation=segments)[0]
    unaware = adaptive_moments(both, 30, 30, fwhm=3.8)[0]
    assert beside["fwhm"] == pytest.approx(alone["fwhm"], rel=0.05)
    assert abs(unaware["x"] - 30) > abs(beside["x"] - 30)


def test_a_masked_pixel_does_not_decide():
    variance = 1.8**2
    image = gaussian((61, 61), 30.2, 29.9, (variance, variance, 0), 1000)
    mask = np.zeros(image.shape, bool)
    image[33, 33], mask[33, 33] = 1e6, True
    found = adaptive_moments(image, 30, 30, fwhm=4.0, mask=mask)[0]
    assert found["converged"]
    assert found["fwhm"] == pytest.approx(1.8 * FWHM_PER_SIGMA, rel=0.03)


def test_nothing_and_negative_light_have_no_shape():
    found = adaptive_moments(np.full((41, 41), -1, np.float32), [20, 0.2], [20, 40.4], fwhm=3.0)
    assert not found["converged"].any()
    assert not found["fwhm"].any()
    assert len(adaptive_moments(np.zeros((41, 41), np.float32), [], [], fwhm=3.0)) == 0
