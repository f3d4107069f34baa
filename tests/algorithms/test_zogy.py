"""Proper subtraction: its statistics on pure noise, its symmetry, and what it does to stars, shifts, hits and bad pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.candidate_tests import hits, motion, significance_around
from processing.algorithms.score_kernels import finish
from processing.algorithms.subtraction.tiling import slopes
from processing.algorithms.subtraction.zogy import Zogy
from processing.errors import BadInput
from tests.algorithms.pairs import MoffatPSF, PairSky, near, noise_pair, peaks, simulate_pair
from tests.algorithms.test_cuts import planes_of


@pytest.fixture(scope="module")
def noise():
    pair = noise_pair(1024)
    return pair, Zogy()(pair.new, pair.reference)


def test_the_difference_of_noise_is_white_with_the_variance_that_it_states(noise):
    _, found = noise
    good = ~found.mask
    pull = found.data / np.sqrt(found.variance)
    assert abs(pull[good].std() - 1) <= 0.01
    inner = pull[32:-32, 32:-32]
    for a, b in ((inner[:, 1:], inner[:, :-1]), (inner[1:], inner[:-1])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) <= 0.01


def test_every_statistic_of_noise_has_its_expected_spread(noise):
    _, found = noise
    good = ~found.mask
    assert abs(found.score[good].std() - 1) <= 0.02
    assert abs(found.score[good].mean()) <= 0.03
    assert abs((found.alpha / found.alpha_err)[good].var() - 1) <= 0.02
    rows, columns = (part[::25] for part in np.nonzero(good))
    moved = motion(planes_of(found), columns, rows, 0).ravel()
    assert moved.size > 8_000
    assert abs(moved.mean() - 2) <= 0.08
    # The tail of a chi-square of two degrees of freedom, not only its mean.
    assert abs(np.mean(moved > 4.605) - 0.1) <= 0.012
    assert abs(hits(planes_of(found), columns, rows, 0).std() - 1) <= 0.025


def test_the_psf_of_the_difference_sums_to_one(noise):
    _, found = noise
    assert found.tiles.psf.shape == (16, 33, 33)
    assert np.abs(found.tiles.psf.sum(axis=(1, 2)) - 1).max() <= 1e-3


def test_exchanging_the_images_changes_only_the_sign_of_the_score():
    pair = simulate_pair(PairSky(size=256, stars=20, flux_ratio=1.0))
    there, back = Zogy()(pair.new, pair.reference), Zogy()(*pair.swapped())
    largest = np.abs(there.score).max()
    assert np.abs(there.score + back.score).max() <= 1e-3 * largest
    assert np.abs(there.alpha + back.alpha).max() <= 1e-3 * np.abs(there.alpha).max()


def test_tiles_leave_no_seams():
    pair = simulate_pair(PairSky(size=384, stars=60))
    fine, whole = Zogy(tile=128)(pair.new, pair.reference), Zogy(tile=384)(pair.new, pair.reference)
    assert len(fine.tiles.table) == 9
    assert len(whole.tiles.table) == 1
    good = ~fine.mask
    assert np.abs(fine.score - whole.score)[good].max() <= 0.05


def test_a_shift_that_is_not_known_is_flagged_as_motion_and_a_new_source_is_not():
    pair = simulate_pair(PairSky(size=768, stars=300, shift=0.1, transients=25, transient_flux=4000, seed=4))
    # Without matched stars nothing tells the score of the shift: the bright stars make peaks.
    found = Zogy()(pair.new, pair.reference)
    planes = planes_of(found)
    places = peaks(found, 5)
    stars = np.c_[pair.stars.x, pair.stars.y]
    false = places[near(places, stars, 6)]
    real = places[near(places, pair.transients, 2)]
    assert len(false) >= 20
    assert len(real) >= 24

    def moved(x: int, y: int) -> bool:
        box = np.s_[y - 3 : y + 4, x - 3 : x + 4]
        return motion(planes, np.array([x]), np.array([y]), 3).max() - 4 > (found.score[box] ** 2).max() - 2

    assert np.mean([moved(x, y) for x, y in false]) >= 0.75
    assert not any(moved(x, y) for x, y in real)


def test_matched_stars_tell_the_score_of_a_shift():
    pair = simulate_pair(PairSky(size=512, stars=300, shift=0.1, seed=4))
    blind, told = Zogy()(pair.new, pair.reference), Zogy()(pair.new, pair.reference, pair.stars)
    assert 0.09 < told.quality["registration_x"] < 0.12
    assert told.quality["registration_y"] < 0.03
    assert len(peaks(told, 5)) <= 0.1 * len(peaks(blind, 5))


def test_small_errors_of_psf_flux_and_place_together_make_no_peaks():
    sky = PairSky(size=768, stars=500, shift=0.03, seed=6)
    pair = simulate_pair(sky)
    new = replace(pair.new, psf=MoffatPSF(1.01 * sky.new_fwhm, ellipticity=0.01))
    stars = replace(pair.stars, ref_flux=1.005 * pair.stars.ref_flux)
    found = Zogy()(new, pair.reference, stars)
    assert len(peaks(found, 5)) <= 2
    assert found.quality["score_std_bright"] > 1.2
    # The same without the noise of place, flux and shape.
    blind = Zogy(systematic=0, registration_floor=0)(new, pair.reference)
    assert len(peaks(blind, 5)) >= 5


def test_hits_of_one_pixel_stand_out_against_new_sources():
    pair = simulate_pair(PairSky(size=768, stars=0, transients=40, transient_flux=4000, hits=40))
    found = Zogy()(pair.new, pair.reference)
    planes = planes_of(found)

    def hit_ratio(x: int, y: int) -> float:
        at = np.array([x]), np.array([y])
        ratio = found.tiles.at("hit_ratio", *at)[0]
        return hits(planes, *at, 2).max() / significance_around(planes, *at, 2).max() / ratio

    hit = np.array([hit_ratio(x, y) for x, y in pair.hits])
    reals = np.array([hit_ratio(round(x), round(y)) for x, y in pair.transients])
    assert (hit > 1.5).all()
    assert (reals < 1.5).all()
    assert np.median(reals) == pytest.approx(1, abs=0.12)


def test_saturated_pixels_and_missing_data_make_no_peaks_outside_the_mask():
    pair = simulate_pair(PairSky(size=512, stars=150, seed=2))
    mask = pair.new.data > 4000
    mask[100:104] = True
    mask[:, 300] = True
    data = np.where(mask, 60_000, pair.new.data).astype(np.float32)
    data[200:202, 40:60] = np.nan
    missing = np.zeros_like(mask)
    missing[:, 470:] = True
    reference = replace(pair.reference, mask=missing, data=np.where(missing, 0, pair.reference.data))
    found = Zogy()(replace(pair.new, data=data, mask=mask), reference)
    assert found.mask[:, 467:].all()
    assert found.mask[201, 50]
    for plane in (found.data, found.score, found.alpha, found.alpha_err):
        assert np.isfinite(plane).all()
    assert len(peaks(found, 5.5)) == 0


def test_images_of_different_shape_or_without_common_pixels_are_refused():
    pair = noise_pair(128)
    with pytest.raises(BadInput, match="128"):
        Zogy()(pair.new, replace(pair.reference, data=pair.reference.data[:64]))
    with pytest.raises(BadInput, match="no pixel"):
        Zogy()(replace(pair.new, mask=np.ones((128, 128), bool)), pair.reference)


def test_errors_of_the_match_count_along_the_axis_that_they_are_of():
    rng = np.random.default_rng(4)
    signal, mean = rng.normal(size=(6, 7)).astype(np.float32), rng.normal(size=(10, 11)).astype(np.float32)
    noise = rng.uniform(1, 2, signal.shape).astype(np.float32)
    images = tuple(np.empty((4, *signal.shape), np.float32))
    systematic = np.array([0.1, 2.0, 3.0], np.float32)
    finish(signal, signal, mean, noise, np.array([1, 1, 0.5, 0], np.float32), systematic, images)
    along_x, along_y = slopes(mean)
    variance = noise + (0.1 * mean[2:-2, 2:-2]) ** 2 + (2 * along_x) ** 2 + (3 * along_y) ** 2
    np.testing.assert_allclose(images[2], signal / np.sqrt(variance), rtol=1e-5)
    np.testing.assert_allclose(images[3], 0.5 * signal, rtol=1e-6)
