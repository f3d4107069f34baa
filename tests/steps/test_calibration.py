"""Extraction, astrometry and photometry of a CCD against the truth, and what they refuse."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from numpy.lib import recfunctions as rfn
from scipy.spatial import cKDTree

from processing.algorithms.horizon import Site, altitude
from processing.algorithms.psf_model import PSFModel
from processing.algorithms.simulation_render import inside, sources
from processing.errors import BadPixels, EmptyCatalog, NoSolution, NotEnoughStars, StepError
from processing.instruments.demo import Demo
from processing.pipelines import AstroCal, Extraction, PhotoCal
from processing.simulated_night import conditions_of, frame_of, sky_of
from tests.steps.night import NIGHT, SECTION


@pytest.fixture(scope="module")
def truth(ccd) -> np.ndarray:
    """Every source of the new image."""
    frame = frame_of(NIGHT, ccd.late, SECTION)
    found = sources(sky_of(NIGHT), frame, ccd.late.mjd)
    return inside(found[np.isfinite(found["mag"])], frame.shape)


def row_like(row, **changed):
    """A copy of an unsaved row with other planes or columns."""
    other = copy.copy(row)
    other.__dict__["_planes"] = dict(row.__dict__["_planes"])
    for name, value in changed.items():
        setattr(other, name, value)
    return other


def test_the_sky_and_its_noise_are_those_of_the_frame(ccd):
    background, frame = ccd.new["background"], frame_of(NIGHT, ccd.late, SECTION)
    assert background.value == pytest.approx(frame.sky, rel=0.01)
    assert background.noise == pytest.approx(np.sqrt(frame.sky + 25), rel=0.02)
    assert background.level.shape == background.rms.shape == NIGHT.shape


def test_the_psf_is_as_wide_as_the_seeing(ccd):
    """A pixel adds a twelfth of a square pixel along each axis."""
    seeing = conditions_of(NIGHT, ccd.late).seeing.fwhm
    wide = np.sqrt(seeing**2 + 8 * np.log(2) / 12)
    assert ccd.new["psf"].fwhm_pixels == pytest.approx(wide, rel=0.03)
    model = PSFModel.from_planes(ccd.new["psf"].planes, ccd.new["psf"].model_header)
    assert model.stamp(100, 100).sum() == pytest.approx(1, abs=1e-6)
    assert ccd.new["psf"].n_stars == ccd.new["sources"].n_stars >= 20


def test_psf_fluxes_are_those_of_the_stars(ccd, truth):
    table = ccd.new["sources"].table
    stars = truth[(truth["kind"] == "star") & (truth["flux"] > 10_000)]
    distance, row = cKDTree(np.c_[table["x"], table["y"]]).query(np.c_[stars["x"], stars["y"]])
    good = (distance < 1) & ~table["is_saturated"][row] & ~table["is_masked"][row] & (table["sep_flag"][row] == 0)
    assert good.sum() > 20
    ratio = table["flux_psf"][row[good]] / stars["flux"][good]
    assert np.median(ratio) == pytest.approx(1, abs=0.025)  # 26 stars give the PSF its wings, and neighbours add light
    assert np.median(np.abs(ratio - np.median(ratio))) < 0.02


def test_the_list_says_how_many_sources_and_stars_there_are(ccd):
    found = ccd.new["sources"]
    assert found.n_sources == len(found.table) > 100
    assert found.table["is_star"].sum() >= found.n_stars
    assert len(found.aperture_radii) == found.table["flux_aper"].shape[1]


@pytest.mark.parametrize(("asked", "given"), [(0, 0), (3, 3), (99, 4)])
def test_the_list_says_which_aperture_gave_the_flux(ccd, asked, given):
    found, _, _ = Extraction(detection={"best_aperture": asked}).run(image=ccd.new["image"])
    assert found.best_aperture == given
    np.testing.assert_array_equal(found.table["flux"], found.table["flux_aper"][:, given])


def test_an_image_without_a_good_pixel_is_refused(ccd):
    image = row_like(ccd.new["image"], weight=np.zeros(NIGHT.shape, np.float32))
    with pytest.raises(BadPixels):
        Extraction().run(image=image)


def test_an_image_of_noise_has_a_list_without_stars_and_a_psf_that_says_so(ccd):
    rng = np.random.default_rng(1)
    image = row_like(
        ccd.new["image"], data=rng.normal(500, 20, NIGHT.shape).astype(np.float32),
        weight=np.full(NIGHT.shape, 1 / 400, np.float32), flags=np.zeros(NIGHT.shape, np.uint16),
    )  # fmt: skip
    found, psf, background = Extraction().run(image=image)
    assert found.n_sources < 10 and found.n_stars == 0
    assert (psf.n_stars, psf.order) == (0, 0) and psf.fwhm_pixels > 1
    assert background.noise == pytest.approx(20, rel=0.02)


def test_the_wcs_puts_every_source_in_its_place(ccd, truth):
    wcs = ccd.new["world_coordinates"].wcs
    x, y = wcs.all_world2pix(truth["ra"], truth["dec"], 0)
    off = np.hypot(x - truth["x"], y - truth["y"])
    assert np.median(off) < 0.05
    assert off.max() < 0.3  # in the corners, where an order of 3 on a hundred stars is known least
    assert ccd.new["world_coordinates"].rms < 0.12  # arcsec, of stars of S/N > 10
    assert ccd.new["world_coordinates"].catalog == "survey"


def astrocal(ccd, catalog, step: AstroCal | None = None, **changed):
    given = {name: ccd.new[name] for name in ("image", "sources")} | changed
    return (step or AstroCal()).run(**given, catalog=catalog, instrument=Demo())


def test_stars_of_another_field_give_no_solution(ccd):
    catalog = ccd.catalog(ccd.late.mjd)
    table = catalog.table.copy()
    rng = np.random.default_rng(3)
    for name in ("ra", "dec"):
        table[name] = rng.permutation(table[name])
    with pytest.raises(NoSolution):
        astrocal(ccd, replace(catalog, table=table))


def test_without_stars_there_is_no_solution_and_the_numbers_are_told(ccd):
    catalog = ccd.catalog(ccd.late.mjd)
    for table in (catalog.table[:0], catalog.table[:3]):
        with pytest.raises(StepError) as caught:
            astrocal(ccd, replace(catalog, table=table))
        assert caught.value.details
    nothing = row_like(ccd.new["sources"], table=ccd.new["sources"].table[:0])
    with pytest.raises(StepError):
        astrocal(ccd, catalog, sources=nothing)


def test_only_stars_of_the_catalogue_count_for_astrometry(ccd):
    catalog = ccd.catalog(ccd.late.mjd)
    stars = replace(catalog, table=catalog.table[catalog.table["is_star"]])
    assert astrocal(ccd, stars).header == astrocal(ccd, catalog).header


def test_where_all_sources_are_saturated_or_too_faint_there_is_no_solution_and_it_says_so(ccd):
    table = ccd.new["sources"].table.copy()
    table["is_saturated"] = True
    with pytest.raises(
        NoSolution, match=rf"0 detections of {len(table)} are usable, .*{len(table)} saturated"
    ) as caught:
        astrocal(ccd, ccd.catalog(ccd.late.mjd), sources=row_like(ccd.new["sources"], table=table))
    assert caught.value.details == {**caught.value.details, "detections": 0, "sources": len(table)}
    with pytest.raises(NoSolution, match="fainter than S/N 1e"):
        astrocal(ccd, ccd.catalog(ccd.late.mjd), AstroCal(min_snr=1e6))


def test_a_solution_says_in_its_cards_how_far_it_can_be_trusted(ccd):
    cards = ccd.new["world_coordinates"].wcs_header
    assert cards["ASTKIND"] in ("polynomial", "radial")
    assert 0 < cards["ASTERR"] < cards["ASTMAXER"] < 0.3
    assert "ASTDCR" not in cards  # nobody knows where the demo telescope stands


def test_refraction_by_colour_is_fitted_low_in_the_sky(ccd, monkeypatch):
    """In an image in which there is none, within its error."""
    image = ccd.new["image"]
    sites = [Site(0.0, float(longitude), 0.0) for longitude in range(-180, 180, 10)]
    low = next(site for site in sites if 30 < altitude(image.ra, image.dec, image.mjd_middle, site) < 45)
    high = max(sites, key=lambda site: altitude(image.ra, image.dec, image.mjd_middle, site))
    monkeypatch.setattr(Demo, "site", low)
    found = astrocal(ccd, ccd.catalog(ccd.late.mjd)).wcs_header
    assert 0 < found["ASTDCRER"] < 0.1
    assert abs(found["ASTDCR"]) < 5 * found["ASTDCRER"]
    monkeypatch.setattr(Demo, "site", high)
    assert "ASTDCR" not in astrocal(ccd, ccd.catalog(ccd.late.mjd), AstroCal(refraction_airmass=3.0)).wcs_header


def test_stars_that_gaia_doubts_and_duplicates_are_left_out(ccd):
    catalog = ccd.catalog(ccd.late.mjd)
    table = rfn.append_fields(
        catalog.table, ["ruwe", "is_duplicate"],
        [np.where(np.arange(len(catalog.table)) % 4 == 0, 3.0, np.nan), np.arange(len(catalog.table)) % 4 == 1],
        usemask=False,
    )  # fmt: skip
    whole, half = (astrocal(ccd, replace(catalog, table=one)).n_matches for one in (catalog.table, table))
    assert 0.3 * whole < half < 0.7 * whole


def test_the_zero_point_is_that_of_the_night(ccd):
    zero_point, frame = ccd.new["zero_point"], frame_of(NIGHT, ccd.late, SECTION)
    assert zero_point.zp == pytest.approx(frame.zero_point, abs=0.02)
    assert zero_point.zp_error < 0.01 and zero_point.scatter < 0.03
    assert zero_point.n_stars >= 20
    assert abs(zero_point.color_term) < 0.05  # the camera has none


def test_the_limit_is_five_sigma_of_a_point_source_on_the_sky(ccd):
    zero_point, psf = ccd.new["zero_point"], ccd.new["psf"]
    stamp = PSFModel.from_planes(psf.planes, psf.model_header).stamp(256, 256)
    sigma = ccd.new["background"].noise / np.sqrt((stamp.astype(float) ** 2).sum())
    assert zero_point.limiting_magnitude == pytest.approx(zero_point.zp - 2.5 * np.log10(5 * sigma), abs=0.01)


def test_aperture_corrections_make_aperture_magnitudes_psf_magnitudes(ccd):
    zero_point, table = ccd.new["zero_point"], ccd.new["sources"].table
    stars = table[table["is_star"] & (table["flux_psf"] > 20_000)]
    for column, correction in enumerate(zero_point.aperture_corrections):
        corrected = -2.5 * np.log10(stars["flux_aper"][:, column]) + correction
        assert np.median(corrected + 2.5 * np.log10(stars["flux_psf"])) == pytest.approx(0, abs=0.03)


def photocal(ccd, catalog, step: PhotoCal | None = None, **changed):
    names = ("image", "sources", "psf", "background", "world_coordinates")
    given = {name: ccd.new[name] for name in names} | changed
    return (step or PhotoCal()).run(**given, catalog=catalog, instrument=Demo())


def test_a_catalogue_that_is_brighter_makes_the_zero_point_smaller(ccd):
    catalog = ccd.catalog(ccd.late.mjd)
    table = catalog.table.copy()
    table["mag_r"] -= 0.5
    table["mag_g"] -= 0.5
    shifted = photocal(ccd, replace(catalog, table=table))
    assert shifted.zp == pytest.approx(ccd.new["zero_point"].zp - 0.5, abs=0.01)


def test_too_few_stars_give_no_zero_point(ccd):
    catalog = ccd.catalog(ccd.late.mjd)
    for table in (catalog.table[:0], catalog.table[catalog.table["is_star"]][:2]):
        with pytest.raises(NotEnoughStars) as caught:
            photocal(ccd, replace(catalog, table=table))
        assert caught.value.details["needed"] == 5


def test_a_catalogue_without_the_filter_is_refused_with_those_that_it_has(ccd):
    image = row_like(ccd.new["image"], filter="z")
    with pytest.raises(EmptyCatalog, match="g, r, i"):
        photocal(ccd, ccd.catalog(ccd.late.mjd), image=image)
