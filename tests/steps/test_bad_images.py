"""Images that are bad in every way: errors with figures, badness, or a solution that is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from processing.errors import BadInput, BadPixels
from products.models import Badness, CoaddImage, ScienceImage
from products.pixel_flags import PixelFlag
from tests.benchmarks._calibration_fields import CalibrationField
from tests.steps.bad_fields import assert_says, calibrated, small_field, wcs_error

NOTHING_FOUND = Badness.FEW_SOURCES | Badness.PSF_FIT_FAILED


@pytest.fixture(scope="module")
def sky() -> CalibrationField:
    return small_field()


def test_the_field_as_it_is_has_no_badness(sky):
    found = calibrated(sky)
    assert found.error is None and found.bits() == Badness(0) and found.warnings == []
    assert wcs_error(found.products["world_coordinates"], sky) < 0.1


def noise(sky: CalibrationField, seed: int = 1, **more: Any) -> dict[str, np.ndarray]:
    """Planes of an image of empty sky."""
    data = np.random.default_rng(seed).normal(sky.camera.sky, sky.noise, sky.data.shape).astype(np.float32)
    weight = np.full(data.shape, 1 / sky.noise**2, np.float32)
    return {"data": data, "weight": weight, "flags": np.zeros(data.shape, np.uint16), **more}


@pytest.mark.parametrize("kind", [ScienceImage, CoaddImage])
@pytest.mark.parametrize("seed", range(3))
def test_pure_noise_has_badness_and_no_solution(kind, seed, sky):
    found = calibrated(sky, kind, **noise(sky, seed))
    assert found.bits("sources", "psf") == NOTHING_FOUND and found.bits("background") == Badness(0)
    assert found.products["background"].value == pytest.approx(sky.camera.sky, abs=0.05 * sky.noise)
    assert_says(found, r"detections of \d+ are usable, 8 needed .*exposed long enough")


def test_cosmic_rays_alone_build_no_psf_and_no_solution(sky):
    planes, rng = noise(sky), np.random.default_rng(2)
    y, x = rng.integers(2, 510, (2, 600))
    light = rng.pareto(1.5, 600) * 300 + 200
    planes["data"][y, x] += light
    planes["data"][y, x + rng.integers(-1, 2, 600)] += 0.7 * light
    found = calibrated(sky, **planes)
    assert found.products["sources"].n_sources > 300
    assert found.bits("psf") & Badness.PSF_FIT_FAILED and found.products["psf"].n_stars < 5
    assert_says(found, "stars match|usable")


def test_an_image_without_noise_or_with_a_gradient_alone_is_no_sky(sky):
    flat = calibrated(sky, data=np.full(sky.data.shape, 400, np.float32))
    assert (flat.step, type(flat.error)) == ("extraction", BadInput)
    assert_says(flat, "no noise, .* are from 400 to 400 .*gain and units right")
    slope = np.broadcast_to(np.linspace(100, 3000, 512, dtype=np.float32), (512, 512)).copy()
    assert_says(calibrated(sky, **noise(sky, data=slope)), "no noise, .*median 1550")


def test_a_gradient_under_the_stars_changes_nothing(sky):
    found = calibrated(sky, data=sky.data + np.linspace(100, 800, 512, dtype=np.float32))
    assert found.error is None and found.bits() == Badness(0)


def test_stars_that_are_all_saturated_give_no_psf_and_no_solution(sky):
    full = binary_dilation(sky.data > sky.camera.sky + 100, iterations=1)
    flags = np.where(full, int(PixelFlag.SATURATED), 0).astype(np.uint16)
    found = calibrated(sky, flags=flags)
    assert found.bits("psf") & Badness.PSF_FIT_FAILED
    assert_says(found, r"[0-7] detections of \d+ are usable, 8 needed \(.* \d\d+ saturated.*saturation level")
    whole = calibrated(sky, flags=np.full(flags.shape, int(PixelFlag.SATURATED), np.uint16))
    assert (whole.step, type(whole.error)) == ("extraction", BadPixels)
    assert_says(whole, "100% of the pixels .*saturation level")


@pytest.mark.parametrize("light", [150, 500])
def test_stars_that_are_cut_off_without_a_flag_give_no_confident_zero_point(light, sky):
    found = calibrated(sky, **noise(sky, data=np.minimum(sky.data, np.float32(sky.camera.sky + light))))
    assert found.error is not None or found.bits()


def test_a_crowd_to_confusion_is_marked_and_not_solved():
    crowd = small_field(42, shape=(256, 256), stars=1e6, galaxies=500.0)
    found = calibrated(crowd)
    assert found.bits("background") & Badness.CROWDED_BACKGROUND
    assert_says(found, "by chance")


def test_half_a_ccd_is_calibrated_as_the_whole_and_marked(sky):
    data, weight = sky.data.copy(), sky.weight.copy()
    data[:, :256] = np.nan
    told = calibrated(sky, data=data)
    count = int(np.count_nonzero(weight[:, :256] > 0))
    assert (told.step, type(told.error), told.error.details["count"]) == ("extraction", BadInput, count)
    assert_says(told, f"{count} pixels are no numbers; give them the weight 0 or the flag BAD")
    weight[:, :260] = 0
    found = calibrated(sky, data=data, weight=weight)
    assert found.error is None and found.bits() == Badness.MASKED
    assert "part of the pixels that is masked 0.50" in found.products["sources"].description


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_an_error_with_their_number(value, sky):
    weight = sky.weight.copy()
    weight[100:110] = value
    found = calibrated(sky, weight=weight)
    assert (found.step, type(found.error), found.error.details["count"]) == ("extraction", BadInput, 5120)


@pytest.mark.parametrize("part", [0.6, 0.9])
@pytest.mark.parametrize("is_random", [True, False])
def test_where_little_is_left_the_sky_is_that_of_what_is_left(part, is_random, sky):
    weight = sky.weight.copy()
    if is_random:
        weight[np.random.default_rng(1).uniform(size=weight.shape) < part] = 0
    else:
        weight[:, : int(part * 512)] = 0
    found = calibrated(sky, weight=weight)
    background = found.products["background"]
    assert background.value == pytest.approx(sky.camera.sky, abs=0.3 * sky.noise)
    assert background.noise == pytest.approx(sky.noise, rel=0.05)
    assert found.bits("sources") & Badness.MASKED


def test_stars_in_one_corner_are_no_solution_for_all_of_the_image(sky):
    planes = noise(sky)
    for name in planes:
        planes[name][:128, :128] = getattr(sky, name)[:128, :128]
    found = calibrated(sky, **planes)
    assert_says(found, "stars (that )?match")


@pytest.mark.parametrize("side", [40, 100])
def test_an_image_of_few_pixels_has_few_sources_and_says_so(side, sky):
    planes = {name: np.ascontiguousarray(getattr(sky, name)[:side, :side]) for name in ("data", "weight", "flags")}
    found = calibrated(sky, **planes)
    assert found.bits("psf") & Badness.PSF_FIT_FAILED
    assert_says(found, "8 needed|to trust it")
    tiny = calibrated(sky, **{name: plane[:6, :6] for name, plane in planes.items()})
    assert_says(tiny, "36 pixels, 64 are needed")


def test_a_pixel_without_bounds_makes_no_sources_around_it(sky):
    data = sky.data.copy()
    data[200, 200], data[300:310, 300:310] = 1e20, -1e20
    whole, found = calibrated(sky), calibrated(sky, data=data)
    counts = [one.products["sources"].n_sources for one in (whole, found)]
    assert found.error is None and counts[1] == pytest.approx(counts[0], abs=6)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_psf_of_a_few_wide_stars_is_right_or_marked(seed):
    """Where stars are so wide that hardly one stands alone."""
    calibrated(small_field(seed, fwhm=10.0))
