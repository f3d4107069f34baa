"""Coaddition: one grid, one zero point, the depth of its frames; and images that do not belong together."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.wcs import WCS

from processing.algorithms.simulation_render import Projection
from processing.errors import BadInput
from processing.pipelines import Coaddition
from processing.providers import CoaddInputs
from processing.reference_choice import in_fields
from processing.steps.coaddition import common_grid, digest
from products.pixel_flags import PixelFlag
from tests.algorithms.pairs import MoffatPSF, render
from tests.benchmarks._reference_fields import products


def test_the_coadd_is_as_deep_as_its_frames_together(ccd):
    """Weights are one number a frame, so that the depth is Σ 1/σ² on the scale of the first."""
    parts = ccd.components.components
    scales = [10 ** (0.4 * (parts[0].zero_point.zp - part.zero_point.zp)) for part in parts]
    depth = sum(1 / (part.background.noise * scale) ** 2 for part, scale in zip(parts, scales))
    # The noise before resampling is what a matched filter sees; per pixel a quintic spline leaves 92 to 100 % of it.
    found = 1 / np.sqrt(np.median(ccd.coadd.weight[ccd.coadd.weight > 0]))
    assert found == pytest.approx(1 / np.sqrt(depth), rel=0.03)
    assert 0.88 < ccd.made_of.background.noise * np.sqrt(depth) < 1.03


def test_the_coadd_has_the_zero_point_of_its_best_frame(ccd):
    first = ccd.components.components[0]
    assert ccd.made_of.zero_point.zp == pytest.approx(first.zero_point.zp, abs=0.02)
    assert ccd.made_of.psf.fwhm_pixels >= 0.98 * first.psf.fwhm_pixels
    worst = max(part.psf.fwhm_pixels for part in ccd.components.components)
    assert ccd.made_of.psf.fwhm_pixels < 1.02 * worst


def test_the_coadd_says_which_image_it_is_aligned_to(ccd):
    """One pixel at the middle of that image alone is a pixel of the coadd; of the others it falls between pixels."""
    off = {}
    for part in ccd.components.components:
        middle = part.world_coordinates.wcs.all_pix2world(*((n - 1) // 2 for n in part.image.shape[::-1]), 0)
        x, y = WCS(ccd.coadd.wcs_header).all_world2pix(*middle, 0)
        off[part.image.pk] = float(np.hypot(x - np.rint(x), y - np.rint(y)))
    assert min(off, key=off.get) == ccd.coadd.alignment_target.pk
    assert off[ccd.coadd.alignment_target.pk] < 1e-3 < sorted(off.values())[1]
    target = next(part for part in ccd.components.components if part.image is ccd.coadd.alignment_target)
    assert ccd.coadd.zero_point_estimate == target.zero_point.zp


def test_the_first_look_at_a_coadd_is_close_to_what_its_stars_say(ccd):
    coadd, found = ccd.coadd, ccd.made_of
    assert coadd.telescope == "small"
    assert coadd.background_noise == pytest.approx(found.background.noise, rel=0.03)
    assert abs(coadd.background_level) < 0.1 * coadd.background_noise
    assert coadd.fwhm == pytest.approx(1.12 * found.psf.fwhm_pixels * coadd.pixel_scale, rel=0.06)
    assert coadd.limiting_magnitude_estimate - found.zero_point.limiting_magnitude == pytest.approx(0.15, abs=0.1)


def test_the_coadd_has_no_sky_and_covers_all_frames(ccd):
    coadd = ccd.coadd
    assert abs(ccd.made_of.background.value) < 0.1 * ccd.made_of.background.noise
    for part in ccd.components.components:
        x, y = coadd_pixels(ccd, part)
        assert x.min() >= -1 and x.max() <= coadd.width and y.min() >= -1 and y.max() <= coadd.height


def coadd_pixels(ccd, part) -> tuple[np.ndarray, np.ndarray]:
    """Where the corners of a frame lie in the coadd."""
    ny, nx = part.image.shape
    corners = np.array([[0, 0], [nx - 1, 0], [nx - 1, ny - 1], [0, ny - 1]])
    sky = part.world_coordinates.wcs.all_pix2world(corners, 0)
    return ccd.made_of.world_coordinates.wcs.all_world2pix(*sky.T, 0)


def test_pixels_that_few_frames_reach_are_flagged_and_weightless(ccd):
    coadd = ccd.coadd
    flagged = (coadd.flags & int(PixelFlag.UNUSABLE)) != 0
    assert flagged.any()
    assert not coadd.weight[flagged].any()
    assert np.all(coadd.weight[~flagged] > 0)
    assert np.isfinite(coadd.data).all()


def test_cosmic_rays_of_single_frames_are_gone(ccd):
    """A frame has dozens of pixels that no star explains; the coadd nearly none."""

    def lonely(data: np.ndarray, noise: float, good: np.ndarray) -> int:
        around = sum(np.roll(data, shift, axis=axis) for axis in (0, 1) for shift in (1, -1)) / 4
        alone = (data > 20 * noise) & (around < 0.1 * data) & good
        return int(alone[5:-5, 5:-5].sum())

    part = ccd.components.components[0]
    hits = (part.image.flags & int(PixelFlag.COSMIC_RAY)) != 0  # most are flagged before they come here
    single = lonely(part.image.data - part.background.level, part.background.noise, (part.image.weight > 0) | hits)
    stacked = lonely(ccd.coadd.data, ccd.made_of.background.noise, ccd.coadd.weight > 0)
    assert single >= 5
    assert stacked <= 1


def test_exposure_times_and_dates_are_those_of_all_frames(ccd):
    images = [part.image for part in ccd.components.components]
    assert ccd.coadd.exposure_time == pytest.approx(sum(image.exposure_time for image in images))
    assert ccd.coadd.mjd == min(image.mjd for image in images)
    assert ccd.coadd.mjd_end == max(image.mjd_end for image in images)
    assert len(ccd.coadd.related["components"]) == len(images)


def test_the_digest_does_not_depend_on_the_order(ccd):
    zero_points = [part.zero_point for part in ccd.components.components]
    assert digest(zero_points) == digest(zero_points[::-1]) == ccd.coadd.components_digest
    assert digest(zero_points[:2]) != digest(zero_points)


def test_a_single_frame_is_not_resampled_in_its_middle(ccd):
    part = ccd.components.components[0]
    wcs, shape = common_grid([part.world_coordinates.wcs], [part.image.shape])
    middle = (np.array(part.image.shape[::-1]) - 1) // 2
    at = wcs.all_world2pix(part.world_coordinates.wcs.all_pix2world([middle], 0), 0)[0]
    np.testing.assert_allclose(at, np.round(at), atol=1e-4)
    assert all(large - small <= 3 for large, small in zip(shape, part.image.shape))


def test_images_of_different_filters_are_refused(ccd):
    parts = ccd.components.components
    other = copy.copy(parts[1].image)
    other.filter = "g"
    with pytest.raises(BadInput, match="different filters"):
        Coaddition().run(inputs=CoaddInputs((parts[0], replace(parts[1], image=other))))


def changed(part, **columns):
    """A part with another image; `columns` are planes or fields of it."""
    image = copy.copy(part.image)
    image.__dict__["_planes"] = dict(part.image.__dict__["_planes"])
    for name, value in columns.items():
        setattr(image, name, value)
    return replace(part, image=image)


def test_without_an_image_there_is_no_coadd():
    with pytest.raises(BadInput, match="there is none"):
        Coaddition().run(inputs=CoaddInputs(()))


def test_one_image_alone_is_itself(ccd):
    part = ccd.components.components[0]
    coadd = Coaddition().run(inputs=CoaddInputs((part,)))
    assert coadd.coverage.max() == 1 and coadd.quality["images"] == 1
    scale = np.median(coadd.weight[coadd.weight > 0]) / np.median(part.image.weight[part.image.weight > 0])
    assert scale == pytest.approx(1, abs=0.05)


def test_a_zero_point_that_varies_leaves_no_trace_in_the_coadd(ccd):
    part = ccd.components.components[0]
    across = np.float32(10 ** (0.4 * 0.1 * np.linspace(-1, 1, part.image.width)))
    level = part.background.level
    tilted = changed(part, data=(part.image.data - level) * across + level, weight=part.image.weight / across**2)
    zero_point, background = copy.copy(part.zero_point), copy.copy(part.background)
    zero_point.surface = {"shape": list(part.image.shape), "coefficients": [[0.0], [0.1]]}
    background.__dict__["_planes"] = {"level": level, "rms": part.background.rms * across}
    tilted = replace(tilted, zero_point=zero_point, background=background)
    even, uneven = (Coaddition().run(inputs=CoaddInputs((one,))) for one in (part, tilted))
    good = (even.weight > 0) & (uneven.weight > 0)
    assert good.sum() > 0.99 * np.sum(even.weight > 0)
    assert np.abs((uneven.data - even.data)[good] * np.sqrt(even.weight[good])).max() < 0.1


def test_an_image_whose_wcs_points_elsewhere_is_refused_by_name(ccd):
    parts = ccd.components.components
    away = copy.copy(parts[1].world_coordinates)
    wcs = away.wcs
    wcs.wcs.crval = [wcs.wcs.crval[0] + 3, wcs.wcs.crval[1]]
    away.header = wcs.to_header(relax=True).tostring(sep="\n")
    wrong = replace(parts[1], world_coordinates=away)
    with pytest.raises(BadInput, match=r"0% of it is on .*, 10% needed; is its WCS right"):
        Coaddition().run(inputs=CoaddInputs((parts[0], wrong)))


def test_an_image_that_is_masked_by_half_adds_depth_where_it_is_good(ccd):
    parts = ccd.components.components
    weight = parts[1].image.weight.copy()
    weight[: weight.shape[0] // 2] = 0
    coadd = Coaddition().run(inputs=CoaddInputs((parts[0], changed(parts[1], weight=weight), parts[2])))
    ny, nx = coadd.height, coadd.width
    low, high = (np.median(coadd.coverage[part, 60 : nx - 60]) for part in (slice(60, 200), slice(ny - 200, ny - 60)))
    assert (low, high) == (2, 3)
    bad = np.zeros_like(weight)
    coadd = Coaddition().run(inputs=CoaddInputs((parts[0], changed(parts[1], weight=bad))))
    assert coadd.quality["left_out"] == {str(parts[1].image): "none of its pixels is usable"}
    with pytest.raises(BadInput, match="no frame has a usable pixel"):
        Coaddition().run(inputs=CoaddInputs((changed(parts[1], weight=bad),)))


def test_a_bad_image_among_good_ones_is_left_out_and_named(ccd):
    parts = ccd.components.components
    step = Coaddition()
    rng = np.random.default_rng(1)
    noisy = changed(parts[1], data=parts[1].image.data + rng.normal(0, 300, parts[1].image.shape).astype(np.float32))
    coadd = step.run(inputs=CoaddInputs((parts[0], noisy, parts[2])))
    [(name, why)] = coadd.quality["left_out"].items()
    assert name == str(noisy.image) and "times as much as its noise says" in why
    assert step.warnings() == [f"{name} is not in it: {why}"]
    assert coadd.related["components"] == [parts[0].zero_point.pk, parts[2].zero_point.pk]
    assert coadd.coverage.max() == 2 and coadd.components_digest == digest([part.zero_point for part in parts])
    faint = copy.copy(parts[1].zero_point)
    faint.zp -= 1.0
    coadd = step.run(inputs=CoaddInputs((parts[0], replace(parts[1], zero_point=faint), parts[2])))
    assert "of the flux of those of the other images" in next(iter(coadd.quality["left_out"].values()))
    assert Coaddition().run(inputs=CoaddInputs(parts)).quality["left_out"] == {}


def test_images_of_other_pixels_and_zero_points_keep_the_flux_of_stars():
    rng, parts = np.random.default_rng(4), []
    ra, dec = 150.1 + rng.uniform(-0.006, 0.006, 12), -27.3 + rng.uniform(-0.006, 0.006, 12)
    for place, (scale, size, zero_point) in enumerate(((0.263, 260, 27.0), (0.4, 190, 27.5), (0.3, 240, 26.0))):
        middle = ((size - 1) / 2, (size - 1) / 2)
        projection = Projection(150.1, -27.3, middle, scale, rotation=25.0 * place)
        fwhm, flux = 1.18 / scale, 20_000 * 10 ** (0.4 * (zero_point - 27))
        data = render(size, MoffatPSF(fwhm, half=30), np.c_[projection.pixels(ra, dec)], np.full(12, flux))
        planes = (data + 100).astype(np.float32), np.ones(data.shape, np.float32), np.zeros(data.shape, np.uint16)
        parts.append(products(place, projection.header(), planes, (fwhm, zero_point, 100.0, 1.0)))
    both, alone = (Coaddition().run(inputs=CoaddInputs(tuple(some))) for some in (parts, parts[:1]))
    assert both.quality["left_out"] == {} and both.zero_point_estimate == 27.0
    for x, y in zip(*(np.rint(axis).astype(int) for axis in WCS(both.wcs_header).all_world2pix(ra, dec, 0))):
        box = np.s_[y - 9 : y + 10, x - 9 : x + 10]
        assert both.coverage[box].min() == 3
        u, v = (
            axis + 0 for axis in WCS(alone.wcs_header).all_world2pix(*WCS(both.wcs_header).all_pix2world(x, y, 0), 0)
        )
        here = np.s_[int(np.rint(v)) - 9 : int(np.rint(v)) + 10, int(np.rint(u)) - 9 : int(np.rint(u)) + 10]
        assert both.data[box].sum() == pytest.approx(alone.data[here].sum(), rel=0.01)


def test_a_proper_coadd_has_the_same_stars_and_the_same_noise(ccd):
    proper = Coaddition(stack={"method": "proper"}).run(inputs=ccd.components)
    good = (ccd.coadd.weight > 0) & (proper.weight > 0)
    sky = good & (np.abs(ccd.coadd.data) < 3 / np.sqrt(np.maximum(ccd.coadd.weight, 1e-12)))
    assert np.std(proper.data[sky]) == pytest.approx(np.std(ccd.coadd.data[sky]), rel=0.05)
    bright = good & (ccd.coadd.data > 30 * ccd.made_of.background.noise)
    assert proper.data[bright].sum() == pytest.approx(ccd.coadd.data[bright].sum(), rel=0.08)


def test_images_of_one_ccd_are_stacked_field_by_field():
    def row(ra, dec):
        return SimpleNamespace(image=SimpleNamespace(ra=ra, dec=dec, radius=0.1))

    here, dithered, across_zero, elsewhere = row(359.99, 10.0), row(0.03, 10.05), row(0.05, 9.98), row(0.4, 10.0)
    assert in_fields([here, elsewhere, dithered, across_zero]) == [[here, dithered, across_zero], [elsewhere]]
