"""Points of two sets that are each other's nearest."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.pairing import mutual_pairs


def test_a_point_has_one_partner_though_it_is_the_nearest_of_several():
    here = np.array([[0.0, 0.0], [0.4, 0.0], [5.0, 5.0], [9.0, 0.0]])
    there = np.array([[0.3, 0.0], [5.0, 5.2], [7.0, 7.0]])
    rows, partners = mutual_pairs(here, there, 1.0)
    assert list(rows) == [1, 2] and list(partners) == [0, 1]
    assert [len(part) for part in mutual_pairs(here, there, 0.05)] == [0, 0]


@pytest.mark.parametrize("n, m", [(0, 3), (3, 0), (0, 0)])
def test_nothing_has_no_partner(n, m):
    rows, partners = mutual_pairs(np.zeros((n, 3)), np.ones((m, 3)), 10.0)
    assert len(rows) == 0 == len(partners)


def test_all_pairs_of_a_crowd_are_those_of_a_search_without_a_tree():
    rng = np.random.default_rng(3)
    here, there = rng.uniform(0, 1, (200, 2)), rng.uniform(0, 1, (150, 2))
    distance = np.hypot(*(here[:, None] - there[None]).T).T
    expected = [
        (i, j) for i in range(200) for j in range(150)
        if distance[i, j] < 0.03 and distance[i].argmin() == j and distance[:, j].argmin() == i
    ]  # fmt: skip
    assert list(zip(*mutual_pairs(here, there, 0.03))) == expected
