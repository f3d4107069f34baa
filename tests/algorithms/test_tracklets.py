"""Links within a night: movers are found, noise is not, wherever on the sky and however fast."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import pytest

from processing.algorithms.sky import from_tangent_plane
from processing.algorithms.tracklets import Detected, LinkParameters, link

ERROR = 0.12  # arcsec
SIDE = 0.6  # degrees of a field


@dataclass
class Night:
    """Visits of one field: noise, and movers of known motion."""

    visits: int = 5
    noise: int = 150  # detections a visit
    rates: tuple[float, ...] = ()  # arcsec/h, one mover each
    centre: tuple[float, float] = (35.0, -5.0)
    hours: float = 0.5  # between visits
    seed: int = 1
    bend: float = 0.0  # arcsec/h²

    def make(self) -> tuple[Detected, np.ndarray]:
        """The detections, and of which mover each is (−1: of none)."""
        rng = np.random.default_rng(self.seed)
        half, n = SIDE / 2 * 3600, len(self.rates)
        start = rng.uniform(-half, half, (2, n)) / 1.5
        angle = rng.uniform(0, 2 * np.pi, n)
        motion = np.array(self.rates) * np.stack([np.sin(angle), np.cos(angle)])
        columns = []
        for visit in range(self.visits):
            t = visit * self.hours
            middle = (self.visits - 1) * self.hours / 2
            there = start + motion * t + self.bend / 2 * (t - middle) ** 2 + rng.normal(0, ERROR, (2, n))
            x, y = np.concatenate([rng.uniform(-half, half, (2, self.noise)), there], axis=1)
            ra, dec = from_tangent_plane(x, y, *self.centre)
            columns.append([ra, dec, np.full(len(x), 61366.6 + t / 24), np.r_[np.full(self.noise, -1), np.arange(n)]])
        ra, dec, mjd, truth = (np.concatenate(parts) for parts in zip(*columns))
        order = rng.permutation(len(ra))
        error = np.full(len(ra), ERROR)
        return Detected(ra[order], dec[order], error, mjd[order]), truth[order].astype(int)


PLAIN = LinkParameters(error_floor=0.02)


def movers(found, truth) -> dict[int, int]:
    """Mover → detections of the pure link that found it."""
    pure = [one for one in found.links if len(set(truth[one.members])) == 1 and truth[one.members[0]] >= 0]
    assert len({truth[one.members[0]] for one in pure}) == len(pure), "a mover was found twice"
    return {int(truth[one.members[0]]): len(one.members) for one in pure}


@pytest.mark.parametrize("centre", [(35.0, -5.0), (0.0, 10.0), (359.98, -0.01), (120.0, 89.95), (0.0, -90.0)])
def test_movers_are_found_anywhere_on_the_sky(centre):
    rates = tuple(np.linspace(5, 100, 40))
    detected, truth = Night(rates=rates, centre=centre).make()
    found = link(detected, PLAIN)
    numbers = movers(found, truth)
    assert len(numbers) >= 39 and sum(numbers.values()) >= 0.96 * 5 * 40
    for one in found.links:
        mover = truth[one.members[0]]
        if (truth[one.members] == mover).all() and mover >= 0:
            assert one.rate == pytest.approx(rates[mover], abs=5 * ERROR / 2)
            assert one.residual < 3 * ERROR


def test_the_motion_of_a_link_has_the_direction_of_the_motion():
    n, hours = 4, np.arange(4) * 0.5
    for angle in (0, 45, 90, 200, 300):
        x, y = (30 * hours * f(np.radians(angle)) for f in (np.sin, np.cos))
        ra, dec = from_tangent_plane(x, y, 0.0, 60.0)
        (one,) = link(Detected(ra, dec, np.full(n, 0.05), 61366.6 + hours / 24), PLAIN).links
        assert one.position_angle == pytest.approx(angle, abs=0.2) and one.rate == pytest.approx(30, abs=0.01)
        assert one.mjd == pytest.approx(61366.6 + 0.75 / 24) and list(one.members) == [0, 1, 2, 3]
        middle = from_tangent_plane(
            30 * 0.75 * np.sin(np.radians(angle)), 30 * 0.75 * np.cos(np.radians(angle)), 0.0, 60.0
        )
        assert np.hypot((one.ra - middle[0] + 180) % 360 - 180, one.dec - middle[1]) * 3600 < 0.05


def test_links_of_pure_noise_are_as_many_as_chance_says_and_none_of_four():
    numbers, expected, of_four = 0, 0.0, 0
    for seed in range(12):
        detected, _ = Night(visits=4, noise=900, seed=seed).make()
        found = link(detected, PLAIN)
        numbers += len(found.links)
        of_four += sum(len(one.members) > 3 for one in found.links)
        expected += found.chance[3]
    assert expected > 20
    assert abs(numbers - expected) < 4 * np.sqrt(expected), (numbers, expected)
    assert of_four == 0


def test_motions_beyond_the_limits_are_not_linked():
    detected, truth = Night(rates=(8.0, 30.0, 90.0), noise=0).make()
    assert set(movers(link(detected, PLAIN), truth)) == {0, 1, 2}
    assert set(movers(link(detected, PLAIN.model_copy(update={"min_rate": 15.0})), truth)) == {1, 2}
    assert set(movers(link(detected, PLAIN.model_copy(update={"max_rate": 60.0})), truth)) == {0, 1}


def test_what_stands_still_is_left_out_and_does_not_make_links():
    detected, truth = Night(rates=(20.0,), noise=0).make()
    rng = np.random.default_rng(3)
    ra, dec = from_tangent_plane(*rng.uniform(-900, 900, (2, 300)), 35.0, -5.0)
    times = np.unique(detected.mjd)
    shaken = [from_tangent_plane(*rng.normal(0, 0.1, (2, 300)), ra_, dec_) for ra_, dec_ in [(ra, dec)] * len(times)]
    everything = Detected(
        np.concatenate([detected.ra, *(one for one, _ in shaken)]),
        np.concatenate([detected.dec, *(one for _, one in shaken)]),
        np.full(len(detected.ra) + 300 * len(times), ERROR),
        np.concatenate([detected.mjd, np.repeat(times, 300)]),
    )
    found = link(everything, PLAIN)
    assert found.still.sum() >= 0.99 * 300 * len(times) and not found.still[: len(detected.ra)].any()
    assert [list(truth[one.members]) for one in found.links] == [[0] * 5]


def test_two_detections_are_a_link_only_where_that_is_asked_for():
    detected, truth = Night(visits=2, rates=(30.0,), noise=0).make()
    assert link(detected, PLAIN).links == ()
    found = link(detected, PLAIN.model_copy(update={"min_detections": 2}))
    assert movers(found, truth) == {0: 2}


def test_a_detection_off_the_line_is_not_linked_and_one_missing_does_no_harm():
    detected, truth = Night(rates=(30.0,), noise=0).make()
    row = int(np.flatnonzero((truth == 0) & (detected.mjd == np.unique(detected.mjd)[2]))[0])
    dec = detected.dec.copy()
    dec[row] += 5 / 3600
    assert movers(link(replace(detected, dec=dec), PLAIN), truth) == {0: 4}
    keep = np.arange(len(truth)) != row
    less = Detected(detected.ra[keep], detected.dec[keep], detected.error[keep], detected.mjd[keep])
    assert movers(link(less, PLAIN), truth[keep]) == {0: 4}


def test_a_path_that_the_turning_earth_bends_is_linked_as_far_as_is_allowed():
    bent, truth = Night(visits=7, hours=0.7, rates=(30.0,) * 5, noise=0, bend=0.35).make()
    assert sum(movers(link(bent, PLAIN), truth).values()) >= 33
    straight = PLAIN.model_copy(update={"bend": 0.0})
    assert max(len(one.members) for one in link(bent, straight).links) < 7


def test_movers_that_cross_and_many_visits_of_one_field_give_one_link_each():
    detected, truth = Night(visits=40, hours=0.1, rates=tuple(np.linspace(20, 80, 12)), noise=60).make()
    found = link(detected, PLAIN)
    numbers = movers(found, truth)
    assert len(numbers) == 12 and min(numbers.values()) >= 36
    members = np.concatenate([one.members for one in found.links])
    assert len(members) == len(set(members))


@pytest.mark.parametrize("n", [0, 1, 2])
def test_nothing_to_link_gives_nothing(n):
    found = link(Detected(np.zeros(n), np.zeros(n), np.full(n, 0.1), 61366.6 + np.arange(n) / 24), PLAIN)
    assert found.links == () and len(found.still) == n


def test_the_order_of_the_detections_does_not_matter():
    detected, truth = Night(rates=(12.0, 44.0), noise=80).make()
    back = Detected(*(getattr(detected, name)[::-1] for name in ("ra", "dec", "error", "mjd")))
    one, other = link(detected, PLAIN), link(back, PLAIN)
    n = len(truth)
    assert {tuple(sorted(link_.members)) for link_ in one.links} == {
        tuple(sorted(n - 1 - link_.members)) for link_ in other.links
    }


def test_a_hundred_thousand_detections_take_seconds():
    parts = [Night(noise=380, rates=(25.0,) * 20, centre=(7.0 * k, -10.0), seed=k).make()[0] for k in range(50)]
    whole = Detected(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("ra", "dec", "error", "mjd")))
    began = time.process_time()
    found = link(whole, PLAIN)
    assert time.process_time() - began < 30
    assert len(whole.ra) == 100_000 and 950 < sum(len(one.members) > 3 for one in found.links) < 1050
