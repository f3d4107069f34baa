"""Forced photometry: unbiased at empty places and at sources, with errors that hold on stars too, and flags."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from processing.algorithms.forced import REACH, ForcedPlanes, forced_fluxes
from processing.algorithms.subtraction.base import Difference, SubtractionMethod
from tests.algorithms.pairs import Pair, PairSky, near, simulate_pair, star_distance

SEEDS = range(1, 9)
EDGE = 30  # px


@dataclass(frozen=True)
class Measured:
    """Pulls (n,) of forced fluxes, with the photometric error alone beside them."""

    pull: np.ndarray
    photometric: np.ndarray


def planes_of(difference: Difference) -> ForcedPlanes:
    flags = np.where(difference.mask, np.uint16(2), np.uint16(0))
    return ForcedPlanes(difference.score, difference.alpha, difference.alpha_err, flags)


def pulls(pair: Pair, difference: Difference, positions: np.ndarray, truth: float) -> Measured:
    found = forced_fluxes(planes_of(difference), *positions.T, core=2.0, outside=8)
    column, row = np.rint(positions).astype(int).T
    off = found["flux"] - truth
    return Measured(off / found["flux_err"], off / difference.alpha_err[row, column])


@pytest.fixture(scope="module", params=sorted(SubtractionMethod.members()))
def pairs(request) -> list[tuple[Pair, Difference]]:
    """Pairs whose registration is off by 0.08 px, with sources of 2000 electrons, about 8σ, in the new image."""
    method = SubtractionMethod.member(request.param)()
    made = [simulate_pair(PairSky(seed=seed, shift=0.08, transients=25, transient_flux=2000.0)) for seed in SEEDS]
    return [(pair, method(pair.new, pair.reference, pair.stars)) for pair in made]


def gathered(pairs, places, truth: float) -> Measured:
    """Of all pairs; `places(pair)` gives positions (n, 2)."""
    found = [pulls(pair, difference, places(pair), truth) for pair, difference in pairs]
    return Measured(*(np.concatenate([getattr(one, name) for one in found]) for name in ("pull", "photometric")))


def drawn(pair: Pair, keep, count: int = 400) -> np.ndarray:
    """Random positions between pixels of which `keep(distance from the next star)` holds, away from new sources."""
    positions = np.random.default_rng(pair.sky.seed).uniform(EDGE, pair.sky.size - EDGE, (count, 2))
    column, row = positions.astype(int).T
    return positions[keep(star_distance(pair)[row, column]) & ~near(positions, pair.transients, 20)]


def test_empty_places_have_no_flux_within_their_errors(pairs):
    found = gathered(pairs, lambda pair: drawn(pair, lambda away: away > 14), 0.0)
    assert len(found.pull) > 800
    assert abs(found.pull.mean()) < 0.1
    assert 0.95 < found.pull.std() < 1.10


def test_sources_have_their_flux_within_their_errors(pairs):
    found = gathered(pairs, lambda pair: pair.transients, 2000.0)
    assert len(found.pull) == 200
    assert abs(found.pull.mean()) < 0.1 + 3 / np.sqrt(200)
    assert 0.85 < found.pull.std() < 1.10


def test_errors_hold_where_the_two_images_do_not_agree_about_a_star(pairs):
    found = gathered(pairs, lambda pair: drawn(pair, lambda away: away < 5, 1200), 0.0)
    assert len(found.pull) > 500
    assert abs(found.pull.mean()) < 0.15
    assert 0.7 < found.pull.std() < 1.10
    assert found.photometric.std() > 1.02 * found.pull.std()


def test_many_positions_at_once_are_what_each_is_alone_and_on_a_part_of_the_planes(pairs):
    pair, difference = pairs[0]
    planes = planes_of(difference)
    positions = np.vstack([pair.transients, [[3.2, 5.7], [509.4, 510.2]]])
    together = forced_fluxes(planes, *positions.T, core=2.0, outside=8)
    for (x, y), one in zip(positions, together):
        left, low = max(int(x + 0.5) - REACH, 0), max(int(y + 0.5) - REACH, 0)
        rows, columns = slice(low, int(y + 0.5) + REACH + 1), slice(left, int(x + 0.5) + REACH + 1)
        part = ForcedPlanes(*(plane[rows, columns] for plane in vars(planes).values()))
        alone = forced_fluxes(part, x - left, y - low, core=2.0, outside=8)[0]
        assert alone["flux"] == pytest.approx(one["flux"], rel=1e-9)
        assert (alone["flux_err"], alone["flags"]) == (one["flux_err"], one["flags"])


def test_at_the_middle_of_a_pixel_the_flux_is_that_of_the_pixel_on_stars_too(pairs):
    pair, difference = pairs[0]
    x, y = np.rint(pair.stars.x), np.rint(pair.stars.y)
    found = forced_fluxes(planes_of(difference), x, y, core=2.0, outside=8)
    np.testing.assert_allclose(found["flux"], difference.alpha[y.astype(int), x.astype(int)], rtol=1e-4, atol=0.1)


@pytest.mark.parametrize(("dx", "dy", "expected"), [(1.4, 0.0, 5), (0.0, -1.4, 5), (1.6, 0.0, 0), (1.2, 1.2, 0)])
def test_flags_are_those_of_pixels_within_the_core(dx, dy, expected):
    flags = np.zeros((40, 40), np.uint16)
    flags[20, 20] = 5
    plane = np.ones((40, 40), np.float32)
    found = forced_fluxes(ForcedPlanes(plane, plane, plane, flags), 20 + dx, 20 + dy, core=1.5, outside=8)
    assert found["flags"].tolist() == [expected]


def test_pixels_of_the_core_that_are_off_the_image_are_flagged():
    plane, flags = np.ones((40, 40), np.float32), np.zeros((40, 40), np.uint16)
    found = forced_fluxes(
        ForcedPlanes(plane, plane, plane, flags), [0.6, 20.0, 39.3], [20.0, 38.2, 20.0], core=1.5, outside=8
    )
    assert found["flags"].tolist() == [0, 0, 8]


def test_there_may_be_no_position_at_all():
    plane, flags = np.ones((40, 40), np.float32), np.zeros((40, 40), np.uint16)
    assert len(forced_fluxes(ForcedPlanes(plane, plane, plane, flags), [], [], core=1.5, outside=8)) == 0
