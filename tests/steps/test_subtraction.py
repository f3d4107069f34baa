"""Subtraction, with every method: calibrated noise, a warped reference in its place, and references that do not fit."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.masks import grow
from processing.algorithms.psf_model import moffat_model
from processing.algorithms.subtraction.base import SubtractionMethod
from processing.errors import NoOverlap
from processing.parameters import ConfigurationError
from processing.pipelines import Detection, Subtraction
from products.models import PSF
from products.pixel_flags import PixelFlag
from tests.steps.night import NIGHT

METHODS = sorted(SubtractionMethod.members())


@pytest.fixture(scope="module", params=METHODS)
def pair(request, ccd):
    """(warped, difference) by one method."""
    inputs = {**ccd.new, "reference": ccd.reference, "made_of": ccd.made_of}
    return Subtraction(method=request.param).run(**inputs)


@pytest.fixture(scope="module")
def empty(ccd) -> np.ndarray:
    """Pixels in which neither image shows a source."""
    signal = ccd.new["image"].data - ccd.new["background"].level
    return ~grow(signal > 4 * ccd.new["background"].noise, 8)


def test_the_score_of_empty_sky_is_normal(pair, empty):
    _, difference = pair
    values = difference.score[empty & (difference.weight > 0)]
    assert values.size > 20_000
    assert abs(np.median(values)) <= 0.06
    width = np.subtract(*np.percentile(values, [84.13, 15.87])) / 2
    assert 0.97 <= width <= 1.03
    assert difference.score_std == pytest.approx(width, abs=0.03)
    assert abs(difference.score_mean) <= 0.06


def test_weights_of_the_difference_are_its_inverse_variance(pair, empty):
    _, difference = pair
    good = empty & (difference.weight > 0)
    pull = (difference.data * np.sqrt(difference.weight))[good]
    # The reference was resampled twice, which takes from the scatter of its pixels, not from its noise under a filter.
    assert 0.92 < np.median(np.abs(pull)) / 0.6745 < 1.03


def test_the_warped_reference_shows_the_same_stars_at_the_same_places(pair, ccd):
    warped, _ = pair
    new = ccd.new["image"].data - ccd.new["background"].level
    table = ccd.new["sources"].table
    stars = table[table["is_star"]]
    x, y = np.rint(stars["x"]).astype(int), np.rint(stars["y"]).astype(int)
    shifts, ratios = [], []
    for i, j in zip(y, x):
        box = slice(i - 6, i + 7), slice(j - 6, j + 7)
        if np.all(warped.weight[box] > 0):
            u = np.arange(13)[None, :] - 6
            moments = [((plane[box] * u).sum() / plane[box].sum()) for plane in (new, warped.data)]
            shifts.append(moments[0] - moments[1])
            ratios.append(warped.data[box].sum() / new[box].sum())
    assert len(shifts) > 15
    assert abs(np.median(shifts)) < 0.05
    assert np.median(ratios) == pytest.approx(1, abs=0.03)


def test_nothing_is_detected_where_either_image_is_unusable(pair, ccd):
    warped, difference = pair
    unusable = int(PixelFlag.UNUSABLE)
    bad = (ccd.new["image"].weight <= 0) | (warped.weight <= 0)
    assert not difference.weight[bad].any()
    assert np.all(difference.flags[bad] & unusable)
    assert np.all((difference.weight > 0) | ((difference.flags & int(PixelFlag.ZERO_WEIGHT)) != 0))
    for name in ("data", "weight", "score", "alpha", "alpha_error", "score_plain"):
        plane = getattr(difference, name)
        assert plane.shape == NIGHT.shape and plane.dtype == np.float32
        assert np.isfinite(plane).all(), name


def test_the_difference_knows_where_it_is(pair, ccd):
    for image in pair:
        assert image.shape == NIGHT.shape
        assert image.reference is ccd.reference and image.zero_point is ccd.new["zero_point"]
        assert image.corners == ccd.new["image"].corners
    assert set(pair[1].quality) >= {"flux_ratio", "registration_x", "sky_offset", "score_std_bright"}
    assert pair[1].quality["flux_ratio_over_zero_points"] == pytest.approx(1, abs=0.03)


def test_changed_sources_have_their_flux(pair, ccd):
    _, difference = pair
    truth = ccd.truth[ccd.truth["kind"] == "transient"]
    ratios = []
    for source in truth:
        i, j = round(source["y"]), round(source["x"])
        if difference.weight[i, j] > 0 and source["flux"] > 25 * difference.alpha_error[i, j]:
            ratios.append(difference.alpha[i - 1 : i + 2, j - 1 : j + 2].max() / source["flux"])
    assert len(ratios) >= 3
    assert np.mean(ratios) == pytest.approx(1, abs=3 * 0.03 / np.sqrt(len(ratios)) + 0.01)


def test_a_reference_of_another_place_has_no_overlap(ccd):
    elsewhere = copy.copy(ccd.made_of.world_coordinates)
    header = elsewhere.wcs.to_header(relax=True)
    header["CRVAL2"] += 0.3
    elsewhere.header = header.tostring(sep="\n")
    inputs = {**ccd.new, "reference": ccd.reference}
    with pytest.raises(NoOverlap) as caught:
        Subtraction().run(**inputs, made_of=replace(ccd.made_of, world_coordinates=elsewhere))
    assert caught.value.details["fraction"] < 0.01


def test_half_a_reference_is_refused_or_used_as_the_parameters_say(ccd):
    image = copy.copy(ccd.made_of.image)
    image.__dict__["_planes"] = dict(ccd.made_of.image.__dict__["_planes"])
    weight = image.weight.copy()
    weight[:, : image.width * 6 // 10] = 0
    image.weight = weight
    inputs = {**ccd.new, "reference": ccd.reference, "made_of": replace(ccd.made_of, image=image)}
    with pytest.raises(NoOverlap):
        Subtraction(min_overlap=0.5).run(**inputs)
    _, difference = Subtraction(min_overlap=0.2).run(**inputs)
    assert not difference.weight[:, :250].any()
    assert difference.weight[:, 400:].any()


def test_without_common_stars_the_zero_points_tell_the_flux_ratio(ccd):
    nothing = copy.copy(ccd.new["sources"])
    nothing.__dict__["_planes"] = {"table": ccd.new["sources"].table[:0]}
    inputs = {**ccd.new, "sources": nothing, "reference": ccd.reference, "made_of": ccd.made_of}
    _, difference = Subtraction(method="zogy").run(**inputs)
    assert difference.quality["ratio_stars"] == 0
    assert difference.quality["flux_ratio_over_zero_points"] == 1


def test_peaks_that_the_second_of_two_methods_does_not_see_are_no_detections(ccd):
    """The PSF of the reference is far too broad: zogy makes peaks of the stars, the fitted kernel does not."""
    broad = moffat_model(1.5 * ccd.made_of.psf.fwhm_pixels, ccd.made_of.image.shape)
    psf = PSF(fwhm_pixels=ccd.made_of.psf.fwhm_pixels, planes=broad.planes, model_header=broad.header())
    inputs = {**ccd.new, "reference": ccd.reference, "made_of": replace(ccd.made_of, psf=psf)}
    alone, both = (Subtraction(method=name, fallbacks=[]).run(**inputs)[1] for name in ("zogy", "consensus"))
    point = {name: ccd.new[name] for name in ("world_coordinates", "zero_point")}
    found = [Detection().run(image=image, **point) for image in (alone, both)]
    assert np.array_equal(alone.score, both.score)
    unsupported = (both.flags & int(PixelFlag.UNSUPPORTED)) != 0
    assert not (alone.flags & int(PixelFlag.UNSUPPORTED)).any()
    dropped = np.array([unsupported[row["y_peak"], row["x_peak"]] for row in found[0].table])
    assert dropped.sum() >= 5
    assert not any(unsupported[row["y_peak"], row["x_peak"]] for row in found[1].table)
    assert set(found[0].table["x_peak"][~dropped]) <= set(found[1].table["x_peak"])
    assert both.quality["unsupported_peaks"] >= 5


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match="zogy"):
        Subtraction(method="zogi")
