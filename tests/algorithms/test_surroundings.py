"""What surrounds a candidate: a line of light through it, the edge, the mask, bright stars."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from processing.algorithms.cuts import CutParameters, apply_cuts
from processing.algorithms.diagnostics import DIAGNOSTICS
from processing.algorithms.surroundings import edge_distance, nearest, streak

FWHM, SIDE = 3.0, 41


def noise_stamps(count: int, seed: int = 1) -> np.ndarray:
    """Stamps of a score: noise as wide as the PSF with itself, of scatter 1."""
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=(count, 80, 80)), (0, 1.27, 1.27))
    return (smooth / smooth.std())[:, 20 : 20 + SIDE, 20 : 20 + SIDE]


def offsets() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.indices((SIDE, SIDE)) - SIDE // 2
    return x, y


def test_noise_is_no_line():
    found, _ = streak(noise_stamps(2000), FWHM)
    assert 0.5 < np.median(found) < 1.2
    assert np.mean(found > 2.5) < 0.002


@pytest.mark.parametrize("angle", [0, 35, 90, 140])
def test_a_spike_is_found_with_its_angle(angle):
    x, y = offsets()
    across = -x * np.sin(np.radians(angle)) + y * np.cos(np.radians(angle))
    found, direction = streak(noise_stamps(200) + 5 * np.exp(-0.5 * (across / 1.8) ** 2), FWHM)
    assert found.mean() == pytest.approx(5, abs=0.7)
    away = (direction - angle + 90) % 180 - 90
    assert np.percentile(np.abs(away), 95) <= 10


def test_neighbours_and_the_source_itself_are_no_line():
    x, y = offsets()
    source = 8 * np.exp(-(x**2 + y**2) / (2 * 1.8**2))
    neighbour = 60 * np.exp(-((x - 9) ** 2 + (y - 4) ** 2) / (2 * 1.8**2))
    found, _ = streak(noise_stamps(500) + source + neighbour, FWHM)
    assert np.mean(found > 2.5) < 0.02


def test_the_cut_grows_with_the_brightness():
    rows = np.zeros(4, DIAGNOSTICS)
    rows["snr"], rows["streak"] = [6, 6, 40, 40], [2.4, 2.6, 9.9, 10.1]
    failed, names = apply_cuts(rows, CutParameters())
    assert failed[:, names.index("streak")].tolist() == [False, True, False, True]
    failed, names = apply_cuts(rows, CutParameters(streak=None))
    assert not failed[:, names.index("streak")].any()


def test_the_edge_is_the_nearest_of_the_four():
    found = edge_distance((100, 200), np.array([3.0, 190.0, 100.0, 60.0]), np.array([50.0, 50.0, 2.5, 95.0]))
    np.testing.assert_allclose(found, [3, 9, 2.5, 4])


def test_the_nearest_marked_pixel_is_told_in_pixels():
    marked = np.zeros((3, 11, 11), bool)
    marked[0, 5, 5] = marked[1, 9, 8] = marked[1, 0, 0] = True
    found = nearest(marked)
    assert found[0] == 0 and found[1] == 5 and np.isnan(found[2])
    assert nearest(np.zeros((0, 11, 11), bool)).shape == (0,)
