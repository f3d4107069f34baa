"""The kernel of free pixels: its normal equations, its shape, its sum, its stars, and what it needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from processing.algorithms.subtraction.alard_lupton import AlardLupton
from processing.algorithms.subtraction.base import Epoch
from processing.algorithms.subtraction.delta_basis import Functions, NormalEquations, Windows, monomials
from processing.algorithms.subtraction.sfft import Sfft
from processing.algorithms.subtraction.stars import compare
from processing.errors import NotEnoughStars
from tests.algorithms.pairs import (
    MoffatPSF,
    Pair,
    PairSky,
    noise_pair,
    peaks,
    render,
    simulate_pair,
    star_distance,
    value_at,
)
from tests.algorithms.test_alard_lupton import replace_roles

SIZE = 512


@pytest.fixture(scope="module")
def pair() -> Pair:
    return simulate_pair(PairSky(size=SIZE, stars=150, seed=21))


def epochs(
    sharp: np.ndarray, target: np.ndarray, fwhms: tuple[float, float], noise: float = 1.0
) -> tuple[Epoch, Epoch]:
    """Two images with white noise of variance `noise`^2, whatever is in them."""
    blank = np.zeros(sharp.shape, bool)
    variance = np.full(sharp.shape, noise**2, np.float32)
    return tuple(
        Epoch(data.astype(np.float32), variance, blank, MoffatPSF(fwhm), noise, 25.0, fwhm)
        for data, fwhm in zip((sharp, target), fwhms)
    )


def lattice(size: int, step: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 2) and fluxes of stars that do not touch each other."""
    rng = np.random.default_rng(seed)
    at = np.array([(x, y) for y in range(30, size - 29, step) for x in range(30, size - 29, step)], float)
    return at + rng.uniform(-4, 4, at.shape), 10 ** rng.uniform(4, 5, len(at))


def crooked(half: int, lean: float = 0.0) -> np.ndarray:
    """A kernel without any symmetry; its sum is 1 whatever `lean`."""
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    blobs = [(0, 0, 1.0, 1.0), (2.5 + lean, 1.0, 0.8, 0.6), (-2.0, 3.0 - lean, 0.7, -0.2)]
    return sum(w * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 2 / s**2) / (2 * np.pi * s**2) / 1.4 for a, b, s, w in blobs)


def varied(sharp: np.ndarray, half: int, lean: float) -> np.ndarray:
    """`sharp` convolved with kernels between crooked(-lean) at the left and crooked(lean) at the right."""
    u = np.linspace(-1, 1, sharp.shape[1])
    left, right = (signal.fftconvolve(sharp, crooked(half, sign * lean), mode="same") for sign in (-1, 1))
    return left * (1 - u) / 2 + right * (1 + u) / 2


@pytest.mark.parametrize("background", [None, 1])
def test_the_normal_equations_are_those_of_the_design_matrix(background):
    """Every column made in real space: nothing wraps around, and no product is missing."""
    rng = np.random.default_rng(3)
    images = rng.normal(size=(2, 60, 60))
    sharp, target = epochs(*images, (1.5, 1.9))
    functions = Functions.of(1, 3)
    windows = Windows.cut(sharp, target, np.array([[20, 22], [38, 30], [25, 40]]), functions.half, 1.0)
    powers, levels = monomials(1), () if background is None else monomials(background)
    keep = np.array([True, True, False])
    matrix, right = NormalEquations(windows, keep, functions, powers, levels).assemble()
    expected, values = np.zeros(matrix.shape), np.zeros(len(right))
    reach = len(windows.taper) // 2
    kernels = functions.planes(np.eye(len(functions)))
    for n, (x, y) in enumerate([(20, 22), (38, 30)]):
        box = np.s_[y - reach : y + reach + 1, x - reach : x + reach + 1]
        window = windows.taper * windows.weight[n]
        inner, data = (np.pad(window * epoch.data[box], functions.half) for epoch in (sharp, target))
        made = [signal.convolve2d(inner, kernel, mode="same") for kernel in kernels]
        u, v = windows.x[n], windows.y[n]
        columns = [u**i * v**j * column for i, j in powers for column in made]
        columns += [u**i * v**j * np.pad(window, functions.half) for i, j in levels]
        design = np.array(columns).reshape(len(columns), -1)
        expected += design @ design.T
        values += design @ data.ravel()
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-10 * np.abs(expected).max())
    np.testing.assert_allclose(right, values, rtol=0, atol=1e-10 * np.abs(values).max())


def test_the_functions_of_a_kernel_cover_a_disk_and_sum_to_1_or_0():
    functions = Functions.of(4, 9)
    kernels = functions.planes(np.eye(len(functions)))
    assert kernels.shape == (69 + 5 * 5, 19, 19)  # pixels within 4.5 px of the middle, five rings
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), functions.sums, atol=1e-12)
    y, x = np.mgrid[-9:10, -9:10]
    with_sum = (kernels[functions.sums == 1] > 0).sum(axis=0)
    assert np.array_equal(with_sum, (np.hypot(y, x) <= 9.5).astype(int))
    assert (functions.dy[functions.dy.size // 2], functions.dx[functions.dy.size // 2]) == (0, 0)


def test_a_kernel_of_any_shape_is_recovered_pixel_by_pixel():
    at, flux = lattice(SIZE, 40, 1)
    sharp = render(SIZE, MoffatPSF(1.3, half=10), at, flux)  # hardly wider than a pixel: it hides nothing of the kernel
    target = 0.8 * signal.fftconvolve(sharp, crooked(6), mode="same")
    rng = np.random.default_rng(2)
    pair = epochs(sharp, target + rng.normal(0, 1, sharp.shape), (1.3, 3.0))
    kernel = Sfft().fit(*pair, at, 0.8)
    assert kernel.total == pytest.approx(0.8, rel=2e-3)
    assert kernel.planes.shape == (6, 25, 25)
    assert np.abs(kernel.planes[0] - 0.8 * crooked(12)).max() < 0.01 * crooked(12).max()


def test_what_gaussians_cannot_be_made_into_is_subtracted_all_the_same():
    at, flux = lattice(SIZE, 40, 3)
    sharp = render(SIZE, MoffatPSF(2.4), at, flux)
    target = signal.fftconvolve(sharp, crooked(7), mode="same")
    noise, rng = 5.0, np.random.default_rng(4)
    pair = epochs(sharp, target + rng.normal(0, noise, sharp.shape), (2.4, 4.0), noise)
    left = [
        np.sqrt(np.mean((pair[1].data - method.fit(*pair, at, 1.0).apply(pair[0].data))[40:-40, 40:-40] ** 2)) / noise
        for method in (Sfft(), AlardLupton())
    ]
    assert left[0] == pytest.approx(1, abs=0.02)
    assert left[1] > 1.5


def test_a_kernel_that_varies_over_the_image_is_recovered():
    at, flux = lattice(SIZE, 36, 5)
    sharp = render(SIZE, MoffatPSF(2.4), at, flux)
    target = varied(sharp, 7, 0.6)
    noise, rng = 5.0, np.random.default_rng(6)
    pair = epochs(sharp, target + rng.normal(0, noise, sharp.shape), (2.4, 4.0), noise)
    kernel = Sfft().fit(*pair, at, 1.0)
    for u in (-0.8, 0.0, 0.8):
        truth = crooked(16, -0.6) * (1 - u) / 2 + crooked(16, 0.6) * (1 + u) / 2
        middle = (SIZE - 1) / 2
        stamp = kernel.stamp(middle * (1 + u), middle)
        wrong = signal.fftconvolve(MoffatPSF(2.4).stamp(0, 0), stamp - truth, mode="same")
        right = signal.fftconvolve(MoffatPSF(2.4).stamp(0, 0), truth, mode="same")
        assert np.abs(wrong).max() < 0.01 * right.max()
        assert stamp.sum() == pytest.approx(kernel.total, abs=1e-9)
    still = Sfft(order=0).fit(*pair, at, 1.0)
    assert still.chi2 > 2 * kernel.chi2


def test_the_sum_of_the_kernel_may_vary_only_where_it_is_asked_to():
    at, flux = lattice(SIZE, 40, 7)
    sharp = render(SIZE, MoffatPSF(2.4), at, flux)
    slope = 1 + 0.06 * np.linspace(-1, 1, SIZE)
    target = signal.fftconvolve(sharp, crooked(7), mode="same") * slope
    pair = epochs(sharp, target + np.random.default_rng(8).normal(0, 1, sharp.shape), (2.4, 4.0))
    free, constant = Sfft(constant_ratio=False).fit(*pair, at, 1.0), Sfft().fit(*pair, at, 1.0)
    assert free.stamp(SIZE - 1, SIZE / 2).sum() == pytest.approx(1.06, abs=0.003)
    assert free.stamp(0, SIZE / 2).sum() == pytest.approx(0.94, abs=0.003)
    assert np.abs(constant.planes[1:].sum(axis=(1, 2))).max() < 1e-9
    assert constant.chi2 > 1.2 * free.chi2


def test_the_sum_of_the_kernel_is_the_flux_ratio(pair):
    found = Sfft()(pair.new, pair.reference, pair.stars)
    assert found.quality["kernel_sum"] == pytest.approx(1 / pair.sky.flux_ratio, rel=0.01)
    assert found.quality["kernel_sum_over_flux_ratio"] == pytest.approx(1, abs=0.007)
    assert found.quality["kernel_convolves_new"] == 0
    assert found.quality["kernel_stars"] >= 40


def test_the_sharper_image_is_convolved_and_the_other_one_where_that_fails(pair):
    found = Sfft()(*pair.swapped(), replace_roles(pair.stars))
    assert found.quality["kernel_convolves_new"] == 1
    assert found.quality["kernel_sum_over_flux_ratio"] == pytest.approx(1, abs=0.01)
    assert len(peaks(found, 5)) <= 1


def test_a_shift_of_all_stars_and_equal_seeing_are_no_difficulty():
    shifted = simulate_pair(PairSky(size=SIZE, stars=150, new_fwhm=3.6, ref_fwhm=3.6, shift=0.4, seed=21))
    found = Sfft()(shifted.new, shifted.reference, shifted.stars)
    assert len(peaks(found, 5)) <= 1
    assert found.quality["score_std"] == pytest.approx(1, abs=0.02)
    assert found.quality["score_std_bright"] < 1.3


def test_new_sources_do_not_bias_the_kernel():
    """As many as there are stars, some of them in windows: fluxes and sum stay what they are without them."""
    common = {"size": 1024, "stars": 250, "seed": 31}
    clean, full = (simulate_pair(PairSky(transients=n, **common)) for n in (0, 250))
    there, found = (Sfft()(pair.new, pair.reference, pair.stars) for pair in (clean, full))
    assert found.quality["kernel_sum"] == pytest.approx(there.quality["kernel_sum"], rel=0.003)
    flux = value_at(found.alpha, full.transients) / full.sky.transient_flux
    assert np.mean(flux) == pytest.approx(1, abs=0.005 + 2 * flux.std() / np.sqrt(len(flux)))
    bright = np.c_[full.stars.x, full.stars.y][full.stars.new_flux > 20_000]
    left = value_at(found.alpha, bright) / value_at(found.alpha_err, bright)
    assert abs(np.median(left)) < 0.5


@pytest.mark.parametrize("listed", [True, False], ids=["seen in the fluxes", "not seen in the fluxes"])
def test_variable_stars_do_not_enter_the_kernel(pair, listed):
    data, fluxes = pair.new.data.copy(), pair.stars.new_flux.copy()
    rows = np.argsort(-pair.stars.new_flux)[:6]
    data += render(SIZE, pair.new.psf, np.c_[pair.stars.x, pair.stars.y][rows], np.full(6, 30_000.0)).astype(np.float32)
    if listed:
        fluxes[rows] += 30_000.0
    clean = Sfft()(pair.new, pair.reference, pair.stars)
    dirty = Sfft()(replace(pair.new, data=data), pair.reference, replace(pair.stars, new_flux=fluxes))
    assert dirty.quality["kernel_sum"] == pytest.approx(clean.quality["kernel_sum"], rel=0.005)
    assert dirty.quality["kernel_stars"] <= clean.quality["kernel_stars"] - 6


def test_stars_whose_flux_changed_are_not_asked(pair):
    fluxes = pair.stars.new_flux.copy()
    bright = np.flatnonzero(pair.stars.new_flux > 10_000)
    fluxes[bright[:3]] *= 1.2
    comparison = compare(
        pair.stars, zero_points=(25.0, 25.0), fwhms=(4.2, 3.4), registration_floor=0.01, systematic=0.004
    )
    asked = [Sfft().usable(stars, comparison) for stars in (pair.stars, replace(pair.stars, new_flux=fluxes))]
    assert asked[0][bright].all()
    assert not asked[1][bright[:3]].any() and asked[1][bright[3:]].all()


def test_stars_with_a_hole_go_as_a_whole(pair):
    mask = np.zeros_like(pair.new.mask)
    for x, y in np.round(np.c_[pair.stars.x, pair.stars.y][::4]).astype(int):
        mask[y : y + 3, x - 2 : x + 1] = True
    clean = Sfft()(pair.new, pair.reference, pair.stars)
    holed = Sfft()(replace(pair.new, mask=mask), pair.reference, pair.stars)
    assert holed.quality["kernel_stars"] < 0.9 * clean.quality["kernel_stars"]
    assert holed.quality["kernel_sum"] == pytest.approx(1 / pair.sky.flux_ratio, rel=0.006)


def test_a_background_is_fitted_only_where_it_is_asked_for(pair):
    raised = replace(pair.new, data=pair.new.data + np.float32(3))
    free = star_distance(pair) > 20
    plain = Sfft()(pair.new, pair.reference, pair.stars)
    kept = Sfft()(raised, pair.reference, pair.stars)
    fitted = Sfft(background_order=0)(raised, pair.reference, pair.stars)
    free &= ~plain.mask
    shift = np.median((kept.alpha - plain.alpha)[free])
    assert shift > 50
    assert abs(np.median((fitted.alpha - plain.alpha)[free])) < 0.3 * shift


def test_too_few_stars_are_refused(pair):
    with pytest.raises(NotEnoughStars, match="matching kernel"):
        Sfft()(pair.new, pair.reference, None)
    four = replace(pair.stars, **{name: value[:4] for name, value in vars(pair.stars).items()})
    with pytest.raises(NotEnoughStars, match="matching kernel"):
        Sfft()(pair.new, pair.reference, four)
    nothing = noise_pair(256)
    with pytest.raises(NotEnoughStars, match="matching kernel"):
        Sfft()(nothing.new, nothing.reference, nothing.stars)


def test_images_without_noise_have_a_kernel_too():
    at, flux = lattice(300, 40, 9)
    sharp = render(300, MoffatPSF(3.0), at, flux)
    target = render(300, MoffatPSF(4.0), at, flux)
    pair = epochs(sharp, target, (3.0, 4.0))
    kernel = Sfft(order=0).fit(*pair, at, 1.0)
    assert np.isfinite(kernel.planes).all()
    left = (target - kernel.apply(pair[0].data))[30:-30, 30:-30]
    assert np.abs(left).max() < 0.01 * target.max()
