"""Fakes drawn: the same for the same seed, where there is room, as bright as they say, of the kinds that are wanted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.stats import gamma, kstest

from processing.algorithms.fakes import HOSTED, HOSTLESS, STREAK, VARIABLE, FakeParameters, Scene, draw_fakes
from processing.errors import BadInput
from processing.parameters import ConfigurationError

SHAPE = (700, 900)
SOURCES = np.dtype(
    [
        ("x", "f8"), ("y", "f8"), ("x_psf", "f8"), ("y_psf", "f8"), ("r50", "f4"), ("flux", "f4"), ("flux_psf", "f4"),
        ("ellipticity", "f4"), ("theta", "f4"), ("p_star", "f4"), ("is_star", "?"), ("is_saturated", "?"),
        ("is_masked", "?"),
    ]
)  # fmt: skip


def sources(galaxies: int = 40, stars: int = 100, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    table = np.zeros(stars + galaxies, SOURCES)
    table["x"], table["y"] = rng.uniform(0, SHAPE[1], len(table)), rng.uniform(0, SHAPE[0], len(table))
    table["x_psf"], table["y_psf"] = table["x"], table["y"]
    table["r50"], table["is_star"], table["p_star"] = 2.0, True, 0.99
    table["flux"] = table["flux_psf"] = 10 ** rng.uniform(2.5, 5.5, len(table))
    table["r50"][stars:], table["is_star"][stars:] = rng.uniform(3.5, 8, galaxies), False
    table["p_star"][stars:] = 0.01
    table["ellipticity"][stars:], table["theta"][stars:] = 0.5, rng.uniform(-90, 90, galaxies)
    return table


def scene(mask: np.ndarray | None = None, limit: float | None = 22.0) -> Scene:
    mask = np.zeros(SHAPE, bool) if mask is None else mask
    return Scene(mask, lambda x, y: np.full(np.shape(x), 28.0), limit, 4.0)


def draw(mask: np.ndarray | None = None, table: np.ndarray | None = None, seed: int = 1, **parameters) -> np.ndarray:
    return draw_fakes(scene(mask), sources() if table is None else table, FakeParameters(**parameters), seed)


def of_kind(fakes: np.ndarray, kind: str) -> np.ndarray:
    return fakes[fakes["kind"] == kind]


def test_the_same_seed_gives_the_same_fakes_and_another_one_others():
    np.testing.assert_array_equal(draw(seed=5), draw(seed=5))
    assert not np.array_equal(draw(seed=5)["x"], draw(seed=6)["x"])


def test_magnitudes_are_uniform_around_the_limit_and_fluxes_follow_from_the_zero_point():
    found = np.concatenate([draw(seed=seed, brighter=3.0, fainter=0.5, streaks=0) for seed in range(6)])
    assert found["mag"].min() >= 19 and found["mag"].max() <= 22.5
    spread = 3.5 / np.sqrt(12)
    assert found["mag"].mean() == pytest.approx(20.75, abs=4 * spread / np.sqrt(len(found)))
    assert found["mag"].std() == pytest.approx(spread, rel=0.1)
    np.testing.assert_allclose(np.abs(found["flux"]), 10 ** (0.4 * (28 - found["mag"])))


@pytest.mark.parametrize("ratio", [3.0, 0.2])
def test_faint_ones_are_as_many_times_more_as_asked_for(ratio):
    """Linear between the ends: the fainter half holds (1 + 3 r) / (4 + 4 r) of them."""
    found = np.concatenate([draw(seed=s, faint_to_bright=ratio, streaks=0, variable=0) for s in range(12)])
    faint = np.mean(found["mag"] > 22 + (0.5 - 4) / 2)
    assert faint == pytest.approx((1 + 3 * ratio) / (4 + 4 * ratio), abs=4 * 0.5 / np.sqrt(len(found)))


def test_the_kinds_come_in_the_parts_that_are_asked_for():
    found = draw(table=sources(galaxies=150, stars=300), count=80, min_separation=10)
    parts = {kind: np.mean(found["kind"] == kind) for kind in (HOSTLESS, HOSTED, VARIABLE, STREAK)}
    assert len(found) == 80
    assert parts == pytest.approx({HOSTLESS: 0.25, HOSTED: 0.45, VARIABLE: 0.25, STREAK: 0.05}, abs=0.051)


@pytest.mark.parametrize(
    "wrong", [{"hostless": 0.7, "variable": 0.4}, {"least_change": 0.9}, {"longest_streak": 1.0}], ids=str
)
def test_parts_above_the_whole_and_ends_in_the_wrong_order_are_refused(wrong):
    with pytest.raises(ConfigurationError):
        FakeParameters.build(wrong)


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
    assert len(draw_fakes(scene(np.zeros((60, 60), bool)), sources(), FakeParameters(), 1)) == 0


def test_fakes_lie_in_galaxies_like_their_light():
    """Radii in units of the ellipse follow the exponential disc, and the ellipse has the axes of the galaxy."""
    table = sources(galaxies=60)
    everywhere = {"hostless": 0, "variable": 0, "streaks": 0, "min_separation": 0}
    found = [of_kind(draw(table=table, seed=seed, **everywhere), HOSTED) for seed in range(12)]
    assert all(len(np.unique(one["host"])) == len(one) for one in found)
    hosted = np.concatenate(found)
    hosts = table[hosted["host"]]
    assert len(hosted) > 400 and not hosts["is_star"].any()
    turn = np.radians(hosts["theta"])
    dx, dy = hosted["x"] - hosts["x"], hosted["y"] - hosts["y"]
    along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    assert np.std(along) / np.std(across) == pytest.approx(1 / 0.5, rel=0.25)
    inner = np.hypot(along * np.sqrt(0.5), across / np.sqrt(0.5)) / hosts["r50"]
    assert np.mean(inner < 1) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(hosted)))
    assert kstest(inner, gamma(2, scale=1 / 1.67835).cdf).pvalue > 1e-3
    assert np.mean(inner < 0.2) > 0.02  # nuclear ones included


def test_bright_galaxies_are_hosts_more_often():
    table = sources(galaxies=60)
    table["flux"][100:130], table["flux"][130:] = 9000.0, 1000.0
    found = [draw(table=table, seed=s, count=2, hostless=0, variable=0, streaks=0) for s in range(150)]
    hosts = np.concatenate([of_kind(one, HOSTED)["host"] for one in found])
    assert np.mean(hosts < 130) == pytest.approx(0.9, abs=4 * 0.3 / np.sqrt(len(hosts)))


def test_stars_vary_by_parts_of_their_flux_and_each_once():
    table = sources(galaxies=0, stars=400)
    table["is_saturated"][:100] = table["is_masked"][100:150] = True
    found = of_kind(draw(table=table, count=100, hostless=0, variable=1, streaks=0, min_separation=0), VARIABLE)
    assert len(found) > 80 and len(np.unique(found["host"])) == len(found)
    assert found["host"].min() >= 150
    part = np.abs(found["flux"]) / found["star_flux"]
    assert part.min() >= 0.05 and part.max() <= 0.8
    np.testing.assert_array_equal(found["star_flux"], table["flux_psf"][found["host"]])
    np.testing.assert_array_equal(found["x"], table["x_psf"][found["host"]])
    assert 0.3 < np.mean(found["flux"] < 0) < 0.7


def test_streaks_have_the_lengths_and_the_light_that_are_asked_for():
    found = np.concatenate([draw(seed=s, count=40, hostless=0, variable=0, streaks=1.0) for s in range(5)])
    streaks = of_kind(found, STREAK)
    length = streaks["length"] / 4.0
    assert len(streaks) > 60 and length.min() >= 2 and length.max() <= 20 + 1e-5
    np.testing.assert_allclose(streaks["flux"], 10 ** (0.4 * (28 - streaks["mag"])))
    within = streaks["flux"] / np.hypot(1, length)  # within one FWHM
    assert within.min() > 10 ** (0.4 * 5.5) * 0.99 and within.max() < 10 ** (0.4 * 10) * 1.01
    assert np.ptp(streaks["angle"]) > 150


def test_without_galaxies_stars_or_sources_all_fakes_have_no_host():
    bare = sources(galaxies=0)
    bare["is_saturated"] = True
    for table in (bare, sources()[:0]):
        found = draw(table=table, hostless=0.0, streaks=0.0)
        assert len(found) > 50 and np.all(found["host"] == -1) and np.all(found["kind"] == HOSTLESS)


@pytest.mark.parametrize("limit", [None, np.nan, np.inf])
def test_an_image_without_a_limit_is_refused(limit):
    with pytest.raises(BadInput, match="limiting magnitude"):
        draw_fakes(scene(limit=limit), sources(), FakeParameters(), 1)
