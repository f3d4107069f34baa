"""Footprints: the connected pixels of one sign around peaks, as a labelling of the whole image would give them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from processing.algorithms.footprints import find_footprints
from processing.algorithms.peaks import PeakParameters, find_peaks
from tests.algorithms.test_peaks import FWHM, noise_score, planes, score_of

EIGHT = np.ones((3, 3), int)


@pytest.mark.parametrize("floor", [1.0, 2.5])
def test_they_are_those_of_a_labelled_image_of_each_sign(floor):
    score = noise_score(150, FWHM, 3)
    peak = (np.abs(score) == ndimage.maximum_filter(np.abs(score), 3)) & (np.abs(score) > floor)
    y, x = np.nonzero(peak)
    found = find_footprints(score, np.abs(score) > floor, x, y)
    for sign in (1, -1):
        labels, _ = ndimage.label(sign * score > floor, EIGHT)
        boxes = ndimage.find_objects(labels)
        mine = np.flatnonzero(sign * score[y, x] > 0)
        for row in mine:
            label, number = labels[y[row], x[row]], found.number[row] - 1
            assert found.area[number] == (labels == label).sum()
            rows, columns = boxes[label - 1]
            assert tuple(found.box[number]) == (columns.start, columns.stop, rows.start, rows.stop)
        same = labels[y[mine], x[mine]][:, None] == labels[y[mine], x[mine]]
        np.testing.assert_array_equal(found.number[mine][:, None] == found.number[mine], same)


def test_they_are_numbered_from_one_in_the_order_of_the_peaks():
    score = score_of(np.array([[40, 40], [100, 100], [160, 40]]), np.array([10.0, 30.0, 20.0]))
    found = find_peaks(planes(score), FWHM, PeakParameters())
    np.testing.assert_array_equal(found["footprint"], [1, 2, 3])
    np.testing.assert_array_equal(found["n_blended"], 1)
    assert not found["is_blended"].any()
    area = [(score > 3)[:, left : left + 60].sum() for left in (70, 130, 10)]
    np.testing.assert_array_equal(found["footprint_area"], area)
    assert np.all(found["footprint_x0"] < found["x"]) and np.all(found["x"] < found["footprint_x1"])


def test_the_end_of_a_row_is_not_beside_the_beginning_of_the_next():
    score = np.zeros((20, 30))
    score[5, 29] = score[6, 0] = 9
    found = find_footprints(score, score > 3, np.array([29, 0]), np.array([5, 6]))
    np.testing.assert_array_equal(found.number, [1, 2])


def test_pixels_that_touch_at_a_corner_are_one_and_the_two_sides_of_a_dipole_are_two():
    score = np.zeros((20, 30))
    score[5, 5] = score[6, 6] = 9
    score[7, 7] = -9
    found = find_footprints(score, np.abs(score) > 3, np.array([5, 6, 7]), np.array([5, 6, 7]))
    np.testing.assert_array_equal(found.number, [1, 1, 2])
    np.testing.assert_array_equal(found.area, [2, 1])


def test_masked_pixels_belong_to_none():
    score = score_of(np.array([[60.0, 60.0]]), np.array([40.0]))
    mask = np.zeros(score.shape, bool)
    whole = find_peaks(planes(score, mask), FWHM, PeakParameters())["footprint_area"][0]
    mask[62:] = True
    part = find_peaks(planes(score, mask), FWHM, PeakParameters())[0]
    assert part["footprint_area"] == ((score > 3) & ~mask).sum() < whole
    assert part["footprint_y1"] == 62


def test_a_threshold_above_that_of_the_peaks_still_holds_every_peak():
    score = noise_score(200, FWHM, 4)
    found = find_peaks(planes(score), FWHM, PeakParameters(threshold=3.0, footprint=20.0))
    assert len(found) > 10 and np.all(found["footprint_area"] > 0)
