"""LS4: facts of a raw exposure, and the pixels of a CCD in each mode of readout."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from processing.algorithms.overscan import subtract_overscan
from processing.errors import BadInput
from processing.exposures import ingest
from processing.instruments.focal_plane import focal_plane
from processing.instruments.ls4 import SECTIONS, Ls4
from products.models import Exposure
from tests.instruments.ls4_files import HALF, LEFT_VALUE, RIGHT_VALUE, ROWS, SKY_NAME, ls4_file

CCDS = ("SE_E", "NE_A", "NW_H", "SW_B")


def read(path, section, **options):
    camera = Ls4(**options)
    facts = camera.read_exposure(path)
    return facts, camera.read_section(path, {}, facts.header, section)


def trimmed(raw):
    return subtract_overscan(raw.data, raw.amplifiers, smooth_rows=1)


def expected(ccd):
    """What the trimmed image holds above the bias, whatever the mode: the right half at low x."""
    values = np.concatenate([RIGHT_VALUE + np.arange(HALF), LEFT_VALUE + np.arange(HALF)]) - 300 - ccd
    return np.tile(values.astype(np.float32), (ROWS, 1))


def test_the_facts_come_from_the_first_extension_and_the_filters_from_the_quadrants(tmp_path):
    facts = Ls4().read_exposure(ls4_file(tmp_path / SKY_NAME, CCDS))
    assert (facts.name, facts.kind, facts.exposure_time) == ("20260409005320s_00014", "science", 45)
    assert facts.mjd == pytest.approx(61139.0370428, abs=1e-7)
    assert (facts.ra, facts.dec, facts.target, facts.project) == (150.25, -20.5, "field 12", "LS4")
    assert (facts.filter, facts.filters) == ("", {"NE_A": "i", "NW_H": "z", "SE_E": "g", "SW_B": "i"})
    assert [section.name for section in Ls4().sections(tmp_path, facts.header)] == sorted(CCDS)
    assert "Schmidt" in facts.telescope


def test_an_exposure_of_one_quadrant_has_one_filter(tmp_path):
    facts = Ls4().read_exposure(ls4_file(tmp_path / SKY_NAME, ("NE_A", "NE_B")))
    assert (facts.filter, facts.filters) == ("i", {})


@pytest.mark.parametrize("section", CCDS)
@pytest.mark.parametrize("dual", [False, True], ids=["single", "dual"])
def test_every_mode_of_readout_gives_the_same_image_without_its_overscan(section, dual, tmp_path):
    facts, raw = read(ls4_file(tmp_path / SKY_NAME, CCDS, dual=dual), section)
    np.testing.assert_array_equal(trimmed(raw), expected(CCDS.index(section)))
    assert [a.name for a in raw.amplifiers] == (["R", "L"] if dual else ["R" if section == "SE_E" else "L"])
    assert raw.filter == facts.filters[section]
    assert all(a.bias is not None for a in raw.amplifiers)


def test_columns_are_read_away_from_the_prescan(tmp_path):
    for dual, section, backwards in (
        (False, "NE_A", {"L": False}), (False, "SE_E", {"R": True}), (True, "NE_A", {"L": False, "R": True}),
    ):  # fmt: skip
        _, raw = read(ls4_file(tmp_path / SKY_NAME, CCDS, dual=dual), section)
        assert {a.name: a.backwards[1] for a in raw.amplifiers} == backwards
        assert not any(a.backwards[0] for a in raw.amplifiers)


def test_the_rough_wcs_points_where_the_telescope_looks(tmp_path):
    for section, east, north in (("NE_A", -1.27628, 0.84205), ("SW_B", 0.64041, -0.34475)):
        _, raw = read(ls4_file(tmp_path / SKY_NAME, CCDS, TELE_RA=150.0, TELE_DEC=0.0), section)
        wcs = WCS(raw.wcs)
        ra, dec = wcs.all_pix2world([[(2 * HALF - 1) / 2, (ROWS - 1) / 2]], 0)[0]
        # On the equator the tangent plane is within 1 % of differences of ra and dec.
        assert ra - 150 == pytest.approx(east, rel=0.01)
        assert dec == pytest.approx(north, rel=0.01)
        right, up = wcs.all_pix2world([[20, 0], [0, 20]], 0) - wcs.all_pix2world([[0, 0], [0, 0]], 0)
        assert right[0] == pytest.approx(20 * 1.0177 / 3600, rel=0.01)  # columns are counted to the east
        assert up[1] == pytest.approx(20 * 1.0177 / 3600, rel=0.01)


@pytest.mark.parametrize(
    ("name", "word", "seconds", "kind", "flat_type"),
    [
        ("20260409005320s_00014", "sky", 45.0, "science", ""), ("20260409005320d_00001", "dark", 300.0, "dark", ""),
        ("20260409005320d_00001", "dark", 0.0, "bias", ""), ("20260409005320d_00001", "TEST", 0.0, "bias", ""),
        ("20260409005320e_00001", "pmskyflat", 5.0, "flat", "twilight"),
        ("20260409005320m_00001", "amskyflat", 5.0, "flat", "twilight"),
        ("20260409005320s_00001", "domeskyflat", 5.0, "flat", "dome"),
    ],
)  # fmt: skip
def test_the_kind_of_an_exposure(name, word, seconds, kind, flat_type, tmp_path):
    path = ls4_file(tmp_path / f"{name}.fits.fz", ("NE_A", "SE_A"), IMAGETYP=word, EXPTIME=seconds)
    facts = Ls4().read_exposure(path)
    assert (facts.kind, facts.header["flat_type"]) == (kind, flat_type)
    assert bool(facts.filters) == (kind in ("science", "flat"))


@pytest.mark.parametrize(
    ("name", "word", "seconds"), [("20260409005320s_00001", "TEST", 0.0), ("20260409005320d_00001", "TEST", 3.0),
                                  ("20260409005320s_00001", "focus", 5.0), ("x", "offset", 5.0)]
)  # fmt: skip
def test_what_is_nobodys_data_is_refused(name, word, seconds, tmp_path):
    path = ls4_file(tmp_path / f"{name}.fits.fz", ("NE_A",), IMAGETYP=word, EXPTIME=seconds)
    with pytest.raises(BadInput, match=r"neither of the sky nor a calibration"):
        Ls4().read_exposure(path)


def test_gain_read_noise_and_saturation_come_from_the_header_else_from_the_options(tmp_path):
    path = ls4_file(tmp_path / SKY_NAME, CCDS, dual=True, GAIN=1.9, RDNOISER=6.5, SATURATE=0)
    _, raw = read(path, "NE_A", gain=3.0, read_noise=8.0, saturation=5e4)
    right, left = raw.amplifiers
    assert (right.gain, right.read_noise, right.saturation) == (1.9, 6.5, 5e4)
    assert (left.gain, left.read_noise) == (1.9, 8.0)
    _, raw = read(ls4_file(tmp_path / "x.fits", CCDS), "NE_A")
    assert raw.amplifiers[0].gain == 2.2


@pytest.mark.parametrize(
    ("told", "option", "ra", "unit"),
    [
        (150.25, "auto", 150.25, "degree"), (10.0, "auto", 150.0, "hour"), (7.0, "degree", 7.0, "degree"),
        (10.0, "hour", 150.0, "hour"), (150.25, "degree", 150.25, "degree"),
    ],
)  # fmt: skip
def test_hours_are_taken_where_degrees_would_be_below_the_horizon(told, option, ra, unit, tmp_path):
    # At the time of the file the sidereal time of La Silla is 9.3 h: ra 10° has set, 10 h is near the meridian.
    facts = Ls4(ra_unit=option).read_exposure(ls4_file(tmp_path / SKY_NAME, CCDS, TELE_RA=told))
    assert (facts.ra, facts.header["ra_unit"]) == (ra, unit)
    if unit == "hour" or ra > 100:
        assert 1 <= facts.airmass < 1.1
    else:
        assert facts.airmass is None


def test_a_position_that_is_none_names_the_option(tmp_path):
    with pytest.raises(BadInput, match=r"ra_unit=degree or hour"):
        Ls4(ra_unit="hour").read_exposure(ls4_file(tmp_path / SKY_NAME, CCDS, TELE_RA=150.0))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"INSTRUME": "WFC"}, "another --instrument"), ({"STARTOBS": "tonight"}, "STARTOBS"),
        ({"STARTOBS": None}, "STARTOBS"), ({"EXPTIME": None}, "EXPTIME"), ({"TELE_DEC": "north"}, "TELE-DEC"),
        ({"FILTERID": "H"}, "g, i, z"), ({"IMAGETYP": None}, "IMAGETYP"),
    ],
)  # fmt: skip
def test_a_header_that_lacks_something_says_what(changes, reason, tmp_path):
    with pytest.raises(BadInput, match=reason):
        Ls4().read_exposure(ls4_file(tmp_path / SKY_NAME, CCDS, **changes))


def test_ccds_that_are_unknown_or_there_twice_are_refused(tmp_path):
    for ccds, reason in ((("NE_Z",), "CCD_LOC = 'NE_Z'"), (("NE_A", "NE_A"), "two extensions are of NE_A")):
        with pytest.raises(BadInput, match=reason):
            Ls4().read_exposure(ls4_file(tmp_path / SKY_NAME, ccds))


def test_a_ccd_that_is_damaged_fails_alone(tmp_path):
    path = ls4_file(tmp_path / SKY_NAME, CCDS, dual=True, skip=(("NE_A", "RIGHT"),))
    facts, raw = read(path, "SW_B")
    np.testing.assert_array_equal(trimmed(raw), expected(3))
    with pytest.raises(BadInput, match="lacks what its RIGHT amplifier read"):
        Ls4().read_section(path, {}, facts.header, "NE_A")
    with pytest.raises(BadInput, match=r"NE_A, NW_H, SE_E, SW_B"):
        Ls4().read_section(path, {}, facts.header, "NE_B")


@pytest.mark.parametrize(
    ("dual", "changes", "reason"),
    [
        (False, {"DATASECL": None}, "DATASECL"), (False, {"PRESECL": "[1:0,1:4]"}, "section"),
        (True, {"BIASSECR": "[4:8,1:24]"}, "lies in its data"), (True, {"DATASECR": "[6:15,2:24]"}, "other rows"),
        (False, {"AMP_DIRECTION": "up"}, "'up'"), (True, {"AMP_DIRECTION": "left"}, "2 extensions"),
    ],
)  # fmt: skip
def test_sections_that_cannot_be_are_refused(dual, changes, reason, tmp_path):
    path = ls4_file(tmp_path / SKY_NAME, CCDS, dual=dual, **changes)
    facts = Ls4().read_exposure(path)
    with pytest.raises(BadInput, match=reason):
        Ls4().read_section(path, {}, facts.header, "NE_A")


def test_halves_of_different_heights_and_other_files_are_refused(tmp_path):
    path = ls4_file(tmp_path / SKY_NAME, ("NE_A",), dual=True)
    facts = Ls4().read_exposure(path)
    with fits.open(path) as hdus:
        short = fits.CompImageHDU(hdus[2].data[:-1], hdus[2].header)
        fits.HDUList([hdus[0], hdus[1], short]).writeto(tmp_path / "short.fits")
    with pytest.raises(BadInput, match=r"24 \(left\) and 23 \(right\) rows"):
        Ls4().read_section(tmp_path / "short.fits", {}, facts.header, "NE_A")
    with pytest.raises(BadInput, match="not of NE_A"):
        Ls4().read_section(ls4_file(tmp_path / "other.fits", ("NE_B",), dual=True), {}, facts.header, "NE_A")


def test_there_are_32_ccds_and_all_have_a_place_and_a_filter(tmp_path):
    facts = Ls4().read_exposure(ls4_file(tmp_path / SKY_NAME, SECTIONS))
    assert len(facts.filters) == 32
    assert {band: list(facts.filters.values()).count(band) for band in "giz"} == {"g": 8, "i": 16, "z": 8}
    assert set(focal_plane("ls4")) == set(SECTIONS)


def test_one_ccd_is_read_without_those_that_come_after_it(tmp_path):
    path = ls4_file(tmp_path / SKY_NAME, ("NE_A", "NE_B", "NE_C"), dual=True)
    facts = Ls4().read_exposure(path)
    whole = path.read_bytes()
    # All that follows the second CCD is cut away: the first can still be read.
    with fits.open(path) as hdus:
        cut = hdus[5]._bintable._header_offset
    path.write_bytes(whole[:cut])
    raw = Ls4().read_section(path, {}, facts.header, "NE_A")
    np.testing.assert_array_equal(trimmed(raw), expected(0))


def test_the_fringe_is_corrected_in_z_only():
    assert Ls4().corrections_in("z", ["fringe", "flat"]) == ("flat", "fringe")
    assert Ls4().corrections_in("i", ["fringe", "flat"]) == ("flat",)


def test_files_in_a_folder_are_offered_with_the_filters_of_their_ccds(tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    ls4_file(folder / SKY_NAME, CCDS, dual=True)
    ls4_file(folder / "20260409010000s_00015.fits.fz", CCDS, IMAGETYP="focus")
    found = {one.identifier: one for one in Ls4().offers(folder=str(folder), pattern="*.fits.fz", settle=0.0)}
    good, other = found[SKY_NAME], found["20260409010000s_00015.fits.fz"]
    assert (good.kind, good.filter, good.filters["NW_H"], good.target) == ("science", "", "z", "field 12")
    assert "focus" in other.reason
    assert Ls4().fetch(good.identifier, good.params, tmp_path) == folder / SKY_NAME


@pytest.mark.django_db
@pytest.mark.parametrize(("word", "seconds"), [("dark", -5.0), ("sky", 0.0), ("sky", -1.0)])
def test_an_exposure_time_that_cannot_be_is_refused_before_anything_is_kept(word, seconds, tmp_path):
    path = ls4_file(tmp_path / SKY_NAME, ("NE_A", "SE_A"), IMAGETYP=word, EXPTIME=seconds)
    with pytest.raises(BadInput, match=f"exposure time {seconds:g} s|EXPTIME = {seconds}"):
        ingest(path, Ls4())
    assert not Exposure.objects.exists()
