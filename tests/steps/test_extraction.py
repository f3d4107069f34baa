"""Extraction of one image: columns, flags, depth; and images that are bad in every way end in an error or are marked."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.psf_model import PSFModel
from processing.errors import BadInput, BadPixels
from processing.steps.extraction import Extraction
from products.models import Badness, ScienceImage
from products.pixel_flags import PixelFlag
from products.source_flags import DESCRIPTIONS, SourceFlag
from tests.algorithms.starfields import Field, Sky, simulate

SHAPE = (512, 512)
FULL_WELL = 60_000.0


@pytest.fixture(scope="module")
def field() -> Field:
    return simulate(Sky(shape=SHAPE, fwhm=3.0, stars=220, faintest=250.0, galaxies=15, seed=31))


def image_of(data: np.ndarray, weight: np.ndarray | None = None, flags: np.ndarray | None = None) -> ScienceImage:
    weight = 1 / np.maximum(data, 35).astype(np.float32) if weight is None else weight
    flags = np.zeros(data.shape, np.uint16) if flags is None else flags
    return ScienceImage(
        data=data, weight=weight, flags=flags, width=data.shape[1], height=data.shape[0], saturation=FULL_WELL,
        section="1", mjd=60000.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def products(field):
    return Extraction().run(image=image_of(field.data))


def bits(products) -> Badness:
    """Of the three products together."""
    return Badness(sum(product.badness_own for product in products))


def test_a_good_image_has_no_badness_and_its_stars_are_stars(products, field):
    sources, psf, _ = products
    assert bits(products) == Badness(0)
    table = sources.table
    at = np.hypot(table["x"][:, None] - field.x, table["y"][:, None] - field.y).min(axis=1) < 1
    to_galaxy = [np.hypot(table["x"] - x, table["y"] - y) for x, y in field.galaxies]
    near_galaxy = np.min(to_galaxy, axis=0)
    bright = table["snr"] > 25
    single = (table["flags"] & int(SourceFlag.BLENDED)) == 0
    assert np.mean(table["p_star"][bright & single & at] > 0.5) > 0.9
    galaxies = bright & (near_galaxy < 1) & ~at
    assert galaxies.sum() >= 5
    assert np.mean(table["p_star"][galaxies] < 0.5) > 0.8
    assert psf.n_stars > 20


def test_the_limit_is_that_of_noise_and_of_sources_that_were_put_in(products):
    header = products[1].model_header
    assert header["LIMCOUNT"] >= 100
    assert header["LIMFORCE"] == pytest.approx(header["LIMNOISE"], rel=3 / np.sqrt(2 * header["LIMCOUNT"]) + 0.05)
    assert abs(2.5 * np.log10(header["LIMFOUND"] / header["LIMNOISE"])) < 0.25
    again = PSFModel.from_planes(products[1].planes, header)
    assert again.n_stars == products[1].n_stars


def test_flags_say_what_the_columns_say(products, field):
    table = products[0].table
    assert set(DESCRIPTIONS) == set(SourceFlag)
    has = {flag: (table["flags"] & int(flag)) != 0 for flag in SourceFlag}
    np.testing.assert_array_equal(has[SourceFlag.PSF_STAR], table["is_star"])
    np.testing.assert_array_equal(has[SourceFlag.NOT_FITTED], table["flux_psf_err"] == 0)
    np.testing.assert_array_equal(has[SourceFlag.BLENDED], (table["sep_flag"] & 1) != 0)
    np.testing.assert_array_equal(has[SourceFlag.NO_SHAPE], table["fwhm"] == 0)
    faint = table["snr"] < Extraction().parameters.psf_photometry_snr
    assert has[SourceFlag.NOT_FITTED][faint].all() and np.all(table["p_star"][faint] == 0.5)
    assert SourceFlag(3).label == "blended, truncated"


def test_saturated_and_masked_sources_carry_their_flags(field):
    flags = np.zeros(SHAPE, np.uint16)
    inner = np.flatnonzero((np.minimum(field.x, field.y) > 30) & (np.maximum(field.x, field.y) < 480))
    full, hit = inner[np.argsort(-field.flux[inner])[:2]]
    for k, flag in ((full, PixelFlag.SATURATED), (hit, PixelFlag.BAD)):
        flags[round(field.y[k]), round(field.x[k])] = int(flag)
    table = Extraction(injected=0).run(image=image_of(field.data, flags=flags))[0].table
    for k, flag in ((full, SourceFlag.SATURATED), (hit, SourceFlag.MASKED)):
        row = np.argmin(np.hypot(table["x"] - field.x[k], table["y"] - field.y[k]))
        assert table["flags"][row] & int(flag) and not table["is_star"][row]


def test_pure_noise_has_few_sources_and_no_psf_of_its_own():
    noise = np.random.default_rng(1).normal(200, 14, SHAPE).astype(np.float32)
    products = Extraction().run(image=image_of(noise))
    assert bits(products) == Badness.FEW_SOURCES | Badness.PSF_FIT_FAILED
    assert products[0].n_sources < 5 and products[1].n_stars == 0
    assert products[2].value == pytest.approx(200, abs=0.2)


def test_stars_that_are_all_saturated_build_no_psf(field):
    flags = np.where(field.data > 400, int(PixelFlag.SATURATED), 0).astype(np.uint16)
    products = Extraction(injected=0).run(image=image_of(field.data, flags=flags))
    bright = products[0].table["peak"] > 400
    assert bright.sum() >= 20 and products[0].table["is_saturated"][bright].all()
    assert not products[0].table["is_star"][bright].any()
    assert products[1].n_stars > 0 or bits(products) & Badness.PSF_FIT_FAILED


def test_half_a_ccd_gives_the_same_sky_and_sources_as_the_whole(products, field):
    weight = 1 / np.maximum(field.data, 35).astype(np.float32)
    weight[:, : SHAPE[1] // 2] = 0
    spoiled = np.where(weight > 0, field.data, np.float32(1e5))
    sources, psf, background = half = Extraction(injected=0).run(image=image_of(spoiled, weight))
    assert not bits(half) & ~Badness.PSF_FIT_FAILED
    assert background.value == pytest.approx(products[2].value, rel=0.01)
    assert sources.table["x"].min() > SHAPE[1] // 2 - 4
    inner = products[0].table["x"] > SHAPE[1] // 2 + 10
    assert sources.n_sources == pytest.approx(inner.sum(), rel=0.1)
    assert psf.fwhm_pixels == pytest.approx(products[1].fwhm_pixels, rel=0.03)


def test_a_crowd_to_confusion_is_marked():
    crowd = simulate(Sky(shape=(384, 384), fwhm=4.2, stars=6500, faintest=600.0, galaxies=0, seed=6))
    products = Extraction().run(image=image_of(crowd.data))
    assert bits(products) & Badness.CROWDED_BACKGROUND
    assert np.isfinite(products[2].level).all() and (products[2].rms > 0.5 * crowd.noise).all()
    strict = Extraction(gates={"max_crowding": 0.16}, injected=0).run(image=image_of(crowd.data))
    assert Badness(strict[0].badness_own) == Badness.MANY_SOURCES


def test_pixels_that_are_no_numbers_are_an_error_with_their_number_unless_they_are_masked(field):
    data, weight = field.data.copy(), 1 / np.maximum(field.data, 35).astype(np.float32)
    data[100:103, 200:210] = np.nan
    with pytest.raises(BadInput, match="30 pixels are no numbers") as error:
        Extraction().run(image=image_of(data, weight))
    assert error.value.details["count"] == 30
    weight[100:103, 200:210] = 0
    products = Extraction(injected=0).run(image=image_of(data, weight))
    assert np.isfinite(products[2].level).all()
    for name in ("x", "y", "flux", "flux_psf", "spread_model", "p_star"):
        assert np.isfinite(products[0].table[name]).all()


def test_an_image_without_a_usable_pixel_or_without_noise_is_an_error(field):
    with pytest.raises(BadPixels, match="background"):
        Extraction().run(image=image_of(field.data, np.zeros(SHAPE, np.float32)))
    with pytest.raises(BadInput, match="no noise"):
        Extraction().run(image=image_of(np.full(SHAPE, 100, np.float32)))
