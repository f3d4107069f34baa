"""Candidates: peaks between pixels, with their flux; none next to a mask, few of noise, and one for one source."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from processing.algorithms.peaks import PeakParameters, ScorePlanes, find_peaks, flux_at, noise_peaks
from tests.factories.tiles import one_tile

FWHM = 3.0


def gaussian(fwhm: float, half: int = 15, dx: float = 0.0, dy: float = 0.0) -> np.ndarray:
    v, u = np.indices((2 * half + 1, 2 * half + 1)) - half
    return np.exp(-4 * np.log(2) * ((u - dx) ** 2 + (v - dy) ** 2) / fwhm**2)


def planes(score: np.ndarray, mask: np.ndarray | None = None, unit: float = 1.0) -> ScorePlanes:
    """A score whose flux is `unit` electrons a σ."""
    blank = np.zeros(score.shape, bool)
    same = np.asarray(score, np.float32)
    return ScorePlanes(
        score=same, alpha=same * np.float32(unit), data=same, variance=np.ones_like(same),
        mask=blank if mask is None else mask, halo=blank, tiles=one_tile(score.shape, flux_noise=unit**2),
    )  # fmt: skip


def score_of(places: np.ndarray, heights: np.ndarray, size: int = 200, fwhm: float = FWHM) -> np.ndarray:
    """The matched-filter score of point sources: as wide as their PSF with itself."""
    score, wide = np.zeros((size, size)), fwhm * np.sqrt(2)
    for (x, y), height in zip(places, heights):
        i, j = round(x), round(y)
        score[j - 15 : j + 16, i - 15 : i + 16] += height * gaussian(wide, 15, x - i, y - j)
    return score


def noise_score(size: int, fwhm: float, seed: int) -> np.ndarray:
    """The score of white noise under a matched filter: spread 1."""
    kernel = gaussian(fwhm)
    white = np.random.default_rng(seed).normal(0, 1, (size + 40, size + 40))
    return signal.fftconvolve(white, kernel / np.sqrt((kernel**2).sum()), mode="same")[20:-20, 20:-20]


def expected_noise_peaks(pixels: int, fwhm: float, threshold: float) -> float:
    """Maxima above the threshold, of one sign, of the noise under a Gaussian filter (Kaiser 2001; DMTN-006)."""
    sigma = fwhm / np.sqrt(8 * np.log(2))
    return pixels * threshold * np.exp(-(threshold**2) / 2) / (2**2.5 * np.pi**1.5 * sigma**2)


def lattice(seed: int, size: int = 400, step: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    at = np.array([(x, y) for y in range(step, size - step + 1, step) for x in range(step, size - step + 1, step)])
    return at + rng.uniform(-0.5, 0.5, at.shape)


@pytest.mark.parametrize("fwhm, place, height", [(2.2, 0.04, 0.04), (3.0, 0.02, 0.01), (4.2, 0.008, 0.003)])
def test_places_and_heights_are_those_between_the_pixels(fwhm, place, height):
    truth = lattice(1)
    found = find_peaks(planes(score_of(truth, np.full(len(truth), 50.0), 400, fwhm)), fwhm, PeakParameters())
    assert len(found) == len(truth)
    order = np.lexsort((found["x"], np.round(found["y"] / 40)))
    np.testing.assert_allclose(np.c_[found["x"], found["y"]][order], truth, atol=place)
    # Parabolas through three pixels lose most where the peak is half a pixel away in both directions.
    np.testing.assert_allclose(found["snr"], 50, rtol=height)
    assert found["snr"].mean() == pytest.approx(50, rel=0.5 * height)
    at = np.rint(truth).astype(int)
    np.testing.assert_array_equal(np.c_[found["x_peak"], found["y_peak"]][order], at)


@pytest.mark.parametrize("fwhm, tolerance", [(2.2, 0.003), (4.2, 2e-4)])
def test_the_flux_is_read_at_the_place_and_not_in_the_pixel(fwhm, tolerance):
    truth = lattice(2)
    score = score_of(truth, np.full(len(truth), 50.0), 400, fwhm)
    flux, error = flux_at(planes(score, unit=300.0), *truth.T)
    np.testing.assert_allclose(flux, 15_000, rtol=tolerance)
    np.testing.assert_allclose(error, 300)
    column, row = np.rint(truth).astype(int).T
    assert np.mean(score[row, column] * 300) < 0.99 * 15_000 or fwhm > 3


def test_strongest_come_first_and_both_signs_are_found():
    score = score_of(np.array([[40, 40], [100, 100], [160, 40]]), np.array([10.0, -30.0, 20.0]))
    found = find_peaks(planes(score, unit=2.0), FWHM, PeakParameters())
    np.testing.assert_allclose(found["snr"], [30, 20, 10], rtol=0.01)
    np.testing.assert_array_equal(found["is_negative"], [True, False, False])
    np.testing.assert_allclose(found["flux"], [-60, 40, 20], rtol=0.01)
    only = find_peaks(planes(score), FWHM, PeakParameters(negative=False))
    np.testing.assert_allclose(only["snr"], [20, 10], rtol=0.01)


def test_a_source_half_way_between_pixels_is_not_lost_at_the_threshold():
    """Its brightest pixel is below the threshold, its peak is not."""
    score = score_of(np.array([[100.5, 100.0]]), np.array([5.2]), fwhm=2.2)
    assert score.max() < 5.0
    found = find_peaks(planes(score), 2.2, PeakParameters(threshold=5.0))
    assert len(found) == 1
    assert found["snr"][0] == pytest.approx(5.2, rel=0.02)
    assert len(find_peaks(planes(score), 2.2, PeakParameters(threshold=5.3))) == 0


def test_weaker_peaks_of_the_same_sign_within_a_fwhm_are_one_with_the_stronger():
    score = np.zeros((60, 60))
    score[30, 30], score[30, 32], score[33, 30], score[30, 36] = 20, 12, -9, 11
    found = find_peaks(planes(score), FWHM, PeakParameters(merge_fwhm=1.0))
    np.testing.assert_array_equal(found["x_peak"], [30, 36, 30])
    np.testing.assert_array_equal(found["is_negative"], [False, False, True])
    assert len(find_peaks(planes(score), FWHM, PeakParameters(merge_fwhm=0))) == 4


def test_a_chain_of_peaks_keeps_every_other_one():
    """What is dropped does not drop others."""
    score = np.zeros((40, 60))
    score[20, [20, 22, 24]] = 30, 20, 10
    found = find_peaks(planes(score), 2.5, PeakParameters())
    np.testing.assert_array_equal(found["x_peak"], [20, 24])


def test_a_plateau_is_one_peak():
    score = np.zeros((40, 40))
    score[20:22, 20:23] = 12
    assert len(find_peaks(planes(score), 0.5, PeakParameters(merge_fwhm=0))) == 1


def test_a_masked_source_is_not_found_nor_its_shoulder_beside_the_mask():
    score = score_of(np.array([[100.0, 100.0]]), np.array([1000.0]))
    mask = np.zeros(score.shape, bool)
    mask[97:104, 97:104] = True
    assert len(find_peaks(planes(score, mask), FWHM, PeakParameters())) == 0
    mask[:] = False
    mask[102:, :] = True  # the peak itself is good
    assert len(find_peaks(planes(score, mask), FWHM, PeakParameters())) == 1


def test_peaks_on_the_rim_of_the_image_are_not_taken():
    score = np.zeros((50, 50))
    score[[0, 49, 20, 20, 3], [20, 20, 0, 49, 3]] = 20
    found = find_peaks(planes(score), FWHM, PeakParameters(edge=1))
    np.testing.assert_array_equal(np.c_[found["x_peak"], found["y_peak"]], [[3, 3]])
    assert len(find_peaks(planes(score), FWHM, PeakParameters(edge=4))) == 0


def test_nothing_gives_no_row():
    assert len(find_peaks(planes(np.zeros((30, 30))), FWHM, PeakParameters())) == 0


@pytest.mark.parametrize("fwhm", [2.0, 3.0, 4.2])
def test_noise_makes_as_many_peaks_as_theory_says(fwhm):
    """Of both signs together, in four megapixels, from 4 σ on: between pixels all maxima of the field are seen."""
    size, threshold, fields = 1000, 4.0, 4
    found = [
        find_peaks(planes(noise_score(size, fwhm, seed)), fwhm, PeakParameters(threshold=threshold, merge_fwhm=0))
        for seed in range(fields)
    ]
    count = sum(map(len, found))
    expected = 2 * expected_noise_peaks(fields * size**2, fwhm, threshold)
    # A parabola through three pixels misses a part of the height between coarse pixels.
    low = 0.7 if fwhm < 2.5 else 0.93
    assert low * expected - 3 * np.sqrt(expected) < count < 1.03 * expected + 3 * np.sqrt(expected)
    negative = sum(int(peaks["is_negative"].sum()) for peaks in found)
    assert abs(negative - count / 2) < 3 * np.sqrt(count) / 2


def test_at_five_sigma_noise_alone_makes_few_candidates():
    counts = [
        len(find_peaks(planes(noise_score(1000, FWHM, seed)), FWHM, PeakParameters(negative=False)))
        for seed in range(10, 14)
    ]
    expected = expected_noise_peaks(1000**2, FWHM, 5.0)
    assert sum(counts) <= 4 * expected + 3 * np.sqrt(4 * expected) + 1
    assert max(counts) <= 6


@pytest.mark.parametrize("negative", [False, True])
def test_the_number_of_noise_peaks_is_stated_for_what_is_searched(negative):
    parameters, sigma2 = PeakParameters(threshold=4.0, negative=negative), FWHM**2 / (8 * np.log(2))
    mask = np.zeros((400, 400), bool)
    mask[:, :100] = True
    given = planes(np.zeros((400, 400)), mask)
    given.tiles.table["motion_x"] = given.tiles.table["motion_y"] = 2 * sigma2
    signs = 2 if negative else 1
    assert noise_peaks(given, parameters) == pytest.approx(signs * expected_noise_peaks(400 * 300, FWHM, 4.0), rel=1e-6)


def test_the_score_is_left_as_it_was_and_the_peaks_are_the_same_twice():
    given = planes(noise_score(300, FWHM, 1))
    before = given.score.copy()
    first, second = (find_peaks(given, FWHM, PeakParameters(threshold=3.0)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(given.score, before)
