"""PTF: reduced images with their masks, one CCD a file or several."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from processing.algorithms.wcs_fit import wcs_from_header
from processing.errors import BadInput
from processing.instruments.ptf import DONE, Ptf
from products.pixel_flags import PixelFlag
from tests.instruments.test_instruments import wcs_header

SHAPE = (30, 20)
NAME = "PTF_201306163445_i_p_scie_t081605_u016406820_f02_p005137_c07.fits"
KEYWORDS = {
    "ORIGIN": "Palomar Transient Factory", "FILTER": "R", "UTC-OBS": "2013-06-16T08:16:05.5", "OBSMJD": 56459.9,
    "EXPTIME": 60.0, "AEXPTIME": 60.05, "GAIN": 1.6, "READNOI": 5.1, "SATURVAL": 55000.0, "IMAGEZPT": 22.5,
    "AIRMASS": 1.2, "PTFFIELD": 5137, "CCDID": 7,
}  # fmt: skip


def header_of(**changes):
    header = wcs_header(CRPIX1=10.5, CRPIX2=15.5)
    header.update({key: value for key, value in (KEYWORDS | changes).items() if value is not None})
    for key in (key for key, value in changes.items() if value is None):
        header.remove(key, ignore_missing=True)
    return header


def image_file(path, **changes):
    data = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    fits.PrimaryHDU(data, header_of(**changes)).writeto(path, overwrite=True)
    return path


def mask_file(path, bits, ccd=7, dtype=np.int16):
    mask = np.zeros(SHAPE, dtype)
    for (y, x), value in bits.items():
        mask[y, x] = value
    fits.PrimaryHDU(mask, fits.Header({"CCDID": ccd})).writeto(path)
    return path


def test_the_facts_of_an_image_of_one_ccd(tmp_path):
    facts = Ptf().read_exposure(image_file(tmp_path / NAME))
    assert (facts.name, facts.kind, facts.filter, facts.target) == (
        NAME.removesuffix(".fits"),
        "science",
        "R",
        "field 5137",
    )
    assert facts.mjd == pytest.approx(56459 + (8 * 3600 + 16 * 60 + 5.5) / 86400, abs=1e-8)
    assert (facts.exposure_time, facts.airmass, facts.project) == (60.05, 1.2, "PTF")
    assert (facts.ra, facts.dec) == (pytest.approx(150.0, abs=1e-3), pytest.approx(2.0, abs=1e-3))
    assert [section.name for section in Ptf().sections(tmp_path, facts.header)] == ["7"]
    assert facts.companions == {}
    assert tuple(facts.header["done"]) == DONE


def test_the_pixels_come_reduced_with_gain_and_zero_point_of_the_header(tmp_path):
    path = image_file(tmp_path / NAME)
    facts = Ptf().read_exposure(path)
    raw = Ptf().read_section(path, {}, facts.header, "7")
    amplifier = raw.amplifiers[0]
    assert (amplifier.gain, amplifier.read_noise, amplifier.saturation, amplifier.bias) == (1.6, 5.1, 55000.0, None)
    assert raw.data[0, 5] == 5 and raw.filter == "R" and raw.done == DONE
    # A star of IMAGEZPT has one ADU a second: 60.05 ADU, or 1.6 times as many electrons.
    assert raw.zero_point == pytest.approx(22.5 + 2.5 * np.log10(60.05 * 1.6))
    with pytest.raises(BadInput, match="has 7"):
        Ptf().read_section(path, {}, facts.header, "8")


@pytest.mark.parametrize("value", [None, "NOTAVAIL", -99.0])
def test_a_zero_point_that_the_archive_does_not_know_is_none(value, tmp_path):
    path = image_file(tmp_path / NAME, IMAGEZPT=value)
    facts = Ptf().read_exposure(path)
    assert Ptf().read_section(path, {}, facts.header, "7").zero_point is None


def test_without_the_time_of_the_shutter_the_date_of_the_header_counts(tmp_path):
    assert Ptf().read_exposure(image_file(tmp_path / NAME, **{"UTC-OBS": None})).mjd == 56459.9


BITS = {
    0: PixelFlag.TRAIL, 1: PixelFlag(0), 2: PixelFlag.BAD, 3: PixelFlag(0), 4: PixelFlag.BAD, 5: PixelFlag.BRIGHT_HALO,
    6: PixelFlag.BLEED, 7: PixelFlag.COSMIC_RAY, 8: PixelFlag.SATURATED, 9: PixelFlag.BAD, 10: PixelFlag.BAD,
    11: PixelFlag.BAD, 12: PixelFlag.BRIGHT_HALO,
}  # fmt: skip


def test_the_mask_beside_the_image_becomes_flags(tmp_path):
    path = image_file(tmp_path / NAME)
    bits = {(bit, 3): 1 << bit for bit in BITS} | {(20, 3): (1 << 8) + (1 << 6) + (1 << 1), (21, 3): 1 << 13}
    mask_file(tmp_path / NAME.replace("_scie_", "_mask_"), bits)
    facts = Ptf().read_exposure(path)
    assert set(facts.companions) == {"mask"}
    flags = Ptf().read_section(path, facts.companions, facts.header, "7").flags
    assert {bit: PixelFlag(int(flags[bit, 3])) for bit in BITS} == BITS
    assert flags[20, 3] == PixelFlag.SATURATED | PixelFlag.BLEED
    assert np.count_nonzero(flags) == np.count_nonzero(list(BITS.values())) + 1


def test_a_mask_may_have_another_name_and_must_be_of_the_image(tmp_path):
    path = image_file(tmp_path / "PTF_x_c07.fits")
    mask_file(tmp_path / "mine.fits", {(1, 1): 1 << 9})
    facts = Ptf(mask_file="mine.fits").read_exposure(path)
    assert Ptf().read_section(path, facts.companions, facts.header, "7").flags[1, 1] == PixelFlag.BAD
    for name, changes, reason in (
        ("other.fits", {"ccd": 8}, "no mask of CCD 7"), ("float.fits", {"dtype": np.float32}, "no bits"),
    ):  # fmt: skip
        companions = {"mask": mask_file(tmp_path / name, {}, **changes)}
        with pytest.raises(BadInput, match=reason):
            Ptf().read_section(path, companions, facts.header, "7")
    fits.PrimaryHDU(np.zeros((5, 5), np.int16), fits.Header({"CCDID": 7})).writeto(tmp_path / "small.fits")
    with pytest.raises(BadInput, match="shape"):
        Ptf().read_section(path, {"mask": tmp_path / "small.fits"}, facts.header, "7")


def test_pixels_that_are_not_finite_become_flags(tmp_path):
    path = image_file(tmp_path / NAME)
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[2, 3] = np.nan
    facts = Ptf().read_exposure(path)
    raw = Ptf().read_section(path, {}, facts.header, "7")
    assert np.isfinite(raw.data).all()
    assert raw.flags[2, 3] == PixelFlag.BAD and raw.flags.sum() == PixelFlag.BAD


def test_a_file_of_several_ccds_has_a_section_for_each(tmp_path):
    hdus = [fits.PrimaryHDU(header=fits.Header({"ORIGIN": "Palomar Transient Factory"}))]
    for ccd, ra in ((0, 359.9), (11, 0.1)):
        hdus.append(fits.CompImageHDU(np.full(SHAPE, 10.0 + ccd, np.float32), header_of(CCDID=ccd, CRVAL1=ra)))
    fits.HDUList(hdus).writeto(tmp_path / "night.fits")
    facts = Ptf().read_exposure(tmp_path / "night.fits")
    assert list(facts.header["sections"]) == ["0", "11"]
    assert facts.ra == pytest.approx(0.0, abs=0.01) or facts.ra == pytest.approx(360.0, abs=0.01)
    raw = Ptf().read_section(tmp_path / "night.fits", {}, facts.header, "11")
    assert np.allclose(raw.data, 21, atol=0.1)
    assert raw.wcs["CRVAL1"] == 0.1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ORIGIN": "ESO"}, "another --instrument"), ({"CCDID": 12}, "CCDID = 12"), ({"CCDID": None}, "CCDID"),
        ({"GAIN": 0.0}, "GAIN = 0"), ({"SATURVAL": None}, "SATURVAL"), ({"READNOI": "low"}, "READNOI"),
        ({"FILTER": "V"}, "g, R, Ha656, Ha663"), ({"CTYPE1": None}, "WCS"), ({"CRVAL1": "west"}, r"CRVAL1.*is not a finite number"),
        ({"EXPTIME": None, "AEXPTIME": None}, "EXPTIME"),
    ],
)  # fmt: skip
def test_an_image_that_lacks_something_says_what(changes, reason, tmp_path):
    with pytest.raises(BadInput, match=reason):
        Ptf().read_exposure(image_file(tmp_path / NAME, **changes))


def test_the_distortion_of_the_header_is_kept(tmp_path):
    # SCAMP writes TAN with PV terms, and the archive adds SIP terms of the same distortion, which must not count twice.
    grid = np.array([[0.0, 0.0], [19.0, 0.0], [0.0, 29.0], [19.0, 29.0]])
    sip = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-3, "B_0_2": -1e-3}
    scamp = {"PV1_0": 0.0, "PV1_1": 1.0, "PV1_4": 0.2, "PV2_0": 0.0, "PV2_1": 1.0, "PV2_4": -0.1}
    plain = WCS(header_of()).all_pix2world(grid, 0)
    shifted = {}
    for name, extra in (("sip", sip), ("scamp", scamp), ("both", sip | scamp)):
        kind = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"} if "A_ORDER" in extra else {}
        path = image_file(tmp_path / f"{name}.fits", **(kind | extra))
        facts = Ptf().read_exposure(path)
        raw = Ptf().read_section(path, {}, facts.header, "7")
        shifted[name] = wcs_from_header(raw.wcs).all_pix2world(grid, 0) - plain
    assert abs(shifted["sip"]).max() > 1e-5  # 0.1 px of 2e-4 degrees
    np.testing.assert_allclose(shifted["both"], shifted["sip"], atol=1e-12)
    assert abs(shifted["scamp"]).max() > 1e-7


def test_red_stars_are_compared_with_the_r_of_catalogues():
    stars = np.zeros(2, [("mag_g", "f4"), ("mag_r", "f4"), ("err_r", "f4"), ("mag_i", "f4")])
    stars["mag_g"], stars["mag_r"] = 18.0, 17.5
    for band in ("R", "Ha656", "Ha663"):
        mag, _, color = Ptf().catalog_magnitude(stars, band)
        assert np.all(mag == 17.5) and np.all(color == 0.5)
    assert np.all(Ptf().catalog_magnitude(stars, "g")[0] == 18.0)
