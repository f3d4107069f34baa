"""Masks grow by the kind of defect; haloes belong to saturated stars only."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from processing.algorithms.masks import bright_haloes, grow


@pytest.mark.parametrize("radius", [1, 2.5, 10])
def test_growing_reaches_exactly_the_pixels_within_the_radius(radius):
    mask = np.random.default_rng(1).random((90, 120)) < 0.002
    mask[40:55, 60:80] = True
    mask[0, 0] = mask[-1, 50] = True
    assert np.array_equal(grow(mask, radius), ndimage.distance_transform_edt(~mask) <= radius)


def test_growing_by_nothing_or_of_nothing_is_a_copy():
    mask = np.zeros((8, 8), bool)
    mask[3, 3] = True
    same = grow(mask, 0.9)
    assert np.array_equal(same, mask)
    assert same is not mask
    assert not grow(np.zeros((8, 8), bool), 5).any()


def test_the_halo_of_a_saturated_star_is_its_whole_component_and_others_stay():
    significant, saturated = np.zeros((2, 200, 200), bool)
    y, x = np.indices(significant.shape)
    significant |= np.hypot(x - 60, y - 60) < 12
    significant[60, 20:110] = True  # a spike
    saturated |= np.hypot(x - 60, y - 60) < 3
    significant |= np.hypot(x - 150, y - 150) < 8
    saturated[150, 150:153] = True  # too few: a hot pixel or a cosmic ray
    haloes = bright_haloes(significant, saturated, grow=5)
    assert haloes[60, 17:113].all()
    assert haloes[60, 115:].sum() == 0
    assert not haloes[130:, 130:].any()
    assert not bright_haloes(significant, np.zeros_like(saturated)).any()


def test_one_segment_over_a_crowded_field_does_not_mask_the_image():
    significant = np.ones((400, 400), bool)
    saturated = np.zeros((400, 400), bool)
    y, x = np.indices(significant.shape)
    for cx, cy in ((80, 80), (300, 220)):
        saturated |= np.hypot(x - cx, y - cy) < 3
    haloes = bright_haloes(significant, saturated)
    assert haloes[80, 80]
    assert haloes[220, 315]
    assert haloes.mean() < 0.1
