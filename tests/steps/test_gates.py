"""Quality gates: what is beyond a limit gets badness and the reason, what is within passes, and nothing stops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from django.test import override_settings

from processing.errors import NotEnoughStars
from processing.gates import Gate, judge
from processing.pipelines import AstroCal, Extraction, PhotoCal
from products.models import Badness, ZeroPoint
from tests.instruments.test_clear_air import HEADER
from tests.steps.test_calibration import astrocal, photocal, row_like

CALIBRATION = ("sources", "psf", "background", "world_coordinates", "zero_point")


@pytest.mark.parametrize(
    ("gate", "reason"),
    [
        (Gate("seeing", 4.217, Badness.BAD_SEEING, most=3.5, unit="arcsec"), "seeing 4.217 arcsec is more than 3.5"),
        (Gate("stars", 3, Badness.FEW_SOURCES, least=5), "stars 3 is less than 5"),
        (Gate("seeing", 3.5, Badness.BAD_SEEING, most=3.5), ""),
        (Gate("seeing", 9.0, Badness.BAD_SEEING), ""),
        (Gate("seeing", None, Badness.BAD_SEEING, most=3.5), ""),
        (Gate("seeing", float("nan"), Badness.BAD_SEEING, most=3.5), ""),
    ],
)
def test_a_gate_says_what_is_beyond_it_with_the_figures(gate, reason):
    assert gate.reason == reason


def test_a_product_gets_the_bits_of_all_gates_that_it_does_not_pass():
    row = ZeroPoint(description="cloudy at dusk")
    failed = [Gate("scatter", 0.3, Badness.BIG_RESIDUALS, most=0.1), Gate("light lost", 2.0, Badness.CLOUDS, most=1.5)]
    passed = Gate("variation", 0.0, Badness.UNEVEN_ZERO_POINT, most=0.1)
    reasons = judge(row, [*failed, passed])
    assert row.badness_own == Badness.BIG_RESIDUALS | Badness.CLOUDS
    assert row.description == "cloudy at dusk; " + "; ".join(reasons) and len(reasons) == 2


def test_a_good_image_and_a_good_coadd_pass_every_gate_and_have_their_figures(ccd):
    made_of = ccd.made_of
    for products in (ccd.new, {name: getattr(made_of, name) for name in CALIBRATION}):
        for name in CALIBRATION:
            assert not products[name].badness and products[name].description == "", name
    counts = {key: value for name in CALIBRATION for key, value in ccd.new[name].counts().items()}
    assert 0.9 < counts["noise_excess"] < 1.1 and 0 < counts["ellipticity"] < 0.2
    assert counts["seeing_arcsec"] == pytest.approx(ccd.new["psf"].fwhm_pixels, abs=0.01)
    assert abs(counts["light_lost"]) < 0.2 and counts["zp_order"] == 0


def test_an_extraction_beyond_its_limits_is_kept_with_badness(ccd):
    limits = {
        "max_seeing": 1.0, "max_ellipticity": 1e-3, "min_stars": 1000, "min_sources": 10_000, "max_crowding": 1e-4,
        "max_masked": 1e-6, "max_sky_noise": 1.0, "max_noise_excess": None,
    }  # fmt: skip
    step = Extraction(gates=limits)
    sources, psf, background = step.run(image=ccd.new["image"])
    assert sources.badness_own == Badness.FEW_SOURCES | Badness.MANY_SOURCES | Badness.MASKED
    assert psf.badness_own == Badness.BAD_SEEING | Badness.ELONGATED | Badness.PSF_FIT_FAILED
    assert background.badness_own == Badness.BRIGHT_SKY
    for row in (sources, psf, background):
        assert row.badness_own & ~row.ALLOWED_BADNESS == 0
        assert row.description and all(part in step.warnings() for part in row.description.split("; "))


def test_an_image_of_noise_gets_badness(ccd):
    rng = np.random.default_rng(1)
    noise, shape = rng.normal(500, 20, ccd.new["image"].shape).astype(np.float32), ccd.new["image"].shape
    image = row_like(
        ccd.new["image"], data=noise, weight=np.full(shape, 1 / 400, np.float32), flags=np.zeros(shape, np.uint16)
    )
    sources, psf, _ = Extraction().run(image=image)
    assert sources.badness_own & Badness.FEW_SOURCES and psf.badness_own & Badness.PSF_FIT_FAILED


def test_a_solution_beyond_its_limits_is_kept_with_badness(ccd):
    step = AstroCal(gates={"max_residual": 1e-4, "min_matches": 5000})
    found = astrocal(ccd, ccd.catalog(ccd.late.mjd), step)
    assert found.badness_own == Badness.BIG_RESIDUALS | Badness.MATCH_FAILED
    assert "px is more than 0.0001" in found.description and found.description.split("; ")[0] in step.warnings()


def image_with_clear_zero_point(ccd, above: float | None):
    zero_point = None if above is None else ccd.new["zero_point"].zp + above
    return row_like(ccd.new["image"], zero_point_estimate=zero_point)


@pytest.mark.parametrize(
    ("above", "bits"),
    [(0.3, 0), (3.0, Badness.CLOUDS), (-3.0, Badness.MATCH_FAILED), (None, 0), (1.4, 0), (1.6, Badness.CLOUDS)],
)
def test_a_zero_point_far_from_that_of_clear_air_is_bad(ccd, above, bits):
    found = photocal(ccd, ccd.catalog(ccd.late.mjd), image=image_with_clear_zero_point(ccd, above))
    assert found.badness_own == bits
    assert found.quality.get("light_lost") == (None if above is None else pytest.approx(above, abs=0.01))
    if bits:
        assert f"{abs(above):g} mag is more than" in found.description


def test_a_gate_without_a_limit_lets_everything_pass(ccd):
    step = PhotoCal(gates={"max_light_lost": None})
    assert photocal(ccd, ccd.catalog(ccd.late.mjd), step, image=image_with_clear_zero_point(ccd, 5.0)).badness_own == 0


def test_a_coadd_has_no_weather(ccd):
    assert "light_lost" not in ccd.made_of.zero_point.quality


def with_table(ccd, **columns):
    table = ccd.new["sources"].table.copy()
    for name, values in columns.items():
        table[name] = values
    return row_like(ccd.new["sources"], table=table)


def test_a_zero_point_that_varies_over_the_image_is_measured_and_bad(ccd):
    table = ccd.new["sources"].table
    uneven = 10 ** (-0.4 * 0.3 * (table["x"] / 512 - 0.5))
    found = photocal(
        ccd, ccd.catalog(ccd.late.mjd),
        sources=with_table(ccd, flux_psf=table["flux_psf"] * uneven, flux_psf_err=table["flux_psf_err"] * uneven),
    )  # fmt: skip
    assert found.quality["zp_order"] == 1 and found.quality["zp_variation"] == pytest.approx(0.3, abs=0.05)
    assert found.badness_own & Badness.UNEVEN_ZERO_POINT and "variation of the zero point" in found.description
    even = photocal(ccd, ccd.catalog(ccd.late.mjd))
    assert found.scatter == pytest.approx(even.scatter, rel=0.2)
    x, y = np.meshgrid([20, 256, 490], [20, 256, 490])
    np.testing.assert_allclose(found.at(x, y) - even.zp, -0.3 * (x / 512 - 0.5), atol=0.02)
    assert np.ptp(even.at(x, y)) == 0


def test_a_psf_that_has_not_all_light_of_the_stars_is_noticed(ccd):
    table = ccd.new["sources"].table
    found = photocal(ccd, ccd.catalog(ccd.late.mjd), sources=with_table(ccd, flux_psf=0.85 * table["flux_psf"]))
    assert found.badness_own == Badness.BIG_RESIDUALS and "within 1.5 FWHM" in found.description
    good = ccd.new["zero_point"].quality["aperture_excess"]
    assert -0.12 < good < 0  # of Moffat profiles 6 % of the light is further out
    assert found.quality["aperture_excess"] == pytest.approx(good - 2.5 * np.log10(0.85), abs=0.01)


def test_a_zero_point_that_half_of_the_stars_contradict_is_bad(ccd):
    table = ccd.new["sources"].table
    rng = np.random.default_rng(1)
    wrong = np.where(rng.uniform(size=len(table)) < 0.45, 10 ** rng.uniform(1, 2.5, len(table)), 1)
    spoiled = {name: table[name] * wrong for name in ("flux_psf", "flux_psf_err")}
    spoiled["flux_aper"] = table["flux_aper"] * wrong[:, None]
    found = photocal(ccd, ccd.catalog(ccd.late.mjd), sources=with_table(ccd, **spoiled))
    assert found.badness_own & Badness.MATCH_FAILED and "part of the stars that agree" in found.description


def test_stars_of_unknown_colour_give_a_zero_point_without_colour_term(ccd):
    catalog = ccd.catalog(ccd.late.mjd)
    names = [name for name in catalog.table.dtype.names if name not in ("mag_g", "err_g", "mag_i", "err_i")]
    found = photocal(ccd, replace(catalog, table=np.ascontiguousarray(catalog.table[names])))
    assert found.color_term == 0 and found.zp == pytest.approx(ccd.new["zero_point"].zp, abs=0.02)


@pytest.mark.parametrize("column", ["is_saturated", "is_masked"])
def test_stars_that_are_all_saturated_or_masked_are_no_stars(ccd, column):
    with pytest.raises(NotEnoughStars) as caught:
        photocal(ccd, ccd.catalog(ccd.late.mjd), sources=with_table(ccd, **{column: True}))
    told = caught.value.details
    assert (told["found"], told["needed"], told["sources"], told["matched"]) == (0, 5, 0, 0)
    assert told["catalog_stars"] > 500
    assert f"0 of {ccd.new['sources'].n_sources} sources are single" in str(caught.value)


def test_variable_and_doubled_stars_of_the_catalogue_are_not_used(ccd):
    catalog = ccd.catalog(ccd.late.mjd)
    table = np.zeros(len(catalog.table), [*catalog.table.dtype.descr, ("is_variable", "?")])
    for name in catalog.table.dtype.names:
        table[name] = catalog.table[name]
    table["is_variable"] = True
    with pytest.raises(NotEnoughStars):
        photocal(ccd, replace(catalog, table=table))


def test_clear_air_is_known_from_a_table_where_the_file_does_not_tell(ccd, tmp_path):
    (tmp_path / "instruments").mkdir()
    image = image_with_clear_zero_point(ccd, None)
    clear = ccd.new["zero_point"].zp + 2.5 - 2.5 * np.log10(image.exposure_time) + 0.1 * (image.airmass - 1)
    table = HEADER + f'r,{clear},0.1,"one night"\n'
    (tmp_path / "instruments" / "sdss_zero_points_mine.ecsv").write_text(table)
    with override_settings(SEECHANGE_DATA=tmp_path):
        found = photocal(ccd, ccd.catalog(ccd.late.mjd), PhotoCal(photometry_table="mine"), image=image)
    assert found.badness_own == Badness.CLOUDS and found.quality["light_lost"] == pytest.approx(2.5, abs=0.01)
