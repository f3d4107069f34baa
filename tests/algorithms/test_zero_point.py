"""The zero point is found through outliers and colour terms, and its error is honest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.zero_point import (
    MeasuredStars,
    PhotometryParameters,
    fit_zero_point,
    limiting_magnitude,
    polynomial_magnitude,
)
from processing.errors import NotEnoughStars

P = PhotometryParameters()
SHAPE = (4096, 2048)


def stars(seed, n=200, zp=27.0, color_term=0.05, outliers=0.1, intrinsic=0.0) -> MeasuredStars:
    """Stars with the counts of a field: most are faint."""
    rng = np.random.default_rng(seed)
    mag, color = 15 + 4.5 * rng.random(n) ** 0.5, rng.uniform(0.2, 2.0, n)
    flux = 10 ** (-0.4 * (mag - zp - color_term * (color - P.color_pivot)))
    flux_err = np.sqrt(flux + 4e4)
    flux = flux * 10 ** (-0.4 * rng.normal(0, intrinsic, n)) + rng.normal(0, flux_err)
    bad = rng.random(n) < outliers
    flux[bad] *= rng.uniform(0.3, 2.0, bad.sum())
    x, y = rng.uniform(0, SHAPE[1] - 1, n), rng.uniform(0, SHAPE[0] - 1, n)
    return MeasuredStars(flux, flux_err, mag + rng.normal(0, 0.005, n), np.full(n, 0.005), color, x, y)


def test_zero_point_and_colour_term_are_found_through_outliers():
    fits = [fit_zero_point(stars(seed), P) for seed in range(8)]
    assert np.mean([fit.zp for fit in fits]) == pytest.approx(27.0, abs=0.003)
    assert np.mean([fit.color_term for fit in fits]) == pytest.approx(0.05, abs=0.004)


@pytest.mark.parametrize(
    ("n", "intrinsic", "outliers"), [(60, 0.0, 0.0), (60, 0.02, 0.05), (200, 0.01, 0.1), (15, 0.01, 0.0)]
)
def test_the_said_error_is_that_of_repeated_measurements(n, intrinsic, outliers):
    """150 of them tell it to 6 %; the limit is 20 %."""
    fits = [
        fit_zero_point(stars(1000 + seed, n, color_term=0.0, intrinsic=intrinsic, outliers=outliers), P)
        for seed in range(150)
    ]
    away = np.array([fit.zp - 27.0 for fit in fits])
    said = np.array([fit.zp_err for fit in fits])
    assert np.sqrt(np.mean(said**2)) / np.sqrt(np.mean(away**2)) == pytest.approx(1, abs=0.2)
    assert abs(away.mean()) < 0.003


def test_the_said_error_of_the_colour_term_is_that_of_repeated_measurements():
    fits = [fit_zero_point(stars(2000 + seed, 80, outliers=0.0), P) for seed in range(150)]
    assert np.mean([f.color_term_err for f in fits]) / np.std([f.color_term for f in fits]) == pytest.approx(1, abs=0.2)


def test_the_scatter_is_that_of_bright_stars_and_not_the_noise_of_faint_ones():
    fits = [fit_zero_point(stars(seed, 400, outliers=0.0, intrinsic=0.02), P) for seed in range(20)]
    assert np.mean([fit.intrinsic for fit in fits]) == pytest.approx(0.02, rel=0.15)
    assert np.mean([fit.scatter for fit in fits]) == pytest.approx(0.0215, rel=0.1)
    assert np.mean([fit.scatter_all for fit in fits]) > np.mean([fit.scatter for fit in fits])


def test_bright_stars_count_for_more_than_faint_ones_that_are_all_wrong():
    """A sky that is a little too high makes faint stars fainter, and the slope tells."""
    found = stars(3, 3000, outliers=0.0, color_term=0.0)
    wrong = replace(found, flux=found.flux - 60.0)
    fit, seen = fit_zero_point(wrong, P), wrong.flux > 0
    median = np.median(wrong.mag[seen] + 2.5 * np.log10(wrong.flux[seen]))
    assert abs(fit.zp - 27.0) < 0.5 * abs(median - 27.0)
    assert fit.trend < -3 * fit.trend_err < 0


def test_outliers_are_left_out():
    fit = fit_zero_point(stars(1, outliers=0.2), P)
    assert 0.6 < fit.used.mean() < 0.95
    assert fit.scatter < 0.03


def test_few_stars_get_no_colour_term():
    fit = fit_zero_point(stars(2, n=12, outliers=0.0), P)
    assert fit.color_term == fit.color_term_err == 0 and fit.n_stars >= 8


def test_stars_without_a_colour_serve_a_zero_point_without_colour_term():
    found = stars(3, color_term=0.0)
    fit = fit_zero_point(replace(found, color=np.full(len(found), np.nan)), P)
    assert fit.zp == pytest.approx(27.0, abs=0.01) and fit.color_term == 0


def test_stars_of_one_colour_get_no_colour_term():
    found = stars(4, color_term=0.0)
    fit = fit_zero_point(replace(found, color=np.zeros(len(found))), P)
    assert fit.zp == pytest.approx(27.0, abs=0.01) and fit.color_term == 0


def test_errors_that_the_catalogue_does_not_know_are_found_from_the_stars():
    found = stars(5, intrinsic=0.03, outliers=0.0)
    fit = fit_zero_point(replace(found, mag_err=np.full(len(found), np.nan)), P)
    assert fit.zp == pytest.approx(27.0, abs=4 * fit.zp_err)
    assert fit.intrinsic == pytest.approx(0.03, rel=0.4)


def cut(found: MeasuredStars, n: int) -> MeasuredStars:
    return MeasuredStars(
        *(getattr(found, name)[:n] for name in ("flux", "flux_err", "mag", "mag_err", "color", "x", "y"))
    )


@pytest.mark.parametrize("n", [0, 3])
def test_too_few_stars_are_refused_with_their_number(n):
    with pytest.raises(NotEnoughStars) as failure:
        fit_zero_point(cut(stars(0), n), P)
    assert failure.value.details == {"found": n, "needed": P.min_stars, "purpose": "zero point"}


@pytest.mark.parametrize("name", ["flux", "flux_err", "mag"])
def test_stars_of_which_a_number_is_missing_are_none(name):
    with pytest.raises(NotEnoughStars) as failure:
        fit_zero_point(replace(stars(0), **{name: np.full(200, np.nan)}), P)
    assert failure.value.details["found"] == 0


def test_an_even_zero_point_has_no_surface():
    for seed in range(20):
        fit = fit_zero_point(stars(seed, 300, outliers=0.05, intrinsic=0.01), P, SHAPE)
        assert fit.surface.order == 0 and fit.surface.range == 0


@pytest.mark.parametrize(("order", "terms"), [(1, {(1, 0): 0.03}), (2, {(2, 0): 0.04, (0, 1): 0.02})])
def test_a_zero_point_that_varies_is_found_with_its_order_and_size(order, terms):
    found = stars(7, 400, outliers=0.05)
    u, v = 2 * found.x / (SHAPE[1] - 1) - 1, 2 * found.y / (SHAPE[0] - 1) - 1
    wave = sum(size * u**i * v**j for (i, j), size in terms.items())
    surface = fit_zero_point(replace(found, flux=found.flux * 10 ** (0.4 * wave)), P, SHAPE).surface
    assert surface.order == order
    away = surface(found.x, found.y) - wave
    assert np.std(away) < 0.006
    assert surface.range == pytest.approx({1: 0.06, 2: 0.08}[order], abs=0.015)


@pytest.mark.parametrize("seed", range(3))
def test_around_a_zero_point_that_varies_the_stars_scatter_as_around_an_even_one(seed):
    even = stars(seed, 400, outliers=0.05, intrinsic=0.005)
    u, v = 2 * even.x / (SHAPE[1] - 1) - 1, 2 * even.y / (SHAPE[0] - 1) - 1
    factor = 10 ** (0.4 * (0.05 * u + 0.04 * (v**2 - 0.4)))
    uneven = replace(even, flux=even.flux * factor, flux_err=even.flux_err * factor)
    fits = [fit_zero_point(of, P, SHAPE) for of in (even, uneven)]
    assert fits[1].scatter == pytest.approx(fits[0].scatter, rel=0.15)
    assert fits[1].zp_err == pytest.approx(fits[0].zp_err, rel=0.1)
    assert fits[1].n_stars >= fits[0].n_stars - 4
    assert np.mean(fits[1].surface.on_grid) == pytest.approx(0, abs=1e-12)
    # The mean over the image: of v² over the grid it is 0.417.
    assert fits[1].zp - fits[0].zp == pytest.approx(0.04 * 0.017, abs=0.002)


def test_without_positions_nothing_is_said_of_the_place():
    found = stars(8)
    assert fit_zero_point(replace(found, x=np.zeros(0), y=np.zeros(0)), P).surface is None


def test_the_limiting_magnitude_of_one_pixel_and_of_a_wide_psf():
    one = np.ones((1, 1))
    assert limiting_magnitude(25.0, 2.0, one) == pytest.approx(25 - 2.5 * np.log10(10))
    wide = np.full((10, 10), 0.01)
    assert limiting_magnitude(25.0, 2.0, wide) == pytest.approx(25 - 2.5 * np.log10(100))


def test_polynomial_magnitudes_follow_their_definition():
    assert polynomial_magnitude(np.array([17.0]), np.array([2.0]), (0.1, 0.2, 0.3)) == pytest.approx(
        17 - 0.1 - 0.4 - 1.2
    )
