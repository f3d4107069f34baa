"""The fitted kernel: its basis, its sum, its variation over the image, its direction, and what it needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from processing.algorithms.subtraction.alard_lupton import AlardLupton
from processing.algorithms.subtraction.matching_kernel import Basis, MatchingKernel, Stamps, fit_kernel
from processing.algorithms.subtraction.stars import compare
from processing.errors import NotEnoughStars
from tests.algorithms.pairs import MoffatPSF, PairSky, peaks, simulate_pair


@pytest.fixture(scope="module")
def pair():
    return simulate_pair(PairSky(size=512, stars=150, seed=21))


def test_only_the_first_function_of_the_basis_carries_flux():
    functions = Basis.of((4.2, 3.4), 10).functions()
    assert functions.shape == (27, 21, 21)
    assert np.allclose((functions**2).sum(axis=(1, 2)), 1)
    sums = functions.sum(axis=(1, 2))
    assert sums[0] > 1
    assert np.abs(sums[1:]).max() < 1e-10


def test_the_banded_convolution_is_a_convolution():
    basis = Basis.of((4.2, 3.4), 6)
    stamps = np.random.default_rng(1).normal(size=(2, 31, 31))
    found = basis.convolve(stamps)
    for n, function in enumerate(basis.functions()):
        assert np.allclose(found[1, n], signal.convolve2d(stamps[1], function, mode="valid"))


def test_the_sum_of_the_kernel_is_the_flux_ratio(pair):
    found = AlardLupton()(pair.new, pair.reference, pair.stars)
    assert found.quality["kernel_sum"] == pytest.approx(1 / pair.sky.flux_ratio, rel=0.015)
    assert found.quality["kernel_convolves_new"] == 0
    assert found.quality["kernel_stars"] >= 40


def test_the_sharper_image_is_the_one_that_is_convolved(pair):
    found = AlardLupton()(*pair.swapped(), replace_roles(pair.stars))
    assert found.quality["kernel_convolves_new"] == 1
    assert found.quality["kernel_sum_over_flux_ratio"] == pytest.approx(1, abs=0.015)
    assert len(peaks(found, 5)) <= 1


def test_a_common_shift_of_all_stars_is_taken_out():
    shifted = simulate_pair(PairSky(size=512, stars=150, shift=0.3, seed=21))
    found = AlardLupton()(shifted.new, shifted.reference, shifted.stars)
    assert len(peaks(found, 5)) <= 1
    assert found.quality["registration_x"] < 0.05


def test_a_wrong_psf_of_the_reference_does_not_matter(pair):
    wrong = replace(pair.reference, psf=MoffatPSF(5.0))
    there = AlardLupton()(pair.new, pair.reference, pair.stars)
    assert np.array_equal(AlardLupton()(pair.new, wrong, pair.stars).score, there.score)


def test_a_kernel_that_varies_over_the_image_is_recovered():
    def truth(u: float, v: float) -> np.ndarray:
        return kernel(1.2 + 0.2 * u - 0.1 * v * u, half)

    rng = np.random.default_rng(5)
    half, size = 10, 512
    basis = Basis.of((4.2, 3.4), half)
    x, y = rng.uniform(-0.9, 0.9, (2, 160))
    sharp = np.stack([MoffatPSF(3.4, 25).stamp(0, 0) * 1e5 for _ in x])
    target = np.stack([signal.convolve2d(s, truth(u, v), mode="valid") for s, u, v in zip(sharp, x, y)])
    noise = 20.0
    stamps = Stamps(x, y, sharp, rng.normal(target, noise), np.full(target.shape, noise**-2))
    found = fit_kernel(stamps, basis, 2, (size, size))
    assert isinstance(found, MatchingKernel)
    assert found.stars >= 140
    assert found.total == pytest.approx(1, abs=0.002)
    for u, v in ((0, 0), (0.8, 0.5), (-0.8, 0.8)):
        middle = (size - 1) / 2
        stamp = found.stamp(middle * (1 + u), middle * (1 + v))
        smeared = signal.convolve2d(sharp[0], stamp - truth(u, v), mode="valid")
        assert np.abs(smeared).max() < 0.01 * target.max()


def test_applying_the_kernel_is_a_position_dependent_convolution():
    rng = np.random.default_rng(6)
    image = rng.normal(size=(300, 280)).astype(np.float32)
    planes = np.stack([kernel(1.5, 10), kernel(1.0, 10) - kernel(2.0, 10)])
    found = MatchingKernel(planes, ((0, 0), (1, 0)), image.shape, 0, 1.0)
    x = np.linspace(-1, 1, 280)
    expected = sum(
        signal.convolve2d(image, plane, mode="same") * scale for plane, scale in zip(planes, (1, x[None, :]))
    )
    assert np.abs(found.apply(image) - expected).max() < 1e-4


def test_variable_stars_do_not_enter_the_kernel(pair):
    flux = 20_000.0
    data = pair.new.data.copy()
    bright = np.argsort(-pair.stars.new_flux)[:12]
    for x, y in np.round(np.c_[pair.stars.x, pair.stars.y][bright]).astype(int):
        stamp = pair.new.psf.stamp(x, y)
        h = stamp.shape[0] // 2
        data[y - h : y + h + 1, x - h : x + h + 1] += flux * stamp
    clean = AlardLupton()(pair.new, pair.reference, pair.stars)
    dirty = AlardLupton()(replace(pair.new, data=data), pair.reference, pair.stars)
    assert dirty.quality["kernel_sum"] == pytest.approx(clean.quality["kernel_sum"], rel=0.01)


def test_too_few_stars_are_refused(pair):
    with pytest.raises(NotEnoughStars, match="matching kernel"):
        AlardLupton()(pair.new, pair.reference, None)
    three = replace(pair.stars, **{name: value[:3] for name, value in vars(pair.stars).items()})
    with pytest.raises(NotEnoughStars, match="matching kernel"):
        AlardLupton()(pair.new, pair.reference, three)


def replace_roles(stars):
    return replace(
        stars,
        new_flux=stars.ref_flux,
        new_flux_err=stars.ref_flux_err,
        ref_flux=stars.new_flux,
        ref_flux_err=stars.new_flux_err,
        dx=-stars.dx,
        dy=-stars.dy,
    )


def kernel(sigma: float, half: int) -> np.ndarray:
    u = np.arange(-half, half + 1)
    gauss = np.exp(-(u**2) / 2 / sigma**2)
    return np.outer(gauss, gauss) / gauss.sum() ** 2


def test_the_kernel_reaches_into_the_wings_of_bright_stars():
    """A profile that is broader by a quarter has 2.6 times the light far out, which bright stars show at 3 FWHM."""
    pair = simulate_pair(PairSky(size=512, stars=150, new_fwhm=4.2, ref_fwhm=3.3, brightest=3e5, seed=3))
    method = AlardLupton()
    comparison = compare(
        pair.stars, zero_points=(25.0, 25.0), fwhms=(4.2, 3.3), registration_floor=0.01, systematic=0.004
    )
    kernel = method.match(pair.new, pair.reference, comparison, pair.stars).kernel.stamp(256, 256)
    half = 25
    wide, sharp = (MoffatPSF(fwhm, half=half).stamp(0, 0) for fwhm in (4.2, 3.3))
    made = signal.convolve2d(sharp, kernel / kernel.sum(), mode="same")
    radius = np.hypot(*np.mgrid[-half : half + 1, -half : half + 1])
    ring = (radius > 11) & (radius < 15)
    assert abs(made[ring].sum() / wide[ring].sum() - 1) < 0.15
    assert sharp[ring].sum() / wide[ring].sum() < 0.5


def test_noise_of_faint_stars_does_not_smear_the_kernel():
    rng = np.random.default_rng(5)
    half, wide, count, noise = 10, 25, 80, 20.0
    offset = np.arange(-wide, wide + 1)
    star = np.exp(-(offset**2 + offset[:, None] ** 2) / (2 * 1.2**2))
    flux = np.geomspace(30, 300, count) * noise / np.sqrt((star**2).sum())
    sharp, target = (flux[:, None, None] * star + rng.normal(0, noise, (count, *star.shape)) for _ in range(2))
    core = np.s_[:, half:-half, half:-half]
    stamps = Stamps(*rng.uniform(-1, 1, (2, count)), sharp, target[core], np.full(target[core].shape, noise**-2 / 2))
    basis, middle = Basis.of((2.8, 2.83), half), slice(wide - half, wide + half + 1)
    peaks = [
        (fit_kernel(each, basis, 0, (512, 512)).stamp(256, 256) * star[middle, middle]).sum() / star.max()
        for each in (stamps, stamps.narrowed(2.83))
    ]
    assert peaks[0] < 0.93
    assert peaks[1] == pytest.approx(1, abs=0.03)


def test_far_wings_are_matched_where_enough_bright_stars_show_them():
    rng = np.random.default_rng(6)
    half, wide, noise = 17, 32, 5.0
    radius2 = np.add.outer(*[np.arange(-wide, wide + 1) ** 2] * 2)
    star, halo = (np.exp(-radius2 / (2 * sigma**2)) / (2 * np.pi * sigma**2) for sigma in (1.4, 6.0))
    core = np.s_[:, half:-half, half:-half]

    def stamps_of(flux):
        sharp, target = (
            flux[:, None, None] * shape + rng.normal(0, noise, (len(flux), *star.shape))
            for shape in (star, 0.98 * star + 0.02 * halo)
        )
        weight = 1 / (2 * noise**2 + (0.005 * np.maximum(target[core], 0)) ** 2)
        return Stamps(*rng.uniform(-1, 1, (2, len(flux))), sharp, target[core], weight)

    bright = stamps_of(np.geomspace(2e5, 2e6, 40))
    assert bright.show_wings(3.3) and not stamps_of(np.geomspace(1e3, 1e4, 40)).show_wings(3.3)
    ring = (radius2[core[1:]] > 12**2) & (radius2[core[1:]] < 15**2)
    left = []
    for far_wings in (False, True):
        basis = Basis.of((3.3, 3.4), half, far_wings=far_wings)
        kernel = fit_kernel(bright.narrowed(3.4), basis, 1, (512, 512)).stamp(256, 256)
        model = signal.fftconvolve(star, kernel, mode="same")
        left.append(np.abs((0.98 * star + 0.02 * halo - model)[core[1:]][ring]).mean())
    assert left[1] < 0.3 * left[0]
