"""Tiles: they cover the image once, their borders hold what filters reach, and their transforms are those of a plane."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from processing.algorithms.subtraction.tiling import Core, Tiling, Transforms, power, slopes
from tests.algorithms.pairs import MoffatPSF

SHAPES = [((300, 500), 256), ((97, 64), 128), ((1000, 130), 100)]


@pytest.mark.parametrize("shape, tile", SHAPES)
def test_cores_cover_every_pixel_once(shape, tile):
    tiling = Tiling.of(shape, tile, half=8)
    counts = np.zeros(shape, int)
    for _, _, rows, columns in tiling.cores():
        counts[rows, columns] += 1
        assert rows.stop - rows.start <= 1.5 * tile + 1
    np.testing.assert_array_equal(counts, 1)


@pytest.mark.parametrize("shape, tile", SHAPES)
def test_windows_hold_the_border_and_what_is_outside(shape, tile):
    rng, half = np.random.default_rng(1), 8
    plane = rng.normal(0, 1, shape).astype(np.float32)
    tiling = Tiling.of(shape, tile, half)
    wide = np.pad(plane, 2000, constant_values=-9)
    for _, _, rows, columns in tiling.cores():
        found = tiling.window(plane, (rows, columns), -9)
        assert found.shape == tiling.fft_shape
        top, left = rows.start - tiling.border + 2000, columns.start - tiling.border + 2000
        expected = wide[top : top + found.shape[0], left : left + found.shape[1]]
        np.testing.assert_array_equal(found, expected)
        assert found.shape[0] >= rows.stop - rows.start + 2 * tiling.border


def test_filtering_by_tiles_is_filtering_the_plane():
    psf = MoffatPSF(3.0, half=10).stamp(0, 0)
    plane = np.random.default_rng(2).normal(0, 1, (150, 210)).astype(np.float32)
    tiling = Tiling.of(plane.shape, 64, half=10)
    transforms, found = Transforms(tiling), np.zeros_like(plane)
    spectrum = transforms.spectrum(psf)
    for _, _, rows, columns in tiling.cores():
        core = Core(transforms, (rows.stop - rows.start, columns.stop - columns.start))
        found[rows, columns] = core.pixels(transforms.forward(tiling.window(plane, (rows, columns), 0)) * spectrum)
    np.testing.assert_allclose(found, ndimage.convolve(plane, psf, mode="constant"), atol=2e-6)


@pytest.fixture
def transforms() -> Transforms:
    return Transforms(Tiling.of((90, 110), 256, half=12))


def test_a_stamp_comes_back_from_its_spectrum_without_a_phase(transforms):
    psf = MoffatPSF(2.6, half=12, ellipticity=0.2).stamp(0, 0)
    spectrum = transforms.spectrum(psf)
    np.testing.assert_allclose(transforms.stamp(spectrum), psf, atol=1e-7)
    assert np.abs(spectrum.imag).max() < 1e-6  # a symmetric PSF on pixel [0, 0] is real
    assert spectrum[0, 0].real == pytest.approx(1, abs=1e-6)


def test_the_mean_over_the_half_plane_is_that_of_the_full_plane(transforms):
    psf = MoffatPSF(2.6, half=12).stamp(0, 0)
    # Parseval: the mean power is the sum of the squares.
    assert transforms.mean(power(transforms.spectrum(psf))) == pytest.approx((psf**2).sum(), rel=1e-5)


def test_the_spectrum_of_a_square_is_that_of_the_squared_kernel(transforms):
    psf = MoffatPSF(2.6, half=12).stamp(0, 0)
    np.testing.assert_allclose(transforms.squared(transforms.spectrum(psf)), transforms.spectrum(psf**2), atol=1e-7)


def test_slopes_are_derivatives_and_their_noise_is_known(transforms):
    ny, nx = 94, 114
    rows, columns = np.indices((ny, nx))
    cx, cy, width = nx / 2 + 0.3, ny / 2 - 0.2, 2.5
    blob = np.exp(-((columns - cx) ** 2 + (rows - cy) ** 2) / (2 * width**2)).astype(np.float32)
    along_x, along_y = slopes(blob)
    np.testing.assert_allclose(along_x, (-(columns - cx) / width**2 * blob)[2:-2, 2:-2], atol=2e-3)
    np.testing.assert_allclose(along_y, (-(rows - cy) / width**2 * blob)[2:-2, 2:-2], atol=2e-3)
    fy, fx = transforms.tiling.fft_shape
    wave = np.cos(2 * np.pi * (3 * np.arange(fx)[None, :] / fx + 5 * np.arange(fy)[:, None] / fy))
    for found, factor in zip(slopes(wave), (transforms.slope_x[3], transforms.slope_y[5, 0])):
        assert np.abs(found).max() == pytest.approx(factor, rel=2e-3)
