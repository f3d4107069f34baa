"""What no good difference can be made of: an error with figures, or a result that is marked and withheld."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from processing.algorithms.psf_model import moffat_model
from processing.errors import BadInput, NoOverlap, StepError
from processing.pipelines import Cutting, Detection, Measuring, Scoring, Subtraction
from products.models import PSF, Badness


def with_planes(row, **planes):
    """A copy of a product with other planes."""
    changed = copy.copy(row)
    changed.__dict__["_planes"] = {**row.__dict__["_planes"], **planes}
    return changed


@pytest.fixture
def given(ccd):
    return {**ccd.new, "reference": ccd.reference, "made_of": ccd.made_of}


def alerted(given, warped, difference) -> int:
    """How many detections would be alerts: kept by the cuts and called real."""
    both = {"difference": difference, "warped": warped, "image": given["image"], "background": given["background"]}
    new = {name: given[name] for name in ("world_coordinates", "zero_point", "psf")}
    point = {name: given[name] for name in ("world_coordinates", "zero_point")}
    sources = Detection().run(image=difference, **point)
    cutouts = Cutting().run(sources=sources, **both)
    measured = Measuring().run(cutouts=cutouts, sources=sources, **both, **new)
    scores = Scoring().run(measurement_set=measured, cutouts=cutouts)
    return sum(not row.is_bad and score.score >= scores.threshold for row, score in zip(measured.rows, scores.rows))


def test_a_corner_of_overlap_is_refused_with_its_part(given):
    image = given["made_of"].image
    weight = np.zeros_like(image.weight)
    weight[:120, :120] = image.weight[:120, :120]
    given["made_of"] = replace(given["made_of"], image=with_planes(image, weight=weight))
    with pytest.raises(NoOverlap) as raised:
        Subtraction().run(**given)
    assert 0 < raised.value.details["fraction"] < 0.1 < raised.value.details["needed"]


def test_a_reference_of_another_filter_is_refused_with_both(given):
    image = copy.copy(given["made_of"].image)
    image.filter = "z"
    given["made_of"] = replace(given["made_of"], image=image)
    with pytest.raises(BadInput, match="it is in z, the new image in r"):
        Subtraction().run(**given)


@pytest.mark.parametrize("where", ["new", "reference"])
def test_an_image_without_a_usable_pixel_is_refused(given, where):
    if where == "new":
        given["image"] = with_planes(given["image"], weight=np.zeros_like(given["image"].weight))
    else:
        image = given["made_of"].image
        given["made_of"] = replace(given["made_of"], image=with_planes(image, weight=np.zeros_like(image.weight)))
    with pytest.raises(StepError, match=r"no pixel is usable|overlap|0 %|0%"):
        Subtraction().run(**given)


@pytest.mark.parametrize("where", ["new", "reference"])
def test_a_psf_that_is_no_number_is_refused(given, where):
    psf = given["psf"] if where == "new" else given["made_of"].psf
    broken = with_planes(psf, planes=np.full_like(psf.planes, np.nan))
    if where == "new":
        given["psf"] = broken
    else:
        given["made_of"] = replace(given["made_of"], psf=broken)
    with pytest.raises(BadInput, match="PSF"):
        Subtraction().run(**given)


def test_a_reference_that_is_much_worse_gives_no_more_alerts_than_a_good_one(given):
    before = alerted(given, *Subtraction().run(**given))
    made_of = given["made_of"]
    image, sky = made_of.image, made_of.background.level
    worse = gaussian_filter(image.data - sky, 3.5) + sky
    worse += np.random.default_rng(1).normal(0, 5 * made_of.noise, sky.shape).astype(np.float32)
    broad = moffat_model(float(np.hypot(made_of.psf.fwhm_pixels, 2.3548 * 3.5)), image.shape)
    psf = PSF(fwhm_pixels=broad.fwhm, planes=broad.planes, model_header=broad.header())
    noise = float(np.sqrt(26) * made_of.noise)
    background = with_planes(made_of.background, rms=np.full_like(sky, noise))
    background.noise = noise
    weight = np.where(image.weight > 0, noise**-2, 0).astype(np.float32)
    image = with_planes(image, data=worse, weight=weight)
    given["made_of"] = replace(made_of, image=image, psf=psf, background=background)
    warped, difference = Subtraction().run(**given)
    assert alerted(given, warped, difference) <= before


def test_a_satellite_across_the_ccd_is_no_row_of_alerts(ccd, given):
    before = alerted(given, *Subtraction().run(**given))
    image = given["image"]
    y, x = np.indices(image.shape)
    line = np.abs(0.4 * x - y + 150) / np.hypot(0.4, 1)
    trail = 30 * given["background"].noise * np.exp(-0.5 * (line / 1.3) ** 2)
    given["image"] = with_planes(image, data=(image.data + trail).astype(np.float32))
    assert alerted(given, *Subtraction().run(**given)) <= before + 2


def test_a_galaxy_that_fills_the_ccd_is_no_crowd_of_alerts(ccd, given):
    before = alerted(given, *Subtraction().run(**given))
    made_of, noise = given["made_of"], given["background"].noise

    def with_galaxy(image, x, y, light):
        rows, columns = np.indices(image.shape)
        galaxy = light * np.exp(-np.hypot(columns - x, rows - y) / 120)
        return with_planes(
            image,
            data=(image.data + galaxy).astype(np.float32),
            weight=np.where(image.weight > 0, 1 / (1 / np.where(image.weight > 0, image.weight, 1) + galaxy), 0).astype(
                np.float32
            ),
        )

    there = given["world_coordinates"].wcs.all_pix2world(300, 300, 0)
    at = made_of.world_coordinates.wcs.all_world2pix(*there, 0)
    ratio = 10 ** (0.4 * (made_of.zero_point.zp - given["zero_point"].zp))
    given["image"] = with_galaxy(given["image"], 300, 300, 20 * noise)
    given["made_of"] = replace(made_of, image=with_galaxy(made_of.image, *at, 20 * noise * ratio))
    warped, difference = Subtraction().run(**given)
    found = alerted(given, warped, difference)
    assert difference.badness_own & Badness.BAD_SUBTRACTION or found <= before + 2
