"""Calibration files of DECam: of which CCD they are, what their bits and columns mean, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from processing.algorithms.readout import LINEARITY
from processing.errors import BadInput
from processing.instruments import decam_calibrators
from processing.instruments.base import Instrument
from products.pixel_flags import PixelFlag
from tests.instruments.decam_files import filled, sections

SHAPE = (64, 32)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """CCDs of the camera, made small."""
    monkeypatch.setattr(decam_calibrators, "SHAPE", SHAPE)


def supplied(path, kind):
    return list(Instrument.member("decam")().supplied(path, kind))


def linearity_table(*curves, names=("ADU", "ADU_LINEAR_A", "ADU_LINEAR_B")):
    return fits.BinTableHDU.from_columns([fits.Column(name, "E", array=np.asarray(curve)) for name, curve in zip(names, curves)])  # fmt: skip


@pytest.mark.parametrize(
    ("header", "stem", "section"),
    [
        ({"CCDNUM": 61}, "x", "N30"), ({"DETPOS": "S7"}, "x", "S7"), ({"EXTNAME": "n12"}, "x", "N12"), ({}, "g.out.25_trim_med", "S1"),
        ({}, "DECam_Master_20140209v2-gI_ci_g_05", "S26"), ({}, "DECam_Master_20140209v2_cd_62", "N31"), ({}, "flat_N4", "N4"),
        ({}, "D_n20151113t1123_z_c02_r2133p01_bpm", ""), ({}, "flat", ""), ({"CCDNUM": 70, "EXTNAME": "FN1"}, "x", ""), ({}, "flat_99", ""),
        ({}, "c4d_190402_050618_fci_g_S29", "S29"), ({}, "ccd17.flat", "S18"),
    ],
)  # fmt: skip
def test_the_ccd_of_a_frame_is_that_of_its_header_or_its_name(header, stem, section):
    assert decam_calibrators.section_of(filled(header), stem) == section


def test_all_ccds_have_one_number():
    numbers = decam_calibrators.sections_by_number()
    assert sorted(numbers) == list(range(1, 63))
    assert sorted(numbers.values()) == sorted(f"{side}{k}" for side in "NS" for k in range(1, 32))


def test_frames_are_trimmed_filled_up_or_taken_as_they_are(tmp_path):
    whole = np.arange(SHAPE[0] * SHAPE[1], dtype=np.float32).reshape(SHAPE)
    raw = np.zeros((SHAPE[0] + 50, SHAPE[1] + 112), np.float32)
    raw[50:, 56:-56] = whole
    header = filled({**sections("S1", SHAPE[0], SHAPE[1] // 2), "MJD-OBS": 56336.4, "FILTER": "g DECam SDSS c0001"})
    fits.HDUList(
        [fits.PrimaryHDU(), fits.ImageHDU(whole, name="N1"), fits.ImageHDU(whole[1:-1, 1:-1], name="N2"), fits.ImageHDU(raw, header, name="S1")]
    ).writeto(tmp_path / "flat.fits")  # fmt: skip
    plain, cut, trimmed = supplied(tmp_path / "flat.fits", "flat")
    assert [one.section for one in (plain, cut, trimmed)] == ["N1", "N2", "S1"]
    for one in (plain, trimmed):
        np.testing.assert_array_equal(one.data, whole)
        assert not one.flags.any()
    assert (trimmed.filter, trimmed.mjd) == ("g", 56336.4)
    np.testing.assert_array_equal(cut.data[1:-1, 1:-1], whole[1:-1, 1:-1])
    assert not cut.flags[1:-1, 1:-1].any()
    assert np.all(cut.flags[0] == PixelFlag.EDGE | PixelFlag.ZERO_WEIGHT) and np.all(cut.data[0] == cut.data[1])


@pytest.mark.parametrize("shape", [(32, 64), (64, 40), (10, 10), (114, 144)])
def test_a_frame_of_another_shape_is_refused(tmp_path, shape):
    fits.ImageHDU(np.ones(shape, np.float32), name="N1").writeto(tmp_path / "flat.fits")
    with pytest.raises(BadInput, match=r"flat.fits \[N1\].*a CCD has 64 rows of 32"):
        supplied(tmp_path / "flat.fits", "flat")


def test_a_frame_of_no_ccd_or_twice_of_one_is_refused(tmp_path):
    image = np.ones(SHAPE, np.float32)
    fits.PrimaryHDU(image).writeto(tmp_path / "flat.fits")
    with pytest.raises(BadInput, match="of which CCD"):
        supplied(tmp_path / "flat.fits", "flat")
    twice = [fits.PrimaryHDU(), fits.ImageHDU(image, name="N1"), fits.ImageHDU(image, filled({"CCDNUM": 32}))]
    fits.HDUList(twice).writeto(tmp_path / "twice.fits")
    with pytest.raises(BadInput, match="CCD N1 twice"):
        supplied(tmp_path / "twice.fits", "flat")


def test_bits_of_a_mask_become_flags(tmp_path):
    meant = {
        0: 0, 1: PixelFlag.BAD, 64: PixelFlag.BAD, 128: PixelFlag.EDGE, 129: PixelFlag.BAD | PixelFlag.EDGE, 512: 0,
        4096: PixelFlag.BAD, 16384: 0, 2**15: PixelFlag.BAD, -3: PixelFlag.BAD,
    }  # fmt: skip
    mask = np.zeros(SHAPE, np.int32)
    mask[0, : len(meant)] = list(meant)
    fits.ImageHDU(mask, name="N1").writeto(tmp_path / "bpm.fits")
    (found,) = supplied(tmp_path / "bpm.fits", "bad_pixels")
    assert found.flags[0, : len(meant)].tolist() == [int(flag) for flag in meant.values()]
    assert not found.flags[1:].any() and found.flags.dtype == np.uint16


def test_a_table_of_linearity_keeps_its_curve_in_few_rows(tmp_path):
    adu = np.arange(65536.0)
    bent = np.where(adu < 2000, adu * 1.01, 20 + adu)
    smooth = adu * (1 + 0.02 * (adu / 65536) ** 2)
    path = tmp_path / "linearity.fits"
    fits.HDUList([fits.PrimaryHDU(), linearity_table(adu, bent, smooth), linearity_table(adu, adu, bent)]).writeto(path)
    first, second = supplied(path, "linearity")
    assert (first.section, second.section) == ("S29", "S30")  # CCDs 1 and 2
    assert first.table.dtype == LINEARITY
    for name, curve in (("A", bent), ("B", smooth)):
        rows = first.table[first.table["amplifier"] == name]
        assert rows["adu"][0] == 0 and np.all(np.diff(rows["adu"]) > 0)
        found = np.interp(adu, rows["adu"].astype(float), rows["linear_adu"].astype(float))
        assert np.abs(found - curve).max() < 0.03
    assert np.sum(first.table["amplifier"] == "A") < 20 and len(first.table) < 2000


@pytest.mark.parametrize(
    ("curves", "said"),
    [
        (([0, 1, 1], [0, 1, 2], [0, 1, 2]), "does not rise"), (([0, 1, 2], [0, 2, 1], [0, 1, 2]), "does not rise"),
        (([0, 1, 2], [0, 1, 2], [0, np.nan, 2]), "does not rise"), (([5, 6, 7], [5, 6, 7], [5, 6, 7]), "begin at 0"),
        (([0, 1e3, 4e4], [0, 1e3, 4e4], [0, 1e3, 7e4]), "30 %"), (([0], [0], [0]), "does not rise"),
    ],
)  # fmt: skip
def test_what_is_no_curve_of_linearity_is_refused(tmp_path, curves, said):
    fits.HDUList([fits.PrimaryHDU(), linearity_table(*curves)]).writeto(tmp_path / "x.fits")
    with pytest.raises(BadInput, match=said):
        supplied(tmp_path / "x.fits", "linearity")


def test_a_linearity_file_without_tables_or_columns_says_so(tmp_path):
    fits.PrimaryHDU(np.ones(SHAPE)).writeto(tmp_path / "image.fits")
    with pytest.raises(BadInput, match="no table"):
        supplied(tmp_path / "image.fits", "linearity")
    table = linearity_table([0, 1], [0, 1], [0, 1], names=("ADU", "LINEAR", "ADU_LINEAR_B"))
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(tmp_path / "x.fits")
    with pytest.raises(BadInput, match="ADU_LINEAR_A"):
        supplied(tmp_path / "x.fits", "linearity")


def test_a_text_of_crosstalk_becomes_a_table_a_victim(tmp_path):
    text = "# victim source coefficient\nccd01A ccd01B 0.000116\nccd1A ccd25B -2.5e-5 1e-6  # weak\n\nccd62B ccd62A 9e-4\nccd62B ccd01A 0.0\n"
    (tmp_path / "xtalk.txt").write_text(text)
    first, last = supplied(tmp_path / "xtalk.txt", "crosstalk")
    assert (first.section, last.section) == ("S29", "N31")
    assert first.table.tolist() == [("A", "S29", "B", 0.000116, 0.0), ("A", "S1", "B", -2.5e-5, 1e-6)]
    assert last.table.tolist() == [("B", "N31", "A", 9e-4, 0.0)]


@pytest.mark.parametrize(
    "line", ["ccd01A ccd01B", "ccd01A ccd01B much", "ccd01A ccd63B 1e-4", "ccd01A 1e-4", "ccd01C ccd01B 1e-4", "ccd01A ccd01B 3.0", "N1A N2B 1e-4", "ccd01A ccd01B nan"]
)  # fmt: skip
def test_a_line_that_is_no_coefficient_is_named(tmp_path, line):
    (tmp_path / "xtalk.txt").write_text(f"# x\nccd01A ccd02B 1e-4\n{line}\n")
    with pytest.raises(BadInput, match="line 3"):
        supplied(tmp_path / "xtalk.txt", "crosstalk")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "no coefficient"), (b"SIMPLE\xff\x00", "no text"), (b"ccd01A ccd01B 1e-4\nccd01A ccd01B 1e-4", "twice")],
)
def test_a_text_without_or_with_double_coefficients_is_refused(tmp_path, content, said):
    (tmp_path / "xtalk.txt").write_bytes(content)
    with pytest.raises(BadInput, match=said):
        supplied(tmp_path / "xtalk.txt", "crosstalk")
    with pytest.raises(BadInput, match="no such file"):
        supplied(tmp_path / "none.txt", "crosstalk")
