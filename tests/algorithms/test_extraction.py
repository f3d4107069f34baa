"""Sources of an image: complete, in their places, with their fluxes; and stars among them that are stars."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import sep
from scipy.spatial import cKDTree

from processing.algorithms import detection
from processing.algorithms.background import BackgroundMap, BackgroundParameters, estimate_background
from processing.algorithms.detection import estimate_seeing, moffat_kernel, significance
from processing.algorithms.extraction import DetectionParameters, Sources, extract_sources, select_stars
from processing.algorithms.shapes import FWHM_PER_SIGMA, adaptive_moments
from tests.algorithms.starfields import Field, Sky, simulate

PARAMETERS = DetectionParameters()


@dataclass(frozen=True)
class Extracted:
    """A field with what was found in it."""

    field: Field
    background: BackgroundMap
    sources: Sources
    stars: np.ndarray

    @property
    def table(self) -> np.ndarray:
        return self.sources.table

    def significance(self) -> np.ndarray:
        """S/N of each true star for a filter of the shape of the PSF at the middle."""
        psf = self.field.psf(512, 512)
        return self.field.flux / np.sqrt(self.field.noise**2 / (psf**2).sum() + self.field.flux)

    def inner(self, edge: float) -> np.ndarray:
        """True stars at least `edge` px inside the image."""
        field, (ny, nx) = self.field, self.field.data.shape
        return (np.minimum(field.x, nx - 1 - field.x) > edge) & (np.minimum(field.y, ny - 1 - field.y) > edge)

    def match(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance (px) to the nearest source of each true star, and its row."""
        tree = cKDTree(np.c_[self.table["x"], self.table["y"]])
        return tree.query(np.c_[self.field.x, self.field.y])


def extract(field: Field, mask: np.ndarray | None = None, saturated: np.ndarray | None = None) -> Extracted:
    blank = np.zeros(field.data.shape, bool)
    mask, saturated = (blank if plane is None else plane for plane in (mask, saturated))
    background = estimate_background(field.data, mask, BackgroundParameters())
    sources = extract_sources(field.data, background, mask, saturated, PARAMETERS)
    return Extracted(field, background, sources, select_stars(sources, field.data.shape, mask, PARAMETERS))


SAMPLINGS = [2.0, 3.0, 4.2]


@pytest.fixture(scope="module", params=SAMPLINGS, ids="FWHM {} px".format)
def found(request) -> Extracted:
    """Stars and galaxies as they fall, some on top of each other."""
    return extract(simulate(Sky(fwhm=request.param, stars=700, galaxies=40, seed=7)))


@pytest.fixture(scope="module", params=SAMPLINGS, ids="FWHM {} px".format)
def apart(request) -> Extracted:
    """Stars that are all single."""
    sky = Sky(fwhm=request.param, stars=400, faintest=250.0, galaxies=0, isolated=True, seed=17)
    return extract(simulate(sky))


def test_the_seeing_is_the_adaptive_width_of_the_stars(apart):
    field, rng, widths = apart.field, np.random.default_rng(1), []
    for x, y in zip(field.x[:100], field.y[:100]):
        dx, dy = rng.uniform(-0.5, 0.5, 2)
        stamp = np.pad(field.psf(x, y, half=20, dx=dx, dy=dy), 4).astype(np.float32)
        widths.append(adaptive_moments(stamp, 24 + dx, 24 + dy, fwhm=field.sky.fwhm, radius=3)[0]["fwhm"])
    assert apart.sources.fwhm == pytest.approx(np.median(widths), rel=0.02)


def test_single_stars_are_found_down_to_the_threshold(apart):
    distance, _ = apart.match()
    snr, inner = apart.significance(), apart.inner(3)
    bright, middling = inner & (snr > 8), inner & (snr > 5.5) & (snr < 8)
    assert bright.sum() > 200 and middling.sum() > 10
    assert np.mean(distance[bright] < 1) > 0.99
    assert np.mean(distance[middling] < 1.5) > 0.9


def test_what_is_found_is_there(found):
    field = found.field
    truth = cKDTree(np.vstack([np.c_[field.x, field.y], field.galaxies]))
    near, _ = truth.query(np.c_[found.table["x"], found.table["y"]])
    # Galaxies are ragged at their rims; noise above 4 σ on some pixels together is rare.
    assert np.mean(near > 2 * field.sky.fwhm) < 0.01
    clear = found.table["snr"] > 10
    assert np.mean(near[clear] > 1.5 * field.sky.fwhm) < 0.005


def test_the_disc_of_a_smooth_galaxy_is_not_torn_into_pieces(monkeypatch):
    field = simulate(Sky(shape=(512, 512), fwhm=4.2, stars=0, galaxies=0, seed=3))
    y, x = np.indices(field.data.shape)
    disc = 2.0 * field.noise * np.exp(-np.hypot(x - 250, (y - 260) / 0.7) / 45)
    data = np.random.default_rng(2).poisson(field.background + disc).astype(np.float32)
    result = extract(replace(field, data=data))
    away = np.hypot(result.table["x"] - 250, result.table["y"] - 260)
    assert away.min() < 15
    assert result.sources.segmentation.max() == len(result.table)
    monkeypatch.setattr(detection, "_LEAST_CONTRAST", -np.inf)
    torn = extract(replace(field, data=data)).table
    assert len(result.table) < 0.5 * len(torn)


def test_windowed_positions_are_those_of_sep(apart):
    signal = (apart.field.data - apart.background.level).astype(np.float32)
    bright = np.flatnonzero(apart.table["snr"] > 30)
    start = np.rint(apart.table["x"][bright]), np.rint(apart.table["y"][bright])
    x, y, _ = sep.winpos(signal, *start, apart.sources.fwhm / FWHM_PER_SIGMA)
    off = np.hypot(apart.table["x"][bright] - x, apart.table["y"][bright] - y)
    assert np.median(off) < 1e-3 and np.percentile(off, 95) < 0.01


def test_no_star_is_found_twice(found):
    tree = cKDTree(np.c_[found.table["x"], found.table["y"]])
    assert len(tree.query_pairs(0.4 * found.field.sky.fwhm)) == 0


def test_positions_are_those_of_the_stars_within_their_errors(apart):
    found = apart
    _, row = found.match()
    snr, inner = found.significance(), found.inner(15)
    use = inner & (snr > 15)
    errors = found.table["x_err"][row[use]]
    for name, truth in (("x", found.field.x), ("y", found.field.y)):
        pull = (found.table[name][row[use]] - truth[use]) / np.hypot(errors, 0.004)
        assert abs(np.median(pull)) < 4 * 1.25 / np.sqrt(use.sum())
        robust = 1.4826 * np.median(np.abs(pull - np.median(pull)))
        assert 0.75 < robust < 1.3
    bright = inner & (snr > 100)
    off = np.hypot(
        found.table["x"][row[bright]] - found.field.x[bright], found.table["y"][row[bright]] - found.field.y[bright]
    )
    assert np.median(off) < 0.012 * found.field.sky.fwhm


def test_fluxes_are_the_light_within_their_circle(apart):
    found = apart
    _, row = found.match()
    use = found.inner(15) & (found.significance() > 60)
    radius = found.sources.aperture_radii[PARAMETERS.best_aperture]
    assert radius == pytest.approx(found.sources.fwhm)
    ratio = found.table["flux"][row[use]] / found.field.flux[use]
    fwhm = np.array([found.field.fwhm(x, y) for x, y in zip(found.field.x[use], found.field.y[use])])
    alpha2 = (fwhm / 2) ** 2 / (2 ** (1 / found.field.sky.beta) - 1)
    # Every pixel is as wide as a twelfth of a square pixel along each axis.
    enclosed = 1 - (1 + (radius**2 - 1 / 6) / alpha2) ** (1 - found.field.sky.beta)
    assert np.median(ratio / enclosed) == pytest.approx(1, abs=0.01)


def test_the_rows_are_the_segments(found):
    table, segments = found.table, found.sources.segmentation
    assert segments.max() == len(table)
    rows = np.arange(1, len(table) + 1)
    at = segments[np.rint(table["y"]).astype(int), np.rint(table["x"]).astype(int)]
    assert np.mean(at == rows) > 0.97  # the others' windowed position lies in a neighbour


def test_chosen_stars_are_stars_and_single(found):
    field, stars = found.field, found.stars
    picked = np.c_[found.table["x"], found.table["y"]][stars]
    assert len(stars) > 40
    to_star, which = cKDTree(np.c_[field.x, field.y]).query(picked)
    to_galaxy, _ = cKDTree(field.galaxies).query(picked)
    impure = (to_star > 1) | (to_galaxy < 2)
    assert impure.mean() <= 0.02
    assert np.all(np.diff(found.table["flux"][stars]) <= 0)
    assert len(np.unique(which)) == len(stars)
    np.testing.assert_array_equal(np.flatnonzero(found.table["is_star"]), np.sort(stars))


def test_most_bright_single_stars_are_chosen(apart):
    _, row = apart.match()
    use = apart.inner(PARAMETERS.star_edge + 2) & (apart.significance() > 40)
    assert use.sum() > 40
    assert apart.table["is_star"][row[use]].mean() > 0.95


@pytest.fixture(scope="module")
def plain() -> Field:
    return simulate(Sky(shape=(512, 512), fwhm=3.0, stars=180, faintest=2000.0, galaxies=0, isolated=True, seed=8))


def test_saturated_and_masked_stars_are_flagged_and_not_chosen(plain):
    order = np.argsort(-plain.flux)
    inner = [k for k in order if 70 < plain.x[k] < 440 and 70 < plain.y[k] < 440]
    mask, saturated = np.zeros((2, 512, 512), bool)
    full, hit = inner[0], inner[1]
    box = tuple(slice(round(centre) - 3, round(centre) + 4) for centre in (plain.y[full], plain.x[full]))
    saturated[box] = mask[box] = True
    mask[round(plain.y[hit]) + 2, round(plain.x[hit])] = True
    result = extract(plain, mask, saturated)
    distance, row = result.match()
    assert distance[full] < 1.5 * plain.sky.fwhm, "a saturated star is one source, not a ring of them"
    near = np.hypot(result.table["x"] - plain.x[full], result.table["y"] - plain.y[full]) < 8
    assert near.sum() == 1
    assert result.table["is_saturated"][row[full]] and not result.table["is_star"][row[full]]
    assert result.table["is_masked"][row[hit]] and not result.table["is_star"][row[hit]]
    assert not result.table["is_saturated"][row[inner[2]]]


def test_a_star_above_half_of_the_full_well_builds_no_psf(plain):
    result = extract(plain)
    blank = np.zeros(plain.data.shape, bool)
    brightest = result.table["peak"][result.stars].max()
    full_well = (brightest + plain.sky.sky) / PARAMETERS.star_peak * 0.9
    fewer = select_stars(result.sources, plain.data.shape, blank, PARAMETERS, full_well=full_well)
    assert 0 < len(fewer) < len(result.stars)
    assert (result.table["peak"] + result.table["background"])[fewer].max() < PARAMETERS.star_peak * full_well


def test_in_a_crowded_field_maxima_replace_segments():
    sky = Sky(shape=(400, 400), fwhm=3.0, stars=4000, faintest=1500.0, brightest=5e4, galaxies=0, seed=5)
    result = extract(simulate(sky))
    distance, _ = result.match()
    bright = np.argsort(-result.field.flux)[:200]
    assert len(result.table) > 400
    assert np.mean(distance[bright] < 1.5) > 0.9
    assert result.sources.segmentation.max() == len(result.table)


def test_noise_alone_makes_hardly_any_source():
    field = simulate(Sky(stars=0, galaxies=0, seed=9))
    result = extract(field)
    # A megapixel has 26 maxima above 4 σ of the filter; two to five pixels must exceed it together.
    assert len(result.table) <= 15
    assert result.sources.fwhm == PARAMETERS.first_fwhm
    assert len(result.stars) == 0


def test_an_image_without_any_pixel_above_the_threshold_gives_an_empty_list():
    rng = np.random.default_rng(1)
    data = rng.normal(0, 1, (200, 200)).astype(np.float32)
    blank = np.zeros(data.shape, bool)
    sky = BackgroundMap(np.zeros_like(data), np.full_like(data, 100))
    sources = extract_sources(data, sky, blank, blank, PARAMETERS)
    assert len(sources) == 0
    assert len(select_stars(sources, data.shape, blank, PARAMETERS)) == 0
    assert not sources.segmentation.any()


def test_cosmic_rays_do_not_set_the_seeing():
    rng = np.random.default_rng(2)
    field = simulate(Sky(shape=(512, 512), fwhm=3.0, stars=60, faintest=3000.0, galaxies=0, seed=6))
    residual = (field.data - field.background).astype(np.float32)
    blank, rms = np.zeros(residual.shape, bool), np.full(residual.shape, field.noise, np.float32)
    clean = estimate_seeing(residual, rms, blank, 3.0)
    residual[rng.integers(20, 490, 300), rng.integers(20, 490, 300)] += 4000
    assert estimate_seeing(residual, rms, blank, 3.0) == pytest.approx(clean, rel=0.02)


def test_a_wide_galaxy_with_many_maxima_does_not_set_the_seeing():
    rng = np.random.default_rng(4)
    field = simulate(Sky(shape=(512, 512), fwhm=4.0, stars=30, faintest=3000.0, galaxies=0, seed=8))
    residual = (field.data - field.background).astype(np.float32)
    blank, rms = np.zeros(residual.shape, bool), np.full(residual.shape, field.noise, np.float32)
    clean = estimate_seeing(residual, rms, blank, 3.0)
    y, x = np.indices(residual.shape)
    galaxy = 25 * field.noise * np.exp(-np.hypot(x - 250, y - 300) / 12)
    residual += galaxy + rng.normal(0, 1, residual.shape) * np.sqrt(galaxy * field.noise)
    assert estimate_seeing(residual, rms, blank, 3.0) == pytest.approx(clean, rel=0.05)


def test_the_filter_gives_noise_a_spread_of_one_and_a_star_its_significance():
    rng = np.random.default_rng(3)
    kernel = moffat_kernel(3.0)
    assert kernel.shape[0] % 2 == 1 and kernel.sum() == pytest.approx(1, abs=1e-6)
    noise = rng.normal(0, 5, (400, 400)).astype(np.float32)
    rms, blank = np.full(noise.shape, 5, np.float32), np.zeros(noise.shape, bool)
    found = significance(noise, rms, blank, kernel)[20:-20, 20:-20]
    assert found.std() == pytest.approx(1, abs=4 / np.sqrt(2 * found.size / 20))
    half = kernel.shape[0] // 2
    noise[200 - half : 201 + half, 200 - half : 201 + half] += 2000 * kernel
    expected = 2000 * np.sqrt((kernel**2).sum()) / 5
    assert significance(noise, rms, blank, kernel)[200, 200] == pytest.approx(expected, abs=4)


def test_the_image_is_left_as_it_was_and_the_list_is_the_same_twice(plain):
    before = plain.data.copy()
    first, second = extract(plain), extract(plain)
    np.testing.assert_array_equal(plain.data, before)
    np.testing.assert_array_equal(first.table, second.table)
    np.testing.assert_array_equal(first.stars, second.stars)
