"""Robust polynomials: outliers have no say, the data decide on the terms, and errors are what they are said to be."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.polynomials import LADDER, Basis, best_of, fit, fit_all, powers, terms

RADIAL = Basis(3, is_radial=True)
LINEAR = np.array([[-0.9, 0.3], [0.2, 1.1]])


def plane(uv: np.ndarray, *, quadratic: float = 0.0, radial: float = 0.0, cubic: float = 0.0) -> np.ndarray:
    u, v = uv.T
    r2 = (u**2 + v**2)[:, None]
    return uv @ LINEAR + quadratic * np.c_[u * v, v**2] + radial * r2 * (uv @ LINEAR) + cubic * np.c_[u**3, -(u**2) * v]


def stars(count: int, noise: float, seed: int = 1, **terms_of_it) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    uv = rng.uniform(-1, 1, (count, 2))
    return uv, plane(uv, **terms_of_it) + rng.normal(0, noise, (count, 2)), np.full(count, noise)


@pytest.mark.parametrize(
    ("truth", "basis"),
    [
        ({}, Basis(1)),
        ({"quadratic": 0.1}, Basis(2)),
        ({"quadratic": 0.1, "radial": 0.1}, RADIAL),
        ({"quadratic": 0.1, "cubic": 0.1}, Basis(3)),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_the_stars_ask_for_the_terms_that_the_truth_has(truth, basis, seed):
    uv, target, sigma = stars(300, 0.001, seed, **truth)
    assert best_of(fit_all(uv, target, sigma, 5)).basis == basis


@pytest.mark.parametrize("basis", LADDER)
def test_a_fit_is_the_truth_where_it_has_its_terms_and_its_error_is_that_of_counting(basis):
    truth = {1: {}, 2: {"quadratic": 0.2}}.get(basis.order, {"quadratic": 0.2, "radial": 0.1})
    errors, said = [], []
    for seed in range(20):
        uv, target, sigma = stars(200, 0.01, seed, **truth)
        found = fit(uv, target, sigma, basis)
        errors.append(np.mean((found(uv) - plane(uv, **truth)) ** 2))
        said.append(found.errors()[1])
    expected = 0.01 * np.sqrt(basis.count / 2 / 200)
    assert np.sqrt(np.mean(errors)) == pytest.approx(expected, rel=0.2)
    assert np.mean(said) == pytest.approx(expected, rel=0.1)


def test_every_fifth_star_may_be_wrong():
    uv, target, sigma = stars(200, 0.01, quadratic=0.1)
    target[::5] += np.random.default_rng(2).normal(0, 0.3, (40, 2))
    found = fit(uv, target, sigma, Basis(2))
    assert np.abs(found(uv) - plane(uv, quadratic=0.1)).max() < 0.01
    assert np.median(found.weight[::5]) == 0 and np.median(found.weight) > 0.9


def test_a_residual_without_the_star_is_that_of_a_fit_without_it():
    uv, target, sigma = stars(30, 0.01, quadratic=0.1)
    found = fit(uv, target, sigma, Basis(2))
    left_out, _ = found.errors()
    for row in range(5):
        without = np.where(np.arange(30) == row, np.inf, sigma)
        other = fit(uv, target, without, Basis(2), start=found.weight)
        assert target[row] - other(uv[row : row + 1])[0] == pytest.approx(left_out[row], abs=0.002)


def test_one_more_column_is_fitted_beside_the_polynomial_with_its_error():
    rng = np.random.default_rng(3)
    uv, target, sigma = stars(400, 0.01, quadratic=0.1, radial=0.1)
    extra = rng.normal(0.3, 0.4, 400)[:, None] * np.array([0.6, 0.8])
    found = fit(uv, target + 0.05 * extra, sigma, RADIAL, extra=extra)
    assert found.extra == pytest.approx(0.05, abs=4 * found.extra_error)
    assert found.extra_error == pytest.approx(0.01 / (0.4 * np.sqrt(400)), rel=0.2)
    assert np.abs(found(uv) - plane(uv, quadratic=0.1, radial=0.1)).max() < 0.01


def test_the_error_is_larger_where_there_are_no_stars():
    uv, target, sigma = stars(100, 0.01)
    found = fit(uv * [0.2, 1.0], target, sigma, Basis(2))
    here, away = found.error_at(np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert away > 10 * here


def test_powers_are_those_of_the_terms():
    uv = np.array([[2.0, 3.0]])
    assert terms(2) == [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
    np.testing.assert_allclose(powers(uv, 3)[0], [2.0**i * 3.0**j for i, j in terms(3)])
