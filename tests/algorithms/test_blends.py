"""Blends: two transients side by side are both found from a stated distance on, each with its own flux."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from scipy import signal
from scipy.spatial import cKDTree

from processing.algorithms.blends import LARGEST
from processing.algorithms.peaks import PeakParameters, ScorePlanes, find_peaks, flux_at, maxima
from processing.algorithms.subtraction.base import SubtractionMethod
from tests.algorithms.pairs import MoffatPSF, PairSky, render, simulate_pair
from tests.algorithms.test_cuts import planes_of
from tests.factories.tiles import one_tile

SIZE, NOISE = 768, 20.0
SAMPLINGS = (2.2, 4.2)


class Couples(NamedTuple):
    """Couples of new sources after a subtraction; (n, 2) each: the first and the second of a couple."""

    both: np.ndarray  # (n,) bool, whether both were found
    pull: np.ndarray  # error of the fluxes in the stated errors, where both were found
    alone: np.ndarray  # the same of fluxes that know of no neighbour
    off: np.ndarray  # FWHM from the true place
    blended: np.ndarray
    detections: int


@cache
def couples(fwhm: float, apart: float, second: float = 20.0) -> Couples:
    """Couples `apart` FWHM in all directions, the first of S/N 20, the second of another S/N."""
    psf, rng = MoffatPSF(fwhm), np.random.default_rng(3)
    sky = PairSky(size=SIZE, stars=60, brightest=1e5, new_fwhm=fwhm, ref_fwhm=0.9 * fwhm, noise=NOISE, frames=9)
    pair = simulate_pair(replace(sky, flux_ratio=1.0, seed=1))
    at = np.array([(x, y) for y in range(40, SIZE - 40, 44) for x in range(40, SIZE - 40, 44)], float)
    at += rng.uniform(-2, 2, at.shape)
    turn = rng.uniform(0, 2 * np.pi, len(at))
    places = np.stack([at, at + apart * fwhm * np.c_[np.cos(turn), np.sin(turn)]], axis=1)
    stars = cKDTree(np.c_[pair.stars.x, pair.stars.y])
    places = places[stars.query(places)[0].min(axis=1) > 20]
    unit = np.hypot(NOISE, NOISE / 3) / np.sqrt((psf.stamp(0, 0) ** 2).sum())
    flux = np.broadcast_to(unit * np.array([20.0, second]), places.shape[:2])
    light = render(SIZE, psf, places.reshape(-1, 2), flux.ravel())
    data = pair.new.data + rng.poisson(light).astype(np.float32)
    variance = np.maximum(data + NOISE**2, 0.25 * NOISE**2).astype(np.float32)
    found = SubtractionMethod.member("zogy")()(
        replace(pair.new, data=data, variance=variance), pair.reference, pair.stars
    )
    planes = planes_of(found)
    peaks = find_peaks(planes, fwhm, PeakParameters())
    away, which = cKDTree(np.c_[peaks["x"], peaks["y"]]).query(places)
    column, row = np.rint(places).astype(int).transpose(2, 0, 1)
    free = ~found.mask[row, column].any(axis=1)
    both = (away < 0.5 * fwhm).all(axis=1) & (which[:, 0] != which[:, 1])
    rows, mine = which[both & free], flux[both & free]
    seen, error = (values.reshape(-1, 2) for values in flux_at(planes, *places[both & free].reshape(-1, 2).T))
    return Couples(
        both[free], (peaks["flux"][rows] - mine) / peaks["flux_err"][rows], (seen - mine) / error,
        away[both & free] / fwhm, peaks["is_blended"][rows], len(peaks),
    )  # fmt: skip


@pytest.mark.parametrize("fwhm", SAMPLINGS)
@pytest.mark.parametrize("apart", [1.7, 2.0, 2.5])
def test_equal_ones_are_both_found_from_1_7_fwhm_on_with_their_own_fluxes(fwhm, apart):
    found = couples(fwhm, apart)
    assert found.both.mean() >= (0.88 if apart < 2 else 0.99)
    assert found.blended.all()
    number = found.pull.size
    assert abs(np.mean(found.pull)) < 0.15 + 3 / np.sqrt(number)
    assert 0.9 < found.pull.std() < 1.15
    # A position is good to about 0.6 FWHM over S/N along each axis, a little worse in company.
    assert np.median(found.off) < 0.06


@pytest.mark.parametrize("fwhm", SAMPLINGS)
def test_fluxes_that_know_of_no_neighbour_would_be_wrong(fwhm):
    assert np.mean(couples(fwhm, 1.7).alone) > 1.3
    assert np.mean(couples(fwhm, 2.0).alone) > 0.7


@pytest.mark.parametrize("fwhm", SAMPLINGS)
def test_one_three_times_as_bright_hides_another_up_to_2_fwhm_and_not_at_2_5(fwhm):
    assert couples(fwhm, 1.7, 60.0).both.mean() < 0.1
    found = couples(fwhm, 2.5, 60.0)
    assert found.both.mean() >= 0.99
    assert abs(np.mean(found.pull)) < 0.2 + 3 / np.sqrt(found.pull.size)
    assert found.pull.std() < 1.2


@pytest.mark.parametrize("fwhm", SAMPLINGS)
def test_those_that_are_closer_are_one_detection_each_couple(fwhm):
    found = couples(fwhm, 1.2)
    assert found.both.mean() == 0
    assert found.detections <= len(found.both) + 15


def planes_with(sources: list[tuple[float, float, float]], fwhm: float = 4.0, size: int = 160) -> ScorePlanes:
    """The noiseless flux plane of sources (x, y, S/N), whose electrons are their S/N."""
    psf = MoffatPSF(fwhm, half=40).stamp(0, 0)
    tiles = replace(one_tile((size, size), fwhm=fwhm), psf=psf[None].astype(np.float32))
    response = signal.fftconvolve(psf, psf[::-1, ::-1])
    response /= response.max()
    alpha, half = np.zeros((size + 200, size + 200)), len(response) // 2
    for x, y, flux in sources:
        row, column = y + 100 - half, x + 100 - half
        alpha[row : row + len(response), column : column + len(response)] += flux * response
    alpha, blank = alpha[100:-100, 100:-100].astype(np.float32), np.zeros((size, size), bool)
    return ScorePlanes(alpha, alpha, alpha, np.ones_like(alpha), blank, blank, tiles)


def test_without_noise_fluxes_and_places_of_three_in_a_row_are_exact():
    truth = [(60, 60, 50.0), (68, 61, 30.0), (77, 60, 80.0), (120, 120, 40.0)]
    found = find_peaks(planes_with(truth), 4.0, PeakParameters())
    np.testing.assert_array_equal(found["n_blended"], [3, 3, 1, 3])
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(found["flux"], [truth[k][2] for k in order], rtol=2e-3)
    np.testing.assert_allclose(found["x"], [truth[k][0] for k in order], atol=0.02)
    np.testing.assert_allclose(found["snr"], found["flux"], rtol=0.01)
    # The parent is one; company makes fluxes less certain.
    assert len(set(found["footprint"][found["is_blended"]])) == 1
    assert np.all(found["flux_err"][found["is_blended"]] > 1) and found["flux_err"][2] == pytest.approx(1)


@pytest.mark.parametrize("own, is_one", [(4.5, False), (8.0, True)])
def test_a_bump_on_the_light_of_a_bright_one_counts_by_its_own_flux(own, is_one):
    """With what it stands on, either is a maximum of the score above the threshold."""
    planes = planes_with([(60, 60, 3e3), (80, 60, own)])
    assert len(maxima(planes.score, 5.0, 1)[0]) == 2
    found = find_peaks(planes, 4.0, PeakParameters())
    assert len(found) == 1 + is_one
    assert found["flux"][0] == pytest.approx(3e3, rel=0.01)
    assert found["n_blended"][0] == 1 + is_one
    if is_one:
        assert found["flux"][1] == pytest.approx(own, rel=0.02) and found["snr"][1] < planes.score[60, 80]


def test_the_two_sides_of_a_dipole_are_measured_alone():
    found = find_peaks(planes_with([(60, 60, 50.0), (67, 60, -40.0)]), 4.0, PeakParameters())
    np.testing.assert_array_equal(found["n_blended"], 1)
    np.testing.assert_array_equal(found["is_negative"], [False, True])
    assert len(set(found["footprint"])) == 2


def test_more_peaks_than_a_crowd_of_sources_has_are_left_as_they_are():
    """Such a footprint is what a failed subtraction left."""
    rows = [(20 + 8 * (k % 15), 20 + 8 * (k // 15), 30.0) for k in range(LARGEST + 5)]
    planes = planes_with(rows)
    found = find_peaks(planes, 4.0, PeakParameters())
    assert found["n_blended"].max() > LARGEST
    many = found["n_blended"] > LARGEST
    flux, error = flux_at(planes, found["x"][many], found["y"][many])
    np.testing.assert_array_equal(found["flux"][many], flux)
    np.testing.assert_array_equal(found["flux_err"][many], error)
