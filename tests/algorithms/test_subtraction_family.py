"""What every subtraction method must hold: calibrated noise, true fluxes and positions, no residuals at stars or edges."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.subtraction.base import SubtractionMethod
from processing.parameters import ConfigurationError
from tests.algorithms.pairs import PairSky, near, peaks, refined_peak, simulate_pair, star_distance, value_at

METHODS = sorted(SubtractionMethod.members())
SAMPLINGS = {"broad": (4.2, 3.4), "coarse": (2.9, 2.3), "sharper new image": (3.0, 3.8)}


@pytest.fixture(scope="module", params=[(m, s) for m in METHODS for s in SAMPLINGS], ids=lambda p: f"{p[0]}, {p[1]}")
def subtracted(request):
    method, sampling = request.param
    new_fwhm, ref_fwhm = SAMPLINGS[sampling]
    sky = PairSky(size=640, stars=200, new_fwhm=new_fwhm, ref_fwhm=ref_fwhm, transients=30, seed=11)
    pair = simulate_pair(sky)
    return pair, SubtractionMethod.member(method)()(pair.new, pair.reference, pair.stars)


def empty_sky(pair, found) -> np.ndarray:
    y, x = np.indices(found.score.shape)
    free = np.hypot(x[..., None] - pair.transients[:, 0], y[..., None] - pair.transients[:, 1]).min(axis=-1) > 16
    return free & (star_distance(pair) > 14) & ~found.mask


def test_the_score_of_empty_sky_is_normal(subtracted):
    pair, found = subtracted
    sky = found.score[empty_sky(pair, found)]
    assert sky.size > 50_000
    assert abs(sky.mean()) <= 0.03 + 3 * 4 / np.sqrt(sky.size)  # neighbouring scores are correlated over the PSF
    assert abs(sky.std() - 1) <= 0.02


def test_the_difference_of_empty_sky_is_white(subtracted):
    pair, found = subtracted
    sky = empty_sky(pair, found)
    pull = found.data / np.sqrt(found.variance)
    assert abs(pull[sky].std() - 1) <= 0.02
    both = sky[:, 1:] & sky[:, :-1]
    assert abs(np.corrcoef(pull[:, 1:][both], pull[:, :-1][both])[0, 1]) <= 0.02


def test_injected_fluxes_are_recovered_within_one_percent(subtracted):
    pair, found = subtracted
    flux, error = (value_at(plane, pair.transients) for plane in (found.alpha, found.alpha_err))
    ratio = flux / pair.sky.transient_flux
    uncertainty = np.median(error) / pair.sky.transient_flux / np.sqrt(len(ratio))
    assert abs(np.mean(ratio) - 1) <= 0.01 + 2 * uncertainty
    pull = (flux - pair.sky.transient_flux) / error
    assert 0.7 <= pull.std() <= 1.4


def test_new_sources_lie_where_they_were_put(subtracted):
    pair, found = subtracted
    seen = np.array([refined_peak(found.alpha / found.alpha_err, x, y) for x, y in pair.transients])
    offset = seen - pair.transients
    assert np.abs(np.median(offset, axis=0)).max() <= 0.05
    assert np.median(np.hypot(*offset.T)) <= 0.1


def test_fitting_the_psf_of_the_difference_gives_the_same_flux_as_the_score(subtracted):
    pair, found = subtracted
    half = found.tiles.psf.shape[-1] // 2
    for x, y in pair.transients[:10]:
        ix, iy = round(x), round(y)
        box = found.data[iy - half : iy + half + 1, ix - half : ix + half + 1]
        stamp = found.tiles.stamp(x, y)
        fitted = np.sum(box * stamp) / np.sum(stamp**2)
        assert fitted == pytest.approx(float(found.alpha[iy, ix]), abs=2.5 * float(found.alpha_err[iy, ix]))


def test_constant_stars_and_edges_leave_no_peaks(subtracted):
    pair, found = subtracted
    places = peaks(found, 5)
    false = places[~near(places, pair.transients, 8)]
    assert len(false) <= 2
    assert 0.8 < found.quality["score_std_bright"] < 1.25


def test_the_flux_ratio_comes_from_the_stars(subtracted):
    pair, found = subtracted
    assert found.flux_ratio == pytest.approx(pair.sky.flux_ratio, rel=0.005)
    assert found.quality["ratio_stars"] >= 15


def test_a_method_is_chosen_by_name_with_its_parameters():
    with pytest.raises(ConfigurationError, match="zogy"):
        SubtractionMethod.member("zogi")
    assert SubtractionMethod.member("zogy").build({"tile": 128}).tile == 128
