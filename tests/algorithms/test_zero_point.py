"""The zero point is found through outliers and colour terms, and its error is honest."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.zero_point import (
    PhotometryParameters,
    fit_zero_point,
    limiting_magnitude,
    polynomial_magnitude,
)
from processing.errors import NotEnoughStars

P = PhotometryParameters()


def stars(seed, n=200, zp=27.0, color_term=0.05, outliers=0.1):
    rng = np.random.default_rng(seed)
    mag, color = rng.uniform(15, 19, n), rng.uniform(0.2, 2.0, n)
    flux = 10 ** (-0.4 * (mag - zp - color_term * (color - P.color_pivot)))
    flux_err = np.sqrt(flux + 100.0)
    flux = flux + rng.normal(0, flux_err)
    bad = rng.random(n) < outliers
    flux[bad] *= rng.uniform(0.3, 2.0, bad.sum())
    return flux, flux_err, mag + rng.normal(0, 0.01, n), np.full(n, 0.01), color


def test_zero_point_and_colour_term_are_found_through_outliers():
    fits = [fit_zero_point(*stars(seed), P) for seed in range(8)]
    assert np.mean([fit.zp for fit in fits]) == pytest.approx(27.0, abs=0.004)
    assert np.mean([fit.color_term for fit in fits]) == pytest.approx(-0.05, abs=0.006) or np.mean(
        [fit.color_term for fit in fits]
    ) == pytest.approx(0.05, abs=0.006)


def test_the_error_is_that_of_repeated_measurements():
    fits = [fit_zero_point(*stars(seed, outliers=0.0), P) for seed in range(40)]
    spread = np.std([fit.zp for fit in fits])
    assert 0.4 < np.mean([fit.zp_err for fit in fits]) / spread < 2.5


def test_outliers_are_left_out():
    fit = fit_zero_point(*stars(1, outliers=0.2), P)
    assert 0.6 < fit.used.mean() < 0.95
    assert fit.scatter < 0.03


def test_few_stars_get_no_colour_term():
    fit = fit_zero_point(*stars(2, n=12, outliers=0.0), P)
    assert fit.color_term == 0 and fit.n_stars >= 8


def test_stars_without_a_colour_serve_a_zero_point_without_colour_term():
    flux, err, mag, mag_err, color = stars(3, color_term=0.0)
    fit = fit_zero_point(flux, err, mag, mag_err, np.full_like(color, np.nan), P)
    assert fit.zp == pytest.approx(27.0, abs=0.01) and fit.color_term == 0


def test_stars_of_one_colour_get_no_colour_term():
    flux, err, mag, mag_err, color = stars(4, color_term=0.0)
    fit = fit_zero_point(flux, err, mag, mag_err, np.zeros_like(color), P)
    assert fit.zp == pytest.approx(27.0, abs=0.01) and fit.color_term == 0


def test_too_few_stars_are_refused_with_their_number():
    flux, err, mag, mag_err, color = stars(0)
    with pytest.raises(NotEnoughStars) as failure:
        fit_zero_point(flux[:3], err[:3], mag[:3], mag_err[:3], color[:3], P)
    assert failure.value.details == {"found": 3, "needed": P.min_stars, "purpose": "zero point"}


def test_the_limiting_magnitude_of_one_pixel_and_of_a_wide_psf():
    one = np.ones((1, 1))
    assert limiting_magnitude(25.0, 2.0, one) == pytest.approx(25 - 2.5 * np.log10(10))
    wide = np.full((10, 10), 0.01)
    assert limiting_magnitude(25.0, 2.0, wide) == pytest.approx(25 - 2.5 * np.log10(100))


def test_polynomial_magnitudes_follow_their_definition():
    assert polynomial_magnitude(np.array([17.0]), np.array([2.0]), (0.1, 0.2, 0.3)) == pytest.approx(
        17 - 0.1 - 0.4 - 1.2
    )
