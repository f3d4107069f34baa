"""What every instrument must do, and what each does with odd files."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from astropy.io import fits

from processing.algorithms.overscan import Amplifier
from processing.errors import BadInput, EmptyCatalog
from processing.instruments.base import Instrument
from processing.instruments.demo import RawCcd, RawFacts, write_raw
from processing.instruments.generic import Generic
from processing.instruments.sdss import Sdss, mask_planes
from products.pixel_flags import PixelFlag

SHAPE = (40, 60)


def wcs_header(**changes):
    header = fits.Header()
    for key, value in {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 30.0, "CRPIX2": 20.0,
        "CD1_1": -2e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 2e-4, **changes,
    }.items():  # fmt: skip
        header[key] = value
    return header


def image_file(path, **changes):
    """A single image with everything that `generic` needs; a keyword changed to None is left out."""
    header = wcs_header()
    for key, value in {
        "EXPTIME": 30.0, "FILTER": "r", "GAIN": 2.0, "SATURATE": 60000.0, "DATE-OBS": "2026-11-22T03:04:05", **changes,
    }.items():  # fmt: skip
        if value is not None:
            header[key] = value
        else:
            header.remove(key, ignore_missing=True)
    data = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    return path


def demo_file(path):
    ny, nx = SHAPE
    half, over = nx // 2, 4
    amplifiers = tuple(
        Amplifier(
            name, (slice(0, ny), a), (slice(0, ny), b), (slice(0, ny), c), gain=gain, read_noise=5.0, saturation=6e4
        )
        for name, a, b, c, gain in (
            ("A", slice(0, half), slice(half, half + over), slice(0, half), 1.5),
            ("B", slice(half + 2 * over, nx + 2 * over), slice(half + over, half + 2 * over), slice(half, nx), 1.7),
        )
    )
    data = np.random.default_rng(1).integers(900, 1100, (ny, nx + 2 * over)).astype(np.uint16)
    facts = RawFacts("raw1", "science", "g", 61000.25, 45.0, 150.0, 2.0, 1.1, zero_point=28.4)
    ccds = [RawCcd(name, data + k, amplifiers, wcs_header()) for k, name in enumerate(("N1", "N2"))]
    write_raw(path, facts, ccds)
    return data


def sdss_file(path, **changes):
    facts = {
        "FILTER": "r", "CAMCOL": 4, "SOFTBIAS": 1000, "TAI": 4665448596.13, "EXPTIME": "53.907456", "ALT": 56.0,
        "TELESCOP": "2.5m", "FLUX20": 2000.0,
    }  # fmt: skip
    header = wcs_header(**(facts | changes))
    fits.PrimaryHDU(np.full(SHAPE, 1100, np.uint16), header).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("name", Instrument.members())
def test_every_instrument_refuses_a_missing_a_truncated_and_a_foreign_file(name, tmp_path):
    camera = Instrument.member(name)()
    assert camera.__doc__.strip()
    whole = image_file(tmp_path / "whole.fits").read_bytes()
    (tmp_path / "cut.fits").write_bytes(whole[: len(whole) - 4000])
    (tmp_path / "cut.fits.gz").write_bytes(gzip.compress(whole)[:2000])
    (tmp_path / "text.fits").write_text("this is a letter, not an image\n" * 100)
    (tmp_path / "empty.fits").write_bytes(b"")
    fits.PrimaryHDU().writeto(tmp_path / "no_image.fits")
    for file, what in (
        ("missing.fits", "no such file"), ("cut.fits", "whole"), ("cut.fits.gz", "whole"), ("text.fits", "FITS"),
        ("empty.fits", "FITS"), ("no_image.fits", "image|INSTRUME"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=what) as caught:
            camera.read_exposure(tmp_path / file)
        assert file in str(caught.value)


def test_the_demo_camera_reads_what_was_written(tmp_path):
    data = demo_file(tmp_path / "raw1.fits")
    camera = Instrument.member("demo")()
    facts = camera.read_exposure(tmp_path / "raw1.fits")
    assert (facts.name, facts.kind, facts.filter, facts.mjd, facts.exposure_time) == (
        "raw1",
        "science",
        "g",
        61000.25,
        45,
    )
    assert [section.name for section in camera.sections(tmp_path / "raw1.fits", facts.header)] == ["N1", "N2"]
    raw = camera.read_section(tmp_path / "raw1.fits", {}, facts.header, "N2")
    np.testing.assert_array_equal(raw.data, data + 1)
    assert [a.gain for a in raw.amplifiers] == [1.5, 1.7]
    assert (facts.telescope, raw.zero_point) == ("SeeChange demo telescope", 28.4)
    assert raw.amplifiers[1].target == (slice(0, 40), slice(30, 60))
    assert raw.wcs["CRVAL1"] == 150.0
    with pytest.raises(BadInput, match="N1, N2"):
        camera.read_section(tmp_path / "raw1.fits", {}, facts.header, "N3")


def test_the_demo_camera_refuses_the_file_of_another(tmp_path):
    with pytest.raises(BadInput, match="another --instrument"):
        Instrument.member("demo")().read_exposure(image_file(tmp_path / "x.fits", INSTRUME="WFC"))


def test_generic_takes_what_the_header_says(tmp_path):
    path = image_file(tmp_path / "field_1.fits", AIRMASS=1.3, OBJECT="M 31", RDNOISE=4.0)
    facts = Generic().read_exposure(path)
    assert (facts.name, facts.filter, facts.exposure_time, facts.airmass, facts.target) == (
        "field_1",
        "r",
        30,
        1.3,
        "M 31",
    )
    assert facts.mjd == pytest.approx(61366.12783565, abs=1e-7)
    assert facts.ra == pytest.approx(150.0, abs=0.01)
    raw = Generic().read_section(path, {}, facts.header, "1")
    assert (raw.amplifiers[0].gain, raw.amplifiers[0].read_noise, raw.amplifiers[0].saturation) == (2.0, 4.0, 60000.0)
    assert raw.data[0, 5] == 5
    assert (facts.telescope, raw.zero_point) == ("", None)


@pytest.mark.parametrize(
    ("keywords", "options", "per_adu"),
    [
        ({"MAGZP": 27.5}, {}, 27.5), ({"MAGZERO": 26.0}, {}, 26.0), ({"MAGZP": 27.5}, {"zero_point": 25.0}, 25.0),
        ({"MAGZP": -99.0, "MAGZERO": 26.0}, {}, 26.0), ({"MAGZP": "unknown"}, {}, None), ({"MAGZP": 0.0}, {}, None),
    ],
)  # fmt: skip
def test_generic_takes_telescope_and_zero_point_where_the_header_has_them(keywords, options, per_adu, tmp_path):
    path = image_file(tmp_path / "x.fits", TELESCOP=" CTIO 4.0-m ", **keywords)
    facts = Generic(**options).read_exposure(path)
    assert facts.telescope == "CTIO 4.0-m"
    found = Generic(**options).read_section(path, {}, facts.header, "1").zero_point
    # A star of one ADU has as many electrons as the gain says.
    assert found == (None if per_adu is None else pytest.approx(per_adu + 2.5 * np.log10(2.0)))


@pytest.mark.parametrize(
    ("key", "value", "option"),
    [
        ("EXPTIME", None, "instrument.exposure_time"), ("EXPTIME", "long", "instrument.exposure_time"),
        ("EXPTIME", -1.0, "instrument.exposure_time"), ("FILTER", None, "instrument.filter"),
        ("GAIN", None, "instrument.gain"), ("GAIN", 0.0, "instrument.gain"), ("SATURATE", None, "instrument.saturation"),
        ("DATE-OBS", None, "instrument.mjd"), ("DATE-OBS", "yesterday", "instrument.mjd"),
        ("CTYPE1", None, "instrument.ra"),
    ],
)  # fmt: skip
def test_generic_names_the_missing_keyword_and_the_option_that_supplies_it(key, value, option, tmp_path):
    with pytest.raises(BadInput) as caught:
        Generic().read_exposure(image_file(tmp_path / "x.fits", **{key: value}))
    assert option in str(caught.value)
    assert key in str(caught.value) or key == "CTYPE1"


def test_generic_names_all_that_is_missing_at_once(tmp_path):
    with pytest.raises(BadInput) as caught:
        Generic(ra=10.0).read_exposure(image_file(tmp_path / "x.fits", GAIN=None, SATURATE=None, EXPTIME=None))
    text = str(caught.value)
    for option in ("gain=", "saturation=", "exposure_time=", "dec=DEG", "pixel_scale=ARCSEC"):
        assert f"--set instrument.{option}" in text
    assert "instrument.ra=" not in text and text.count("x.fits") == 1


def test_options_replace_missing_keywords(tmp_path):
    path = image_file(
        tmp_path / "x.fits", EXPTIME=None, FILTER=None, GAIN=None, SATURATE=None, CTYPE1=None, CTYPE2=None
    )
    camera = Generic(
        exposure_time=12.0, filter="g", gain=3.0, saturation=5e4, mjd=61000.0, ra=10.0, dec=-5.0, pixel_scale=0.5
    )
    facts = camera.read_exposure(path)
    assert (facts.exposure_time, facts.filter, facts.mjd) == (12.0, "g", 61000.0)
    assert (facts.ra, facts.dec) == (pytest.approx(10.0), pytest.approx(-5.0))
    raw = Generic().read_section(path, {}, facts.header, "1")  # what was given at ingestion is remembered
    assert raw.amplifiers[0].gain == 3.0
    assert abs(raw.wcs["CRVAL1"] - 10.0) < 1e-9


def test_generic_reads_every_image_of_a_multi_extension_file(tmp_path):
    primary = fits.PrimaryHDU()
    primary.header["EXPTIME"], primary.header["MJD-OBS"] = 30.0, 61000.0
    hdus = [primary]
    for k, band in enumerate(("g", "i")):
        header = wcs_header(CRVAL1=150.0 + k, FILTER=band, GAIN=1.0 + k, SATURATE=5e4)
        hdus.append(fits.CompImageHDU(np.full(SHAPE, 10.0 + k, np.float32), header, name=f"CCD {k}"))
    fits.HDUList(hdus).writeto(tmp_path / "mosaic.fits")
    facts = Generic().read_exposure(tmp_path / "mosaic.fits")
    assert list(facts.header["sections"]) == ["CCD_0", "CCD_1"]
    assert (facts.filter, facts.filters) == ("", {"CCD_0": "g", "CCD_1": "i"})
    raw = Generic().read_section(tmp_path / "mosaic.fits", {}, facts.header, "CCD_1")
    assert (raw.filter, raw.amplifiers[0].gain) == ("i", 2.0)
    assert np.all(raw.data == 11)


def test_weight_and_flags_beside_the_image_are_used(tmp_path):
    path = image_file(tmp_path / "x.fits")
    sigma = np.full(SHAPE, 4.0, np.float32)
    sigma[3, 4] = np.nan
    fits.PrimaryHDU(sigma).writeto(tmp_path / "x.rms.fits")
    flags = np.zeros(SHAPE, np.int16)
    flags[7, 8] = 64
    fits.PrimaryHDU(flags).writeto(tmp_path / "x.flags.fits")
    camera = Generic(weight_file="{name}.rms.fits", weight_kind="rms")
    facts = camera.read_exposure(path)
    assert set(facts.companions) == {"weight", "flags"}
    raw = camera.read_section(path, facts.companions, facts.header, "1")
    assert raw.weight[0, 0] == pytest.approx(1 / (4.0 * 2.0) ** 2)  # 4 ADU are 8 electrons
    assert raw.weight[3, 4] == 0
    assert raw.flags[7, 8] == PixelFlag.BAD
    assert raw.flags.sum() == PixelFlag.BAD
    fits.PrimaryHDU(sigma[:20]).writeto(tmp_path / "x.rms.fits", overwrite=True)
    with pytest.raises(BadInput, match="shape"):
        camera.read_section(path, facts.companions, facts.header, "1")
    with pytest.raises(BadInput, match=r"x.rms.fits: its shape"):  # before it is taken in
        camera.read_exposure(path)


def test_the_unit_of_the_pixels_says_what_the_gain_is(tmp_path):
    facts = Generic().read_exposure(image_file(tmp_path / "x.fits", GAIN=None, BUNIT="electrons"))
    assert facts.header["sections"]["1"]["gain"] == 1
    for rate in ("electron/s", "ADU s-1", "e-/sec", "electrons per second"):
        path = image_file(tmp_path / "x.fits", BUNIT=rate)
        with pytest.raises(BadInput, match=r"a rate.*times the exposure time with --set instrument.gain="):
            Generic().read_exposure(path)
        assert Generic(gain=60.0).read_exposure(path).header["sections"]["1"]["gain"] == 60


def test_pixels_that_are_not_finite_become_flags(tmp_path):
    path = image_file(tmp_path / "x.fits")
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[2, 3] = np.nan
    facts = Generic().read_exposure(path)
    raw = Generic().read_section(path, {}, facts.header, "1")
    assert np.isfinite(raw.data).all()
    assert raw.flags[2, 3] == PixelFlag.BAD


def test_sdss_reads_time_bias_and_masks(tmp_path):
    path = sdss_file(tmp_path / "fpC-006377-r4-0399.fit")
    spans = np.array([[5, 10, 12], [6, 11, 11]], ">i2").tobytes()
    columns = [fits.Column("s", "PB()", array=np.array([np.frombuffer(spans, np.uint8)], dtype=object))]
    empty = [fits.Column("s", "PB()", array=np.array([np.zeros(0, np.uint8)], dtype=object))]
    planes = [fits.BinTableHDU.from_columns(columns if k == 1 else empty) for k in range(10)]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(tmp_path / "fpM-006377-r4-0399.fit")
    facts = Sdss().read_exposure(path)
    assert facts.mjd == pytest.approx(4665448596.13 / 86400 - 33 / 86400, abs=1e-8)  # TAI − UTC was 33 s in 2006
    assert facts.exposure_time == pytest.approx(53.907456)
    assert set(facts.companions) == {"fpM"}
    raw = Sdss().read_section(path, facts.companions, facts.header, "r4")
    assert raw.pedestal == 1000
    assert facts.telescope == "SDSS 2.5m"
    assert raw.zero_point == pytest.approx(20 + 2.5 * np.log10(2000 * 4.76))
    assert raw.amplifiers[0].gain == pytest.approx(4.76)
    assert np.flatnonzero(raw.flags[5]).tolist() == [10, 11, 12]
    assert raw.flags[6, 11] == PixelFlag.SATURATED
    assert mask_planes(tmp_path / "fpM-006377-r4-0399.fit", SHAPE).sum() == 4 * PixelFlag.SATURATED


def test_sdss_refuses_an_unknown_filter(tmp_path):
    with pytest.raises(BadInput, match="u, g, r, i, z"):
        Sdss().read_exposure(sdss_file(tmp_path / "fpC-006377-r4-0399.fit", **{"FILTER": "Halpha"}))


def test_a_catalogue_without_the_filter_says_which_ones_it_has():
    stars = np.zeros(3, [("mag_g", "f4"), ("err_g", "f4"), ("mag_r", "f4"), ("err_r", "f4")])
    stars["mag_g"] = 17.5
    mag, _, color = Generic().catalog_magnitude(stars, "g")
    assert np.all(mag == 17.5)
    assert np.all(color == 17.5)
    assert np.all(np.isnan(Generic().catalog_magnitude(stars[["mag_g", "err_g"]], "g")[2]))  # no colour is not colour 0
    with pytest.raises(EmptyCatalog, match="g, r"):
        Generic().catalog_magnitude(stars, "H")
