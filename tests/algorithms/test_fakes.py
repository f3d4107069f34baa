"""Fakes: the same for the same seed, where there is room, as bright as they say, with the noise of their light."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from processing.algorithms.fakes import FAKES, FakeParameters, draw_fakes, inject, match_fakes
from processing.algorithms.psf_model import moffat_model
from processing.errors import BadInput

SHAPE = (700, 900)
SOURCES = np.dtype([("x", "f8"), ("y", "f8"), ("r50", "f4"), ("is_star", "?")])


def sources(galaxies: int = 40, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    table = np.zeros(100 + galaxies, SOURCES)
    table["x"], table["y"] = rng.uniform(0, SHAPE[1], len(table)), rng.uniform(0, SHAPE[0], len(table))
    table["r50"], table["is_star"] = 2.0, True
    table["r50"][100:], table["is_star"][100:] = rng.uniform(3.5, 8, galaxies), False
    return table


def draw(mask: np.ndarray | None = None, table: np.ndarray | None = None, **parameters) -> np.ndarray:
    mask = np.zeros(SHAPE, bool) if mask is None else mask
    table = sources() if table is None else table
    return draw_fakes(mask, table, zero_point=28.0, limiting_magnitude=22.0, parameters=FakeParameters(**parameters))


def fakes_at(xy: np.ndarray, flux: float | np.ndarray) -> np.ndarray:
    fakes = np.zeros(len(xy), FAKES)
    fakes["x"], fakes["y"] = xy.T
    fakes["flux"], fakes["host"] = flux, -1
    return fakes


def test_the_same_seed_gives_the_same_fakes_and_another_one_others():
    np.testing.assert_array_equal(draw(seed=5), draw(seed=5))
    assert not np.array_equal(draw(seed=5)["x"], draw(seed=6)["x"])


def test_magnitudes_are_uniform_around_the_limit_and_fluxes_follow_from_the_zero_point():
    found = np.concatenate([draw(seed=seed, brighter=3.0, fainter=0.5) for seed in range(6)])
    assert found["mag"].min() >= 19 and found["mag"].max() <= 22.5
    spread = 3.5 / np.sqrt(12)
    assert found["mag"].mean() == pytest.approx(20.75, abs=4 * spread / np.sqrt(len(found)))
    assert found["mag"].std() == pytest.approx(spread, rel=0.1)
    np.testing.assert_allclose(found["flux"], 10 ** (0.4 * (28 - found["mag"])))


def test_fakes_keep_their_distance_from_each_other_from_masks_and_from_the_edge():
    rng = np.random.default_rng(2)
    mask = rng.random(SHAPE) < 0.005
    mask[:, 400:450] = True
    found = draw(mask, count=150, min_separation=25, clearance=3, edge=40)
    assert len(cKDTree(np.c_[found["x"], found["y"]]).query_pairs(25 - 1e-9)) == 0
    column, row = np.rint(found["x"]).astype(int), np.rint(found["y"]).astype(int)
    for i, j in zip(row, column):
        assert not mask[i - 3 : i + 4, j - 3 : j + 4].any()
    assert column.min() >= 40 and column.max() < SHAPE[1] - 40
    assert row.min() >= 40 and row.max() < SHAPE[0] - 40


def test_where_there_is_no_room_there_are_fewer_or_none():
    assert 5 < len(draw(count=500, min_separation=100)) < 80
    assert len(draw(np.ones(SHAPE, bool))) == 0
    assert len(draw_fakes(
        np.zeros((60, 60), bool), sources(), zero_point=28.0, limiting_magnitude=22.0, parameters=FakeParameters()
    )) == 0  # fmt: skip


def test_most_fakes_lie_in_galaxies_like_their_light():
    table = sources(galaxies=60)
    found = np.concatenate([draw(table=table, seed=seed, hostless=0.3, min_separation=5) for seed in range(5)])
    hosted = found[found["host"] >= 0]
    assert len(hosted) / len(found) == pytest.approx(0.7, abs=0.12)  # some galaxies lie at the edge
    assert not table["is_star"][hosted["host"]].any()
    hosts = table[hosted["host"]]
    distance = np.hypot(hosted["x"] - hosts["x"], hosted["y"] - hosts["y"]) / hosts["r50"]
    # Half of the light lies within the half-light radius.
    assert np.mean(distance < 1) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(hosted)))


def test_without_galaxies_or_sources_all_fakes_have_no_host():
    for table in (sources(galaxies=0), sources()[:0]):
        found = draw(table=table, hostless=0.0)
        assert len(found) > 50 and np.all(found["host"] == -1)


@pytest.mark.parametrize("limit", [None, np.nan, np.inf])
def test_an_image_without_a_limit_is_refused(limit):
    with pytest.raises(BadInput, match="limiting magnitude"):
        draw_fakes(
            np.zeros(SHAPE, bool), sources(), zero_point=28.0, limiting_magnitude=limit, parameters=FakeParameters()
        )


def lattice(step: int = 50) -> np.ndarray:
    rng = np.random.default_rng(3)
    at = np.array([(x, y) for y in range(step, SHAPE[0], step) for x in range(step, SHAPE[1], step)], float)
    return at + rng.uniform(-0.5, 0.5, at.shape)


@pytest.mark.parametrize("fwhm", [2.2, 4.2])
def test_injected_light_is_as_much_as_it_says_with_the_noise_of_its_photons(fwhm):
    psf, xy, flux = moffat_model(fwhm, SHAPE), lattice(), 900.0
    empty, variance = np.zeros(SHAPE, np.float32), np.full(SHAPE, 100, np.float32)
    data, spread = inject(empty, variance, psf, fakes_at(xy, flux), np.random.default_rng(4))
    reach = psf.half_size + 1
    sums = []
    for x, y in np.rint(xy).astype(int):
        box = slice(max(y - reach, 0), y + reach + 1), slice(max(x - reach, 0), x + reach + 1)
        sums.append((data[box].sum(), (spread - 100)[box].sum()))
    counts, added = np.array(sums).T
    assert counts.mean() == pytest.approx(flux, abs=4 * np.sqrt(flux / len(xy)))
    assert counts.std() == pytest.approx(np.sqrt(flux), rel=4 / np.sqrt(2 * len(xy)))
    np.testing.assert_allclose(added, flux, rtol=1e-3)


@pytest.mark.parametrize("fwhm, tolerance", [(2.2, 0.04), (3.0, 0.004), (4.2, 5e-4)])
def test_the_gradient_over_the_core_is_that_of_the_exact_place(fwhm, tolerance):
    """The expected light, read from the variance, against the profile at the sub-pixel position."""
    psf, xy, flux = moffat_model(fwhm, SHAPE), lattice(), 1e5
    blank = np.ones(SHAPE, np.float32)
    _, spread = inject(blank * 0, blank, psf, fakes_at(xy, flux), np.random.default_rng(1))
    for x, y in xy:
        i, j = round(x), round(y)
        expected = flux * psf.stamp(x, y, x - i, y - j)
        core = psf.half_size
        light = (spread - 1)[j - core : j + core + 1, i - core : i + core + 1]
        v, u = np.indices(light.shape) - core
        for axis, truth in ((u, x - i), (v, y - j)):
            assert (light * axis)[core - 5 : core + 6, core - 5 : core + 6].sum() / flux == pytest.approx(
                (expected * axis)[core - 5 : core + 6, core - 5 : core + 6].sum() / flux, abs=0.02
            ), truth
        assert np.abs(light - expected).max() < tolerance * expected.max()


def test_unusable_pixels_stay_unusable_and_inputs_stay_as_they_were():
    psf, xy = moffat_model(3.0, SHAPE), lattice()
    data, variance = np.zeros(SHAPE, np.float32), np.full(SHAPE, 100, np.float32)
    variance[:, 100] = 0
    kept = data.copy(), variance.copy()
    injected, spread = inject(data, variance, psf, fakes_at(xy, 5000.0), np.random.default_rng(1))
    assert not spread[:, 100].any()
    np.testing.assert_array_equal(data, kept[0])
    np.testing.assert_array_equal(variance, kept[1])
    again, _ = inject(data, variance, psf, fakes_at(xy, 5000.0), np.random.default_rng(1))
    np.testing.assert_array_equal(injected, again)


def test_light_beyond_the_edge_is_lost():
    psf = moffat_model(3.0, SHAPE)
    data, variance = np.zeros(SHAPE, np.float32), np.full(SHAPE, 100, np.float32)
    at = np.array([[-0.4, 300.0], [-200.0, 10.0], [899.0, 699.0]])
    injected, _ = inject(data, variance, psf, fakes_at(at, 1e5), np.random.default_rng(1))
    assert injected[250:350, :30].sum() == pytest.approx(0.5 * 1e5, rel=0.2)
    assert injected.sum() < 1.0e5


def test_no_fake_changes_nothing_and_negative_light_is_refused():
    psf = moffat_model(3.0, SHAPE)
    data, variance = np.zeros(SHAPE, np.float32), np.full(SHAPE, 100, np.float32)
    same, _ = inject(data, variance, psf, fakes_at(np.zeros((0, 2)), 1.0), np.random.default_rng(1))
    np.testing.assert_array_equal(same, data)
    with pytest.raises(BadInput, match="negative"):
        inject(data, variance, psf, fakes_at(np.array([[50.0, 50.0]]), -1.0), np.random.default_rng(1))


def test_the_closest_pairs_are_matched_first_and_each_only_once():
    fakes = fakes_at(np.array([[10.0, 10], [13, 10], [50, 50], [90, 90]]), 1.0)
    x, y = np.array([12.2, 50.4, 200.0]), np.array([10.0, 50.3, 200.0])
    np.testing.assert_array_equal(match_fakes(fakes, x, y, radius=3.0), [-1, 0, 1, -1])
    np.testing.assert_array_equal(match_fakes(fakes, x[:0], y[:0], radius=3.0), -1)
    assert len(match_fakes(fakes[:0], x, y, radius=3.0)) == 0
