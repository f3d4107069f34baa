"""The map between two pixel grids up to its edges, and what warping keeps: fluxes, noise, flags and PSFs."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy import ndimage

from processing.algorithms.inpainting import fill
from processing.algorithms.resampling import MappedPSF, pixel_map, warp, warp_flags, warp_valid, warp_variance
from processing.errors import BadInput
from tests.algorithms.pairs import MoffatPSF

SHAPE = (420, 360)


def tangent_wcs(shape=SHAPE, ra=150.0, dec=2.0, rotation=0.0, scale=0.26, distortion=0.0) -> WCS:
    cos, sin = np.cos(rotation), np.sin(rotation)
    header = fits.Header({"NAXIS": 2, "NAXIS1": shape[1], "NAXIS2": shape[0], "CRVAL1": ra, "CRVAL2": dec})
    suffix = "-SIP" if distortion else ""
    header.update({"CTYPE1": f"RA---TAN{suffix}", "CTYPE2": f"DEC--TAN{suffix}"})
    header.update({"CRPIX1": shape[1] / 2, "CRPIX2": shape[0] / 2})
    cd = scale / 3600 * np.array([[-cos, sin], [sin, cos]])
    header.update({f"CD{i + 1}_{j + 1}": cd[i, j] for i in (0, 1) for j in (0, 1)})
    if distortion:
        unit = distortion / (shape[0] / 2) ** 2
        header.update({"A_ORDER": 3, "B_ORDER": 3, "A_2_0": unit, "A_1_1": -unit / 2, "B_0_2": unit, "B_2_0": unit / 3})
        header.update({"A_3_0": unit / shape[0], "B_1_2": -unit / shape[0]})
    return WCS(header)


def render(shape, psf: MoffatPSF, positions: np.ndarray, flux: float) -> np.ndarray:
    y, x = np.indices(shape)
    return sum(flux * psf.profile(x - px, y - py) for px, py in positions).astype(np.float32)


def exact(target: WCS, source: WCS, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array(source.all_world2pix(*target.all_pix2world(x, y, 0), 0, tolerance=1e-8))


@pytest.mark.parametrize("rotation", [0.0, 0.02, np.pi / 2, np.pi])
def test_the_map_is_exact_up_to_the_outermost_rows_and_columns(rotation):
    shape = (4096, 2048)
    target = tangent_wcs(shape, distortion=8.0)
    source = tangent_wcs(shape, ra=150.004, dec=2.003, rotation=rotation, scale=0.2603, distortion=-5.0)
    mapping = pixel_map(target, shape, source, shape)
    x, y = np.arange(shape[1]), np.arange(shape[0])
    edges = [(x, 0 * x), (x, 0 * x + shape[0] - 1), (0 * y, y), (0 * y + shape[1] - 1, y)]
    for at in (*edges, np.random.default_rng(1).uniform(0, 2047, (2, 2000))):
        assert np.abs(np.array(mapping.at(*at)) - exact(target, source, *at)).max() < 1e-3
    assert mapping.error < 1e-3


def test_the_jacobian_is_the_derivative_of_the_map():
    target, source = tangent_wcs(distortion=3.0), tangent_wcs(rotation=0.3, scale=0.2)
    mapping = pixel_map(target, SHAPE, source)
    for x, y in ((0, 0), (100.5, 300), (359, 419)):
        right, left = np.array(mapping.at(x + 0.5, y)), np.array(mapping.at(x - 0.5, y))
        above, below = np.array(mapping.at(x, y + 0.5)), np.array(mapping.at(x, y - 0.5))
        assert np.allclose(mapping.jacobian(x, y), np.stack([right - left, above - below], axis=1), atol=1e-6)
    assert mapping.area(180, 210) == pytest.approx(1.3**2, rel=0.01)


def test_a_map_that_no_polynomial_describes_is_refused():
    wild = tangent_wcs(distortion=1.0)
    wild.sip.a[3, 0] = 1e-5
    with pytest.raises(BadInput, match="order 5"):
        pixel_map(tangent_wcs(), SHAPE, wild)


@pytest.mark.parametrize(("fwhm", "tolerance"), [(3.4, 0.002), (2.2, 0.004)])
def test_stars_keep_flux_and_place_when_warped(fwhm, tolerance):
    rng = np.random.default_rng(2)
    target = tangent_wcs((200, 200))
    source = tangent_wcs((200, 200), ra=150.0002, rotation=0.05, scale=0.26)
    mapping = pixel_map(target, (200, 200), source)
    psf = MoffatPSF(fwhm)
    stars = np.array([(40 * i + 25, 40 * j + 25) for i in range(4) for j in range(4)]) + rng.uniform(-0.5, 0.5, (16, 2))
    warped = warp(render((200, 200), psf, np.transpose(mapping.at(*stars.T)), 1e5), mapping, (200, 200))
    expected = render((200, 200), psf, stars, 1e5)
    for x, y in np.round(stars).astype(int):
        box = np.s_[y - 8 : y + 9, x - 8 : x + 9]
        amplitude = np.sum(warped[box] * expected[box]) / np.sum(expected[box] ** 2)
        assert amplitude == pytest.approx(1, abs=tolerance)
        assert np.abs(warped[box] - expected[box]).max() < 8 * tolerance * expected[box].max()


def test_a_change_of_pixel_scale_keeps_the_flux():
    target, source = tangent_wcs((150, 150), scale=0.3), tangent_wcs((200, 200), scale=0.2)
    mapping = pixel_map(target, (150, 150), source, (200, 200))
    middle = np.array([[100.3, 99.8]])
    star = render((200, 200), MoffatPSF(5.0, half=40), middle, 1e4)
    warped = warp(star, mapping, (150, 150))
    assert warped.sum() == pytest.approx(star.sum(), rel=0.002)
    assert warp_variance(np.ones((200, 200)), mapping, (150, 150))[75, 75] == pytest.approx(1.5**2, rel=0.01)


def test_the_noise_before_resampling_is_what_a_matched_filter_sees_after_it():
    rng = np.random.default_rng(3)
    shape = (600, 600)
    mapping = pixel_map(tangent_wcs(shape), shape, tangent_wcs(shape, rotation=0.03))
    warped = warp(rng.normal(0, 1, shape), mapping, shape)
    inner = warp_valid(mapping, shape, margin=12)
    kernel = MoffatPSF(3.4, half=8).stamp(0, 0)
    filtered = ndimage.convolve(warped, kernel.astype(np.float32)) / np.sqrt(np.sum(kernel**2))
    assert filtered[inner].std() == pytest.approx(1, abs=0.015)
    assert warped[inner].std() < 0.95


def test_flags_follow_their_pixels_bit_by_bit_and_grow_by_one():
    shape = (60, 60)
    mapping = pixel_map(tangent_wcs(shape), shape, tangent_wcs(shape, ra=150 + 10.5 * 0.26 / 3600))
    flags = np.zeros(shape, np.uint16)
    flags[30, 40] = 4
    flags[10, 20] = 256 | 1
    moved = warp_flags(flags, mapping, shape)
    u, v = mapping.at(*np.indices(shape)[::-1])
    for (y, x), bits in (((30, 40), 4), ((10, 20), 257)):
        near = np.hypot(u - x, v - y)
        assert (moved[near < 1] == bits).all()
        assert (moved[(near > 3.5) & (near < 8)] == 0).all()
    assert set(np.unique(moved)) == {0, 4, 257}


def test_what_lies_outside_the_source_is_not_valid_and_zero():
    shape = (80, 80)
    mapping = pixel_map(tangent_wcs(shape), shape, tangent_wcs(shape, ra=150 - 30 * 0.26 / 3600))
    valid = warp_valid(mapping, shape)
    u, v = mapping.at(*np.indices(shape)[::-1])
    assert np.array_equal(valid, (u >= 0) & (u <= 79) & (v >= 0) & (v <= 79))
    assert 0.5 < valid.mean() < 0.7
    warped = warp(np.ones(shape), mapping, shape)
    assert (warped[(u < -0.51) | (u > 79.51)] == 0).all()
    assert np.allclose(warped[valid], 1, atol=1e-3)


def test_values_that_are_not_finite_must_be_filled_first():
    mapping = pixel_map(tangent_wcs(), SHAPE, tangent_wcs(rotation=0.01))
    data = np.ones(SHAPE, np.float32)
    data[200, 100] = np.nan
    with pytest.raises(BadInput, match="fill"):
        warp(data, mapping, SHAPE)
    assert np.allclose(warp(fill(data, np.isnan(data)), mapping, SHAPE)[5:-5, 5:-5], 1, atol=1e-3)


def test_the_mapped_psf_is_the_psf_of_the_warped_image():
    shape = (101, 101)
    target, source = tangent_wcs(shape, scale=0.28), tangent_wcs((130, 130), rotation=2.5, scale=0.25)
    mapping = pixel_map(target, shape, source, (130, 130))
    psf = MoffatPSF(4.0, half=20, ellipticity=0.15)
    star = render((130, 130), psf, np.transpose(mapping.at(*np.array([[50.0], [50.0]]))), 1.0)
    warped = warp(star, mapping, shape)
    stamp = MappedPSF(psf, mapping).stamp(50, 50)
    half = stamp.shape[0] // 2
    assert half == 18
    assert stamp.sum() == pytest.approx(1)
    cut = warped[50 - half : 51 + half, 50 - half : 51 + half]
    assert np.abs(stamp - cut).max() < 0.005 * stamp.max()


def test_filling_continues_what_lies_around_a_hole():
    y, x = np.indices((50, 60))
    data = (3 * x + 2 * y).astype(np.float32)
    mask = np.zeros(data.shape, bool)
    mask[20, 30] = mask[:, 45] = True
    broken = np.where(mask, np.nan, data)
    filled = fill(broken, mask)
    assert np.allclose(filled, data, atol=1e-3)
    # Far inside a gap there is nothing to continue.
    empty = np.ones((200, 200), bool)
    empty[:5] = False
    assert fill(np.ones((200, 200)), empty, background=7)[100, 100] == 7
