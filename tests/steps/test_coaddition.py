"""Coaddition: one grid, one zero point, the depth of its frames; and images that do not belong together."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.wcs import WCS

from processing.errors import BadInput
from processing.pipelines import Coaddition
from processing.providers import CoaddInputs
from processing.reference_choice import in_fields
from processing.steps.coaddition import common_grid, digest
from products.pixel_flags import PixelFlag


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


def test_images_of_one_ccd_are_stacked_field_by_field():
    def row(ra, dec):
        return SimpleNamespace(image=SimpleNamespace(ra=ra, dec=dec, radius=0.1))

    here, dithered, across_zero, elsewhere = row(359.99, 10.0), row(0.03, 10.05), row(0.05, 9.98), row(0.4, 10.0)
    assert in_fields([here, elsewhere, dithered, across_zero]) == [[here, dithered, across_zero], [elsewhere]]
