"""The PSF model against the true PSF: fluxes, widths, ellipticities and centroids, and what is left with fewer stars.

The limits are those of the sensitivity of a subtraction: half a percent in flux and width, a hundredth in ellipticity and
in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from processing.algorithms.background import BackgroundParameters, estimate_background
from processing.algorithms.extraction import DetectionParameters, Sources, extract_sources, select_stars
from processing.algorithms.psf_fit import fit_psf
from processing.algorithms.psf_model import PSFModel, PSFParameters, moffat_model, profile_fwhm
from processing.algorithms.psf_photometry import fit_stars
from processing.algorithms.shapes import adaptive_moments
from processing.errors import NotEnoughStars
from tests.algorithms.starfields import Field, Sky, simulate

FLUX = 1e5


@dataclass(frozen=True)
class Modelled:
    """A field, what was found in it, and its PSF."""

    field: Field
    signal: np.ndarray
    sources: Sources
    stars: np.ndarray
    model: PSFModel

    def again(self, stars: np.ndarray, parameters: PSFParameters | None = None) -> PSFModel:
        """The PSF from some of the stars."""
        blank = np.zeros(self.signal.shape, bool)
        return fit_psf(
            self.signal, self.field.variance, blank, self.sources, stars, parameters or PSFParameters(),
            segmentation=self.sources.segmentation,
        )  # fmt: skip


def model_of(field: Field) -> Modelled:
    blank = np.zeros(field.data.shape, bool)
    sky = estimate_background(field.data, blank, BackgroundParameters())
    sources = extract_sources(field.data, sky, blank, blank, DetectionParameters())
    stars = select_stars(sources, field.data.shape, blank, DetectionParameters())
    made = Modelled(field, field.data - sky.level, sources, stars, moffat_model(3, (9, 9)))
    return replace(made, model=made.again(stars))


@dataclass(frozen=True)
class Errors:
    """Model minus truth on a lattice of places in the image."""

    flux: np.ndarray  # relative, of noiseless stars fitted with the model
    x: np.ndarray  # px
    y: np.ndarray
    width: np.ndarray  # relative, of adaptive moments
    e1: np.ndarray
    e2: np.ndarray


def errors(field: Field, model: PSFModel) -> Errors:
    """Stars of the true PSF without noise, fitted with the model; and the shapes of both."""
    half, (ny, nx), rng = model.half_size, field.data.shape, np.random.default_rng(0)
    step = 2 * half + 3
    px, py = (
        a.ravel() for a in np.meshgrid(np.arange(step, nx - step + 1, step), np.arange(step, ny - step + 1, step))
    )
    dx, dy = rng.uniform(-0.5, 0.5, (2, px.size))
    image, shapes = np.zeros(field.data.shape, np.float32), []
    for i, j, a, b in zip(px, py, dx, dy):
        star = field.psf(i + a, j + b, half, dx=a, dy=b)
        image[j - half : j + half + 1, i - half : i + half + 1] += FLUX * star
        fitted = model.stamp(i + a, j + b, a, b)
        shapes.append([
            adaptive_moments(np.pad(stamp, 3).astype(np.float32), half + 3 + a, half + 3 + b, fwhm=field.sky.fwhm)[0]
            for stamp in (fitted, star)
        ])  # fmt: skip
    variance = np.full(image.shape, field.noise**2, np.float32)
    found = fit_stars(image, variance, np.zeros(image.shape, bool), model, px + dx, py + dy)
    ours, true = np.array(shapes).T
    return Errors(
        flux=found["flux"] / FLUX - 1, x=found["x"] - px - dx, y=found["y"] - py - dy,
        width=ours["fwhm"] / np.maximum(true["fwhm"], 1e-9) - 1, e1=ours["e1"] - true["e1"], e2=ours["e2"] - true["e2"],
    )  # fmt: skip


SAMPLINGS = [2.0, 3.0, 4.2]


@pytest.fixture(scope="module", params=SAMPLINGS, ids="FWHM {} px".format)
def single(request) -> Modelled:
    """150 single stars on a varying PSF."""
    sky = Sky(fwhm=request.param, stars=200, faintest=6000.0, galaxies=0, isolated=True, over_pixels=True, seed=1)
    return model_of(simulate(sky))


@pytest.fixture(scope="module")
def off(single) -> Errors:
    return errors(single.field, single.model)


def test_there_are_more_than_a_hundred_stars_and_the_fit_is_good(single):
    assert single.model.n_stars >= 100
    assert single.model.order == 2
    assert single.model.chi2 == pytest.approx(1, abs=0.1)


def test_fluxes_are_unbiased_to_half_a_percent_everywhere(off):
    assert abs(off.flux.mean()) <= 0.005
    assert off.flux.std() <= 0.005


def test_widths_are_right_to_half_a_percent(off):
    assert abs(off.width.mean()) <= 0.005
    assert off.width.std() <= 0.005


def test_ellipticities_are_right_to_a_hundredth(off):
    for error in (off.e1, off.e2):
        assert abs(error.mean()) <= 0.005
        assert error.std() <= 0.01


def test_centroids_are_right_to_a_hundredth_of_a_pixel(off):
    for error in (off.x, off.y):
        assert abs(error.mean()) <= 0.005
        assert error.std() <= 0.01


def test_the_fwhm_is_that_of_the_true_profile(single):
    ny, nx = single.field.data.shape
    places = [(nx * fx, ny * fy) for fy in (0.2, 0.5, 0.8) for fx in (0.2, 0.5, 0.8)]
    ours, true = (np.array([of(*at) for at in places]) for of in (single.model.fwhm_at, single.field.fwhm))
    assert np.mean(ours / true) == pytest.approx(1, abs=0.01)
    assert single.model.fwhm == pytest.approx(np.median(true), rel=0.01)


def test_stamps_sum_to_one_and_are_centred_at_every_position(single):
    half = single.model.half_size
    for x, y in [(60, 60), (511, 400), (960, 960), (80.4, 900.7)]:
        stamp = single.model.stamp(x, y)
        assert stamp.shape == (2 * half + 1,) * 2
        assert stamp.sum() == pytest.approx(1, abs=1e-6)
        found = adaptive_moments(np.pad(stamp, 3), half + 3, half + 3, fwhm=single.model.fwhm)[0]
        assert np.hypot(found["x"] - half - 3, found["y"] - half - 3) < 0.02


def test_the_model_survives_storage(single):
    again = PSFModel.from_planes(single.model.planes, single.model.header())
    assert again.header() == single.model.header()
    np.testing.assert_array_equal(again.stamp(100, 900), single.model.stamp(100, 900))


def test_the_same_stars_give_the_same_model_and_the_image_is_left_as_it_was(single):
    before = single.signal.copy()
    np.testing.assert_array_equal(single.again(single.stars).planes, single.model.planes)
    np.testing.assert_array_equal(single.signal, before)


@pytest.fixture(scope="module")
def broad() -> Modelled:
    sky = Sky(fwhm=3.0, stars=200, faintest=6000.0, galaxies=0, isolated=True, seed=2)
    return model_of(simulate(sky))


@pytest.mark.parametrize("count, order, limit", [(70, 2, 0.007), (40, 1, 0.01), (12, 0, 0.03), (5, 0, 0.03)])
def test_fewer_stars_give_a_simpler_model(broad, count, order, limit):
    model = broad.again(broad.stars[:count])
    assert model.order == order
    assert count * 0.8 <= model.n_stars <= count
    off = errors(broad.field, model)
    # What an order leaves out is the variation of the field: 5 % of the width from the middle to the corners.
    assert abs(off.flux.mean()) <= limit
    assert abs(off.width.mean()) <= limit


def test_less_than_five_stars_leave_a_moffat_profile_of_the_seeing(broad):
    for count in (4, 0):
        model = broad.again(broad.stars[:count])
        assert (model.n_stars, model.order) == (0, 0)
        assert model.fwhm == pytest.approx(broad.field.fwhm(300, 300), rel=0.04)
        assert model.stamp(7, 7).sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("fwhm, common, scatter", [(1.5, 0.005, 0.005), (1.7, 0.005, 0.005), (8.0, 0.005, 0.006)])
def test_narrow_and_broad_profiles_have_models_too(fwhm, common, scatter):
    sky = Sky(
        shape=(900, 900), fwhm=fwhm, stars=160, faintest=6000.0, galaxies=0, isolated=True, over_pixels=True, seed=21
    )
    field = simulate(sky)
    made = model_of(field)
    off = errors(field, made.model)
    assert made.model.n_stars >= 40
    assert abs(off.flux.mean()) <= common and off.flux.std() <= scatter
    assert abs(off.x.mean()) <= 0.003


def test_stars_in_one_half_of_the_ccd_give_a_model_that_holds_in_the_other(broad):
    left = broad.stars[broad.sources.table["x"][broad.stars] < broad.field.data.shape[1] / 2]
    off = errors(broad.field, broad.again(left))
    assert abs(off.flux.mean()) <= 0.01
    assert np.abs(off.flux).max() <= 0.05  # the far corner is extrapolated by the width of the CCD


def test_a_width_that_grows_by_a_fifth_to_the_corners_is_followed():
    sky = Sky(fwhm=3.0, variation=0.2, ellipticity=0.15, stars=200, faintest=6000.0, galaxies=0, isolated=True, seed=23)
    steep = model_of(simulate(sky))
    assert steep.model.n_stars >= 100  # the stars of the corners are stars
    off = errors(steep.field, steep.model)
    assert abs(off.flux.mean()) <= 0.003 and off.flux.std() <= 0.002
    assert np.abs(off.flux).max() <= 0.007
    assert abs(off.width.mean()) <= 0.005 and off.width.std() <= 0.005


def test_wings_widen_with_the_core_and_no_position_is_off_centre(single):
    """What lies between 2 and 3.5 FWHM grows by the fourth power of the width."""
    model, field = single.model, single.field
    half = model.half_size
    offset = np.arange(-half, half + 1)
    distance = np.hypot(offset, offset[:, None]) / field.sky.fwhm
    ring = (distance > 2) & (distance < 3.5)
    places = [(511, 511), (60, 60), (963, 60), (60, 963), (963, 963)]
    ours, true = (np.array([of(*at)[ring].sum() for at in places]) for of in (
        model.stamp, lambda x, y: field.psf(x, y, half)
    ))  # fmt: skip
    growth = [values[1:].mean() / values[0] for values in (ours, true)]
    assert growth[1] > 1.1
    assert growth[0] == pytest.approx(growth[1], abs=0.045)
    window = np.exp(-4 * np.log(2) * distance**2)
    for at in places:
        weighted = window * model.stamp(*at)
        assert abs(np.sum(weighted * offset)) < 0.002 * weighted.sum()
        assert abs(np.sum(weighted * offset[:, None])) < 0.002 * weighted.sum()


def test_without_stars_and_without_a_seeing_there_is_no_psf(broad):
    blind = replace(broad, sources=replace(broad.sources, fwhm=0.0))
    with pytest.raises(NotEnoughStars, match="PSF"):
        blind.again(broad.stars[:0])


def test_an_order_that_is_asked_for_is_not_exceeded(broad):
    assert broad.again(broad.stars, PSFParameters(order=1)).order == 1
    assert len(broad.again(broad.stars, PSFParameters(order=0)).planes) == 1


def test_spoiled_stars_do_not_spoil_the_model(broad):
    """Hits, a companion in the wings, and a galaxy among forty stars."""
    signal, table, stars = broad.signal.copy(), broad.sources.table, broad.stars[:80]
    rng = np.random.default_rng(4)
    for k, row in enumerate(stars[::4]):
        x, y = np.rint(table["x"][row]).astype(int), np.rint(table["y"][row]).astype(int)
        if k % 2:
            signal[y + rng.integers(-3, 4), x + rng.integers(-3, 4)] += 0.5 * table["peak"][row]
        else:
            turn = rng.uniform(0, 2 * np.pi)
            i, j = x + round(7 * np.cos(turn)), y + round(7 * np.sin(turn))
            signal[j - 12 : j + 13, i - 12 : i + 13] += 0.3 * table["flux"][row] * broad.field.psf(x, y, 12)
    clean, spoiled = broad.again(stars), replace(broad, signal=signal).again(stars)
    off, before = errors(broad.field, spoiled), errors(broad.field, clean)
    assert abs(off.flux.mean() - before.flux.mean()) < 0.01
    assert abs(off.width.mean() - before.width.mean()) < 0.005
    assert abs(off.x.mean()) < 0.01


def test_masked_pixels_of_a_star_do_not_enter(broad):
    signal, mask = broad.signal.copy(), np.zeros(broad.signal.shape, bool)
    x = np.rint(broad.sources.table["x"][broad.stars[:80]]).astype(int)
    mask[:, x[::3] + 2] = True
    signal[mask] = 1e7
    model = fit_psf(
        signal, broad.field.variance, mask, broad.sources, broad.stars[:80], PSFParameters(),
        segmentation=broad.sources.segmentation,
    )  # fmt: skip
    off = errors(broad.field, model)
    assert abs(off.flux.mean()) < 0.007 and abs(off.width.mean()) < 0.005


@pytest.mark.parametrize("seed", [1, 2])
def test_neighbours_that_are_no_sources_do_not_broaden_the_psf_of_a_dense_field(seed):
    dense = model_of(simulate(Sky(fwhm=4.2, stars=900, faintest=600.0, galaxies=20, wings=7.0, seed=seed)))
    off = errors(dense.field, dense.model)
    assert dense.model.n_stars >= 100
    assert abs(off.flux.mean()) <= 0.004 and off.flux.std() <= 0.003
    assert abs(off.width.mean()) <= 0.005 and off.width.std() <= 0.005
    assert abs(off.x.mean()) <= 0.005 and off.x.std() <= 0.01


@pytest.mark.parametrize("fwhm, tolerance", [(2.0, 0.006), (2.5, 0.002), (3.0, 0.002), (4.2, 0.001), (7.0, 0.001)])
def test_the_width_of_a_stamp_is_that_of_its_profile(fwhm, tolerance):
    model = moffat_model(fwhm, (100, 100))
    assert profile_fwhm(model.stamp(50, 50)) == pytest.approx(fwhm, rel=tolerance)
    assert model.fwhm_at(50, 50) == pytest.approx(fwhm, rel=0.002)
