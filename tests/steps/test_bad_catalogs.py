"""Catalogues and headers that are bad in every way: errors with figures, badness, or a solution that is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.lib import recfunctions as rfn

from processing.errors import BadInput, NoSolution, NotEnoughStars
from processing.instruments.demo import Demo
from processing.pipelines import AstroCal
from processing.providers import StarCatalog
from products.models import Badness
from tests.benchmarks._calibration_fields import CalibrationField, at_epoch
from tests.steps.bad_fields import assert_says, calibrated, image_of, small_field, wcs_error


@pytest.fixture(scope="module")
def sky() -> CalibrationField:
    return small_field()


def changed_stars(table: np.ndarray, **columns: Any) -> np.ndarray:
    table = table.copy()
    for name, values in columns.items():
        if name not in table.dtype.names:
            values = np.broadcast_to(values, len(table)).copy()
            table = rfn.append_fields(table, name, values, usemask=False)
        table[name] = values
    return table


def shuffled(table: np.ndarray) -> np.ndarray:
    """As many stars in as large a place, elsewhere."""
    rng = np.random.default_rng(3)
    return changed_stars(table, ra=rng.permutation(table["ra"]), dec=rng.permutation(table["dec"]))


def magnitudes(table: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    return changed_stars(table, **{f"mag_{band}": change(table[f"mag_{band}"]) for band in "gri"})


@pytest.mark.parametrize(
    ("spoil", "step", "kind", "what"),
    [
        (lambda stars: stars[:0], "astrocal", NoSolution, "0 catalogue stars of 0 .* 8 needed .*cover this place"),
        (lambda stars: stars[::500][:3], "astrocal", NoSolution, "3 catalogue stars of 3 "),
        (lambda stars: stars[:: len(stars) // 12], "astrocal", NoSolution, r"\d (catalogue stars|stars match).*8 needed"),
        (shuffled, "astrocal", NoSolution, "stars match, .* by chance"),
        (lambda stars: changed_stars(stars, dec=stars["dec"] + 40), "astrocal", NoSolution, "0 catalogue stars are near"),
        (lambda stars: changed_stars(stars, ra=np.nan), "astrocal", NoSolution, "0 catalogue stars, 8 of each needed"),
        (lambda stars: magnitudes(stars, lambda m: m * np.nan), "astrocal", NoSolution, "brighter than 21.5 mag in r"),
        (lambda stars: changed_stars(stars, is_star=False), "astrocal", NoSolution, "0 catalogue stars of 1"),
        (lambda stars: changed_stars(stars, is_variable=True), "photocal", NotEnoughStars, " 0 of 1... catalogue stars"),
        (lambda stars: changed_stars(stars, err_r=np.inf), "photocal", NotEnoughStars, "0 stars found, 5 needed"),
    ],
    ids=["empty", "3", "12", "elsewhere", "far", "no-place", "no-magnitude", "galaxies", "variable", "no-error"],
)  # fmt: skip
def test_a_catalogue_that_cannot_serve_is_an_error_that_says_why(spoil, step, kind, what, sky):
    found = calibrated(sky, catalog=spoil(at_epoch(sky.catalog)))
    assert (found.step, type(found.error)) == (step, kind)
    assert_says(found, what)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m + np.random.default_rng(1).normal(0, 0.3, len(m)),
        lambda m: np.random.default_rng(1).permutation(m),
        lambda m: np.full_like(m, 16),
    ],
    ids=["all-vary", "permuted", "all-the-same"],
)
def test_magnitudes_that_are_not_those_of_the_stars_give_a_bad_zero_point(change, sky):
    found = calibrated(sky, catalog=magnitudes(at_epoch(sky.catalog), change))
    assert found.bits("world_coordinates") == Badness(0)
    assert (
        found.bits("zero_point") & Badness.BIG_RESIDUALS
        and "scatter of bright stars" in found.products["zero_point"].description
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_stars_without_an_error_of_position_or_brightness_do_not_spoil_those_with_one(value, sky):
    stars = at_epoch(sky.catalog)
    half = np.arange(len(stars)) % 2 == 0
    some = {name: np.where(half, value, stars[name]) for name in ("position_error", "err_r")}
    whole, part = calibrated(sky), calibrated(sky, catalog=changed_stars(stars, **some))
    matched = [one.products["world_coordinates"].n_matches for one in (whole, part)]
    assert part.error is None and part.bits() == Badness(0) and 0.3 * matched[0] < matched[1] < 0.7 * matched[0]
    none = calibrated(sky, catalog=changed_stars(stars, position_error=value))
    assert none.products["world_coordinates"].n_matches == pytest.approx(matched[0], rel=0.05)


# Headers -----------------------------------------------------------------------------------------------------


def header_with(sky: CalibrationField, factor: float = 1.0, **cards: Any) -> fits.Header:
    header = sky.header.copy()
    for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        header[key] *= factor
    header.update(cards)
    return header


@pytest.mark.parametrize("factor", [0.7, 1.3, 2.0])
def test_a_pixel_scale_that_is_wrong_by_much_is_refused(factor, sky):
    found = calibrated(sky, header=header_with(sky, factor))
    assert found.step == "astrocal"
    assert_says(found, rf"by chance .*pixel scale \({factor:.3g} arcsec\) within 2%")


@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_a_pixel_scale_that_is_wrong_by_a_little_is_found_and_said(factor, sky):
    found = calibrated(sky, header=header_with(sky, factor))
    assert found.error is None and wcs_error(found.products["world_coordinates"], sky) < 0.1
    off = rf"pixel scale of the header, {factor:.4g} arcsec, is off by {factor - 1:+.1%}: the stars say 1"
    assert any(off in said for said in found.warnings)


def test_a_header_that_points_elsewhere_is_refused_or_put_right(sky):
    """Refused where the catalogue is that of the header's place; put right where it has the stars of the image."""
    header = header_with(sky, CRVAL2=sky.header["CRVAL2"] + 2)
    right = calibrated(sky, header=header)
    assert right.error is None and any("the WCS of the header is wrong" in said for said in right.warnings)
    stars = at_epoch(sky.catalog)
    wrong = calibrated(sky, header=header, catalog=changed_stars(shuffled(stars), dec=shuffled(stars)["dec"] + 2))
    assert wrong.step == "astrocal"
    assert_says(wrong, "position in the header right within 60 arcsec")


@pytest.mark.parametrize("header", [fits.Header(), fits.Header({"CRVAL1": 150.0, "CRVAL2": 2.0})])
def test_a_header_without_a_wcs_is_refused(header, sky):
    image = image_of(sky, header=header)
    sources = calibrated(sky).products["sources"]
    with pytest.raises(BadInput, match=r"no celestial coordinates .*CTYPE1"):
        AstroCal().run(
            image=image, sources=sources, catalog=StarCatalog(at_epoch(sky.catalog), "simulated"), instrument=Demo()
        )
