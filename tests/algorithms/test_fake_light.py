"""The light of fakes: as much as they say, with the noise of its photons, added or taken away; and who found it."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.fake_light import inject, line_response, thinned
from processing.algorithms.fake_matching import match_fakes
from processing.algorithms.fakes import FAKES
from processing.algorithms.psf_model import moffat_model
from processing.errors import BadInput

SHAPE = (700, 900)
SKY = np.zeros(SHAPE, np.float32)


def fakes_at(xy: np.ndarray, flux: float | np.ndarray) -> np.ndarray:
    fakes = np.zeros(len(xy), FAKES)
    fakes["x"], fakes["y"] = xy.T
    fakes["flux"], fakes["host"] = flux, -1
    return fakes


def lattice(step: int = 50) -> np.ndarray:
    rng = np.random.default_rng(3)
    at = np.array([(x, y) for y in range(step, SHAPE[0], step) for x in range(step, SHAPE[1], step)], float)
    return at + rng.uniform(-0.5, 0.5, at.shape)


@pytest.mark.parametrize("fwhm", [2.2, 4.2])
def test_injected_light_is_as_much_as_it_says_with_the_noise_of_its_photons(fwhm):
    psf, xy, flux = moffat_model(fwhm, SHAPE), lattice(), 900.0
    empty, variance = np.zeros(SHAPE, np.float32), np.full(SHAPE, 100, np.float32)
    data, spread = inject(empty, variance, SKY, psf, fakes_at(xy, flux), np.random.default_rng(4))
    reach = psf.half_size + 1
    sums = []
    for x, y in np.rint(xy).astype(int):
        box = slice(max(y - reach, 0), y + reach + 1), slice(max(x - reach, 0), x + reach + 1)
        sums.append((data[box].sum(), (spread - 100)[box].sum()))
    counts, added = np.array(sums).T
    assert counts.mean() == pytest.approx(flux, abs=4 * np.sqrt(flux / len(xy)))
    assert counts.std() == pytest.approx(np.sqrt(flux), rel=4 / np.sqrt(2 * len(xy)))
    np.testing.assert_allclose(added, flux, rtol=1e-3)


@pytest.mark.parametrize("fwhm, tolerance", [(2.2, 0.04), (3.0, 0.004), (4.2, 5e-4)])
def test_the_gradient_over_the_core_is_that_of_the_exact_place(fwhm, tolerance):
    """The expected light, read from the variance, against the profile at the sub-pixel position."""
    psf, xy, flux = moffat_model(fwhm, SHAPE), lattice(), 1e5
    blank = np.ones(SHAPE, np.float32)
    _, spread = inject(blank * 0, blank, SKY, psf, fakes_at(xy, flux), np.random.default_rng(1))
    for x, y in xy:
        i, j = round(x), round(y)
        expected = flux * psf.stamp(x, y, x - i, y - j)
        core = psf.half_size
        light = (spread - 1)[j - core : j + core + 1, i - core : i + core + 1]
        v, u = np.indices(light.shape) - core
        for axis, truth in ((u, x - i), (v, y - j)):
            assert (light * axis)[core - 5 : core + 6, core - 5 : core + 6].sum() / flux == pytest.approx(
                (expected * axis)[core - 5 : core + 6, core - 5 : core + 6].sum() / flux, abs=0.02
            ), truth
        assert np.abs(light - expected).max() < tolerance * expected.max()


def test_unusable_pixels_stay_unusable_and_inputs_stay_as_they_were():
    psf, xy = moffat_model(3.0, SHAPE), lattice()
    data, variance = np.zeros(SHAPE, np.float32), np.full(SHAPE, 100, np.float32)
    variance[:, 100] = 0
    kept = data.copy(), variance.copy()
    injected, spread = inject(data, variance, SKY, psf, fakes_at(xy, 5000.0), np.random.default_rng(1))
    assert not spread[:, 100].any()
    np.testing.assert_array_equal(data, kept[0])
    np.testing.assert_array_equal(variance, kept[1])
    again, _ = inject(data, variance, SKY, psf, fakes_at(xy, 5000.0), np.random.default_rng(1))
    np.testing.assert_array_equal(injected, again)


def test_light_beyond_the_edge_is_lost():
    psf = moffat_model(3.0, SHAPE)
    data, variance = np.zeros(SHAPE, np.float32), np.full(SHAPE, 100, np.float32)
    at = np.array([[-0.4, 300.0], [-200.0, 10.0], [899.0, 699.0]])
    injected, _ = inject(data, variance, SKY, psf, fakes_at(at, 1e5), np.random.default_rng(1))
    assert injected[250:350, :30].sum() == pytest.approx(0.5 * 1e5, rel=0.2)
    assert injected.sum() < 1.0e5


def test_no_fake_changes_nothing_and_light_that_a_star_does_not_have_is_not_taken():
    psf = moffat_model(3.0, SHAPE)
    data, variance = np.zeros(SHAPE, np.float32), np.full(SHAPE, 100, np.float32)
    same, _ = inject(data, variance, SKY, psf, fakes_at(np.zeros((0, 2)), 1.0), np.random.default_rng(1))
    np.testing.assert_array_equal(same, data)
    with pytest.raises(BadInput, match="more light"):
        inject(data, variance, SKY, psf, fakes_at(np.array([[50.0, 50.0]]), -1.0), np.random.default_rng(1))


@pytest.mark.parametrize("length, angle", [(40.0, 0.0), (25.0, 35.0), (60.0, -70.0)])
def test_a_streak_has_its_flux_its_length_and_its_direction(length, angle):
    psf, fakes = moffat_model(3.0, SHAPE), fakes_at(np.array([[300.3, 350.6]]), 1e6)
    fakes["length"], fakes["angle"] = length, angle
    data, variance = inject(SKY, SKY + 1, SKY, psf, fakes, np.random.default_rng(1))
    assert data.sum() == pytest.approx(1e6, abs=4e3)
    np.testing.assert_allclose((variance - 1).sum(), 1e6, rtol=1e-3)
    y, x = np.indices(SHAPE)
    turn = np.radians(angle)
    light = np.where(data > data.max() / 100, data, 0)
    dx, dy = x - 300.3, y - 350.6
    along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
    mean = [(light * part).sum() / light.sum() for part in (along, across)]
    assert np.abs(mean).max() < 0.05
    spread = [(light * part**2).sum() / light.sum() for part in (along, across)]
    assert spread[0] - spread[1] == pytest.approx(length**2 / 12, rel=0.02)


def test_a_streak_that_leaves_the_image_loses_what_lies_beyond():
    psf, fakes = moffat_model(3.0, SHAPE), fakes_at(np.array([[870.0, 350.0]]), 1e6)
    fakes["length"] = 200.0
    data, _ = inject(SKY, SKY + 1, SKY, psf, fakes, np.random.default_rng(1))
    assert data.sum() == pytest.approx(1e6 * (100 + 29.5) / 200, rel=0.01)


def test_psf_photometry_measures_the_part_of_a_streak_that_is_told():
    psf = moffat_model(3.0, SHAPE)
    stamp = psf.stamp(450, 350).astype(float)
    length, angle = np.array([0.0, 3.0, 9.0, 30.0]), np.array([0.0, 20.0, -50.0, 80.0])
    told = line_response(np.repeat(stamp[None], 4, axis=0), length, angle)
    fakes = fakes_at(np.array([[x, 350.0] for x in (100, 300, 500, 700)]), 1e7)
    fakes["length"], fakes["angle"] = length, angle
    data, _ = inject(SKY, SKY + 1, SKY, psf, fakes, np.random.default_rng(1))
    half = stamp.shape[0] // 2
    measured = [
        (data[350 - half : 351 + half, x - half : x + half + 1] * stamp).sum() / (stamp**2).sum() / 1e7
        for x in (100, 300, 500, 700)
    ]
    np.testing.assert_allclose(measured, told, rtol=0.01)
    assert told[0] == 1 and np.all(np.diff(told) < 0) and told[3] < 0.2


@pytest.mark.parametrize("sky, read_noise, share", [(300.0, 5.0, 0.6), (20.0, 8.0, 0.9), (0.0, 0.0, 0.3)])
def test_a_star_that_faded_has_the_noise_of_the_fainter_star(sky, read_noise, share):
    """Mean and variance of every pixel of many stars, against a fainter star that was exposed."""
    rng = np.random.default_rng(5)
    psf, many = moffat_model(3.0, SHAPE), 4000
    star = 5e4 * psf.stamp(450, 350, half_size=6).astype(float)
    level = np.full(star.shape, sky)
    left = []
    for _ in range(many):
        data = rng.poisson(star + sky) + rng.normal(0, read_noise, star.shape)
        left.append(thinned(data, star + sky + read_noise**2, level, star, share, rng))
    mean, variance = np.mean(left, axis=0), np.var(left, axis=0)
    truth = (1 - share) * star + sky
    core = np.s_[2:-2, 2:-2]
    noise = np.sqrt((truth + read_noise**2) / many)
    assert np.abs((mean - truth) / noise)[core].max() < 4.5
    ratio = (variance / (truth + read_noise**2))[core]
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / many)


def test_light_of_a_neighbour_stays_when_a_star_fades():
    rng = np.random.default_rng(5)
    psf, many = moffat_model(3.0, SHAPE), 2000
    star = 2e4 * psf.stamp(450, 350, half_size=8).astype(float)
    neighbour = 5e4 * psf.stamp(450, 350, 5.0, 0.0, half_size=8).astype(float)
    expected = star + neighbour + 200
    left = [
        thinned(rng.poisson(expected).astype(float), expected, np.full(star.shape, 200.0), star, 0.7, rng)
        for _ in range(many)
    ]
    gone = (expected - np.mean(left, axis=0)).sum()
    assert gone == pytest.approx(0.7 * star.sum(), rel=0.03)


def test_a_fading_star_loses_its_light_and_its_variance_in_the_image():
    psf, xy = moffat_model(3.0, SHAPE), lattice()
    stars = fakes_at(xy, 2e4)
    rng, sky = np.random.default_rng(4), SKY + 150
    data = rng.poisson(sky).astype(np.float32)
    data, variance = inject(data, sky.copy(), sky, psf, stars, rng)
    fading = stars.copy()
    fading["star_flux"], fading["flux"] = 2e4, -1.5e4
    left, spread = inject(data, variance, sky, psf, fading, rng)
    lost = (data.astype(float) - left).sum() / len(xy)
    assert lost == pytest.approx(1.5e4, rel=0.003)
    assert (variance.astype(float) - spread).sum() / len(xy) == pytest.approx(1.5e4, rel=0.002)
    assert spread.min() > 100


def test_the_closest_pairs_are_matched_first_and_each_only_once():
    fakes = fakes_at(np.array([[10.0, 10], [13, 10], [50, 50], [90, 90]]), 1.0)
    x, y = np.array([12.2, 50.4, 200.0]), np.array([10.0, 50.3, 200.0])
    rises = np.zeros(3, bool)
    np.testing.assert_array_equal(match_fakes(fakes, x, y, rises, radius=3.0), [-1, 0, 1, -1])
    np.testing.assert_array_equal(match_fakes(fakes, x[:0], y[:0], rises[:0], radius=3.0), -1)
    assert len(match_fakes(fakes[:0], x, y, rises, radius=3.0)) == 0


def test_what_fades_is_no_match_for_what_brightens_and_streaks_are_met_along_their_length():
    fakes = fakes_at(np.array([[10.0, 10], [50, 50]]), np.array([-5.0, 5.0]))
    fakes["length"][1], fakes["angle"][1] = 40.0, 45.0
    x, y = np.array([10.1, 62.0]), np.array([10.0, 61.0])
    np.testing.assert_array_equal(match_fakes(fakes, x, y, np.zeros(2, bool), radius=2.0), [-1, 1])
    np.testing.assert_array_equal(match_fakes(fakes, x, y, np.array([True, False]), radius=2.0), [0, 1])
    np.testing.assert_array_equal(match_fakes(fakes, x + 6, y + 6, np.zeros(2, bool), radius=2.0), [-1, -1])
