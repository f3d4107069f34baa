"""Images, headers and catalogues that are bad in every way, through extraction, astrometry and photometry.

Each ends in a typed error with figures or in products with badness; none in a solution that is wrong and confident.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.lib import recfunctions as rfn
from scipy.ndimage import binary_dilation

from processing.errors import BadInput, BadPixels, NoSolution, NotEnoughStars, StepError
from processing.instruments.demo import Demo
from processing.pipelines import AstroCal, Extraction, PhotoCal
from processing.providers import StarCatalog
from products.models import Badness, CoaddImage, Exposure, ScienceImage
from products.pixel_flags import PixelFlag
from tests.benchmarks._calibration_fields import MJD, CalibrationField, at_epoch, calibration_field

SMALL = {"shape": (512, 512), "fwhm": 3.0}
NOTHING_FOUND = Badness.FEW_SOURCES | Badness.PSF_FIT_FAILED


@dataclass
class Outcome:
    """How far a field came."""

    products: dict[str, Any] = field(default_factory=dict)
    error: StepError | None = None
    step: str = ""  # in which the error was raised
    warnings: list[str] = field(default_factory=list)

    def bits(self, *names: str) -> Badness:
        return Badness(sum(self.products[name].badness_own for name in names or self.products))


@pytest.fixture(scope="module")
def sky() -> CalibrationField:
    return calibration_field("ls4", 41, **SMALL)


def image_of(sky: CalibrationField, kind: type = ScienceImage, **changed: Any) -> ScienceImage | CoaddImage:
    planes = {name: changed.get(name, getattr(sky, name)) for name in ("data", "weight", "flags")}
    header = changed.get("header", sky.header)
    own = {"section": "1"}
    if kind is ScienceImage:
        own["exposure"] = Exposure(name="field", instrument="demo", mjd=MJD, exposure_time=60.0, filter="r")
    return kind(
        **planes, **own, width=planes["data"].shape[1], height=planes["data"].shape[0],
        wcs=header.tostring(sep="\n"), pixel_scale=sky.camera.scale, saturation=sky.camera.full_well, filter="r",
        instrument="demo", mjd=MJD, exposure_time=60.0, mjd_end=MJD + 60 / 86400,
    )  # fmt: skip


def calibrated(sky: CalibrationField, kind: type = ScienceImage, **changed: Any) -> Outcome:
    """The field, with other planes, header or catalogue, through the three steps."""
    image, found = image_of(sky, kind, **changed), Outcome()
    catalog = StarCatalog(changed.get("catalog", at_epoch(sky.catalog)), "simulated")
    for step, names in (
        (Extraction(injected=0), ("sources", "psf", "background")),
        (AstroCal(), ("world_coordinates",)),
        (PhotoCal(), ("zero_point",)),
    ):
        given = {"image": image, "catalog": catalog, "instrument": Demo(), **found.products}
        try:
            made = step.run(**{name: given[name] for name in step.inputs()})
        except StepError as error:
            found.error, found.step = error, step.name
            break
        found.products |= dict(zip(names, made if isinstance(made, tuple) else (made,)))
        found.warnings += step.warnings()
    ensure_honest(found, sky)
    return found


def ensure_honest(found: Outcome, sky: CalibrationField) -> None:
    """What ended in an error says so with figures in one line; what did not is right, or marked as bad."""
    if found.error is not None:
        line = str(found.error)
        assert any(c.isdigit() for c in line) and "\n" not in line and found.error.details, line
    if (solution := found.products.get("world_coordinates")) and not solution.badness_own:
        assert wcs_error(solution, sky) < 0.5
    if (zero_point := found.products.get("zero_point")) and not zero_point.badness_own:
        assert abs(zero_point.zp - sky.camera.zero_point) < 0.06 + 3 * zero_point.zp_error


def wcs_error(solution, sky: CalibrationField) -> float:
    """px, the largest on the image."""
    ny, nx = sky.data.shape
    x, y = (part.ravel() for part in np.meshgrid(np.linspace(0, nx - 1, 7), np.linspace(0, ny - 1, 7)))
    at = sky.frame.projection.pixels(*solution.wcs.all_pix2world(x, y, 0))
    return float(np.hypot(at[0] - x, at[1] - y).max())


def test_the_field_as_it_is_has_no_badness(sky):
    found = calibrated(sky)
    assert found.error is None and found.bits() == Badness(0) and found.warnings == []
    assert wcs_error(found.products["world_coordinates"], sky) < 0.1


# Catalogues --------------------------------------------------------------------------------------------------


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


def assert_says(found: Outcome, what: str) -> None:
    with pytest.raises(StepError, match=what):
        raise found.error


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


# Pixels ------------------------------------------------------------------------------------------------------


def noise(sky: CalibrationField, seed: int = 1, **more: Any) -> dict[str, np.ndarray]:
    """Planes of an image of empty sky."""
    data = np.random.default_rng(seed).normal(sky.camera.sky, sky.noise, sky.data.shape).astype(np.float32)
    weight = np.full(data.shape, 1 / sky.noise**2, np.float32)
    return {"data": data, "weight": weight, "flags": np.zeros(data.shape, np.uint16), **more}


@pytest.mark.parametrize("kind", [ScienceImage, CoaddImage])
@pytest.mark.parametrize("seed", range(3))
def test_pure_noise_has_badness_and_no_solution(kind, seed, sky):
    found = calibrated(sky, kind, **noise(sky, seed))
    assert found.bits("sources", "psf") == NOTHING_FOUND and found.bits("background") == Badness(0)
    assert found.products["background"].value == pytest.approx(sky.camera.sky, abs=0.05 * sky.noise)
    assert_says(found, r"detections of \d+ are usable, 8 needed .*exposed long enough")


def test_cosmic_rays_alone_build_no_psf_and_no_solution(sky):
    planes, rng = noise(sky), np.random.default_rng(2)
    y, x = rng.integers(2, 510, (2, 600))
    light = rng.pareto(1.5, 600) * 300 + 200
    planes["data"][y, x] += light
    planes["data"][y, x + rng.integers(-1, 2, 600)] += 0.7 * light
    found = calibrated(sky, **planes)
    assert found.products["sources"].n_sources > 300
    assert found.bits("psf") & Badness.PSF_FIT_FAILED and found.products["psf"].n_stars < 5
    assert_says(found, "stars match|usable")


def test_an_image_without_noise_or_with_a_gradient_alone_is_no_sky(sky):
    flat = calibrated(sky, data=np.full(sky.data.shape, 400, np.float32))
    assert (flat.step, type(flat.error)) == ("extraction", BadInput)
    assert_says(flat, "no noise, .* are from 400 to 400 .*gain and units right")
    slope = np.broadcast_to(np.linspace(100, 3000, 512, dtype=np.float32), (512, 512)).copy()
    assert_says(calibrated(sky, **noise(sky, data=slope)), "no noise, .*median 1550")


def test_a_gradient_under_the_stars_changes_nothing(sky):
    found = calibrated(sky, data=sky.data + np.linspace(100, 800, 512, dtype=np.float32))
    assert found.error is None and found.bits() == Badness(0)


def test_stars_that_are_all_saturated_give_no_psf_and_no_solution(sky):
    full = binary_dilation(sky.data > sky.camera.sky + 100, iterations=1)
    flags = np.where(full, int(PixelFlag.SATURATED), 0).astype(np.uint16)
    found = calibrated(sky, flags=flags)
    assert found.bits("psf") & Badness.PSF_FIT_FAILED
    assert_says(found, r"[0-7] detections of \d+ are usable, 8 needed \(.* \d\d+ saturated.*saturation level")
    whole = calibrated(sky, flags=np.full(flags.shape, int(PixelFlag.SATURATED), np.uint16))
    assert (whole.step, type(whole.error)) == ("extraction", BadPixels)
    assert_says(whole, "100% of the pixels .*saturation level")


@pytest.mark.parametrize("light", [150, 500])
def test_stars_that_are_cut_off_without_a_flag_give_no_confident_zero_point(light, sky):
    found = calibrated(sky, **noise(sky, data=np.minimum(sky.data, np.float32(sky.camera.sky + light))))
    assert found.error is not None or found.bits()


def test_a_crowd_to_confusion_is_marked_and_not_solved():
    crowd = calibration_field("ls4", 42, shape=(256, 256), fwhm=3.0, stars=1e6, galaxies=500.0)
    found = calibrated(crowd)
    assert found.bits("background") & Badness.CROWDED_BACKGROUND
    assert_says(found, "by chance")


def test_half_a_ccd_is_calibrated_as_the_whole_and_marked(sky):
    data, weight = sky.data.copy(), sky.weight.copy()
    data[:, :256] = np.nan
    told = calibrated(sky, data=data)
    count = int(np.count_nonzero(weight[:, :256] > 0))
    assert (told.step, type(told.error), told.error.details["count"]) == ("extraction", BadInput, count)
    assert_says(told, f"{count} pixels are no numbers; give them the weight 0 or the flag BAD")
    weight[:, :260] = 0
    found = calibrated(sky, data=data, weight=weight)
    assert found.error is None and found.bits() == Badness.MASKED
    assert "part of the pixels that is masked 0.50" in found.products["sources"].description


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_an_error_with_their_number(value, sky):
    weight = sky.weight.copy()
    weight[100:110] = value
    found = calibrated(sky, weight=weight)
    assert (found.step, type(found.error), found.error.details["count"]) == ("extraction", BadInput, 5120)


@pytest.mark.parametrize("part", [0.6, 0.9])
@pytest.mark.parametrize("is_random", [True, False])
def test_where_little_is_left_the_sky_is_that_of_what_is_left(part, is_random, sky):
    weight = sky.weight.copy()
    if is_random:
        weight[np.random.default_rng(1).uniform(size=weight.shape) < part] = 0
    else:
        weight[:, : int(part * 512)] = 0
    found = calibrated(sky, weight=weight)
    background = found.products["background"]
    assert background.value == pytest.approx(sky.camera.sky, abs=0.3 * sky.noise)
    assert background.noise == pytest.approx(sky.noise, rel=0.05)
    assert found.bits("sources") & Badness.MASKED


def test_stars_in_one_corner_are_no_solution_for_all_of_the_image(sky):
    planes = noise(sky)
    for name in planes:
        planes[name][:128, :128] = getattr(sky, name)[:128, :128]
    found = calibrated(sky, **planes)
    assert_says(found, "stars (that )?match")


@pytest.mark.parametrize("side", [40, 100])
def test_an_image_of_few_pixels_has_few_sources_and_says_so(side, sky):
    planes = {name: np.ascontiguousarray(getattr(sky, name)[:side, :side]) for name in ("data", "weight", "flags")}
    found = calibrated(sky, **planes)
    assert found.bits("psf") & Badness.PSF_FIT_FAILED
    assert_says(found, "8 needed|to trust it")
    tiny = calibrated(sky, **{name: plane[:6, :6] for name, plane in planes.items()})
    assert_says(tiny, "36 pixels, 64 are needed")


def test_a_pixel_without_bounds_makes_no_sources_around_it(sky):
    data = sky.data.copy()
    data[200, 200], data[300:310, 300:310] = 1e20, -1e20
    whole, found = calibrated(sky), calibrated(sky, data=data)
    counts = [one.products["sources"].n_sources for one in (whole, found)]
    assert found.error is None and counts[1] == pytest.approx(counts[0], abs=6)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_a_psf_of_a_few_wide_stars_is_right_or_marked(seed):
    """Where stars are so wide that hardly one stands alone."""
    calibrated(calibration_field("ls4", seed, shape=(512, 512), fwhm=10.0))
