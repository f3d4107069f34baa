"""DECam: what raw and reduced files say, held against the headers and cutouts of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from processing.algorithms.sky import tangent_plane
from processing.algorithms.wcs_fit import pixel_scale_arcsec, wcs_from_header
from processing.errors import BadInput
from processing.instruments import decam_instcal, decam_raw
from processing.instruments.base import Instrument
from processing.instruments.decam import Decam
from processing.instruments.section_tables import table_state
from products.pixel_flags import PixelFlag
from tests.instruments.decam_files import PRIMARY, filled, instcal_files, raw_file, sections


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return raw_file(tmp_path_factory.mktemp("decam") / "DECam_00177764.fits.fz")


def read(path, section="N1"):
    camera = Decam()
    facts = camera.read_exposure(path)
    return facts, camera.read_section(path, facts.companions, facts.header, section)


# Raw ---------------------------------------------------------------------------------------------------------


def test_a_raw_exposure_says_what_its_primary_header_says(raw):
    facts = Decam().read_exposure(raw)
    assert (facts.name, facts.kind, facts.filter, facts.exposure_time) == ("DECam_00177764", "science", "g", 30.0)
    assert (facts.mjd, facts.airmass, facts.target) == (56336.3761686, 1.77, "Trifid and Lagoon")
    assert (facts.project, facts.telescope) == ("2013A-0351", "CTIO 4.0-m telescope")
    assert facts.ra == pytest.approx(15 * (18 + 2 / 60 + 33.333 / 3600), abs=1e-9)
    assert facts.dec == pytest.approx(-(23 + 46 / 60 + 59.999 / 3600), abs=1e-9)
    assert [one.name for one in Decam().sections(raw, facts.header)] == ["N1", "S1"]  # and no focus CCD
    assert facts.header["flat_type"] == ""


@pytest.mark.parametrize(
    ("word", "filter", "kind", "light", "band"),
    [
        ("zero", "Y DECam c0005 10095.0 1130.0", "bias", "", ""), ("dark", "solid plate 0.0 0.0", "dark", "", ""),
        ("dome flat", "VR DECam c0007 6300.0 2600.0", "flat", "dome", "VR"), ("zero", None, "bias", "", ""),
        ("sky flat", "N964 DECam 9640.0 94.0", "flat", "twilight", "N964"), ("standard", "Y DECam c0005", "science", "", "Y"),
    ],
)  # fmt: skip
def test_the_kind_of_an_exposure_is_that_of_its_obstype(tmp_path, word, filter, kind, light, band):
    path = raw_file(tmp_path / "x.fits", names=("N1",), OBSTYPE=word, FILTER=filter)
    facts = Decam().read_exposure(path)
    assert (facts.kind, facts.header["flat_type"], facts.filter) == (kind, light, band)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"INSTRUME": "Mosaic3"}, "another --instrument"), ({"PROCTYPE": "Stacked"}, "raw and instcal"),
        ({"PROCTYPE": None}, "PROCTYPE"), ({"PRODTYPE": "wtmap"}, "_ooi_"), ({"OBSTYPE": "comparison"}, "dome flat"),
        ({"FILTER": "Halpha 1"}, "u, g, r, i, z"), ({"FILTER": None}, "FILTER"), ({"RA": "noon"}, "hours"),
        ({"EXPTIME": "long"}, "EXPTIME"), ({"MJD-OBS": None, "DATE-OBS": "never"}, "DATE-OBS"), ({"OBSTYPE": None}, "OBSTYPE"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_of_decam_is_refused_with_what_to_do(tmp_path, changes, said):
    path = raw_file(tmp_path / "x.fits", names=("N1",), **changes)
    with pytest.raises(BadInput, match=said) as caught:
        Decam().read_exposure(path)
    assert "x.fits" in str(caught.value) or "filter" in str(caught.value)


def test_only_focus_ccds_are_no_exposure(tmp_path):
    with pytest.raises(BadInput, match="N1 to N31"):
        Decam().read_exposure(raw_file(tmp_path / "x.fits", names=()))


@pytest.mark.parametrize("name", ["N1", "S1"])
def test_amplifiers_are_those_of_the_header(raw, name):
    _, ccd = read(raw, name)
    a, b = ccd.amplifiers
    left, right = (a, b) if name == "N1" else (b, a)
    top = 0 if name == "N1" else 50
    assert ccd.data.shape == (130, 172)
    assert left.data == (slice(top, top + 80), slice(56, 86)) and right.data == (slice(top, top + 80), slice(86, 116))
    assert left.bias == (slice(top, top + 80), slice(6, 56)) and right.bias == (slice(top, top + 80), slice(116, 166))
    assert left.target == (slice(0, 80), slice(0, 30)) and right.target == (slice(0, 80), slice(30, 60))
    assert (a.gain, b.gain, a.read_noise, b.saturation) == (4.59347726229, 4.4014084507, 7.17960496096, 44935.0)
    assert left.backwards == (name == "S1", False) and right.backwards == (name == "S1", True)


def test_the_wcs_is_that_of_the_header_with_its_distortion(raw):
    for name in ("N1", "S1"):
        _, ccd = read(raw, name)
        assert "PV1_10" in ccd.wcs and "LTV1" not in ccd.wcs and "GAINA" not in ccd.wcs
        assert (ccd.wcs["CRPIX1"], ccd.wcs["CRPIX2"]) == (2151.2, 14826.0)
        assert pixel_scale_arcsec(wcs_from_header(ccd.wcs), (80, 60)) == pytest.approx(0.263, abs=0.003)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"DATASECA": None}, "DATASECA"), ({"BIASSECB": "[7:56]"}, r"\[1:1024,1:4096\]"), ({"GAINA": 0.0}, "GAINA"),
        ({"SATURATB": None}, "SATURATB"), ({"RDNOISEA": "low"}, "RDNOISEA"), ({"AMPSECA": None}, "AMPSECA"),
        ({"AMPSECB": "[all]"}, "2048:1025"), ({"DATASECB": "[88:116,1:80]"}, "halves"),
        ({"BIASSECA": "[7:56,2:81]"}, "other rows"),
    ],
)  # fmt: skip
def test_one_broken_ccd_keeps_no_other_from_being_read(tmp_path, changes, said):
    path = raw_file(tmp_path / "x.fits", extensions={"N1": changes})
    facts = Decam().read_exposure(path)
    with pytest.raises(BadInput, match=said):
        Decam().read_section(path, {}, facts.header, "N1")
    assert len(Decam().read_section(path, {}, facts.header, "S1").amplifiers) == 2
    with pytest.raises(BadInput, match="N1, S1"):
        Decam().read_section(path, {}, facts.header, "N2")


def test_a_half_that_the_camera_calls_invalid_is_bad(tmp_path, raw):
    _, ccd = read(raw_file(tmp_path / "x.fits", extensions={"S1": {"VALIDA": False}}), "S1")
    assert np.all(ccd.flags[:, 30:] == PixelFlag.BAD) and not ccd.flags[:, :30].any()
    assert read(raw, "S1")[1].flags is None


@pytest.mark.parametrize(
    ("name", "backplane", "row"),
    [("N1", "DECAM_BKP3", 2098), ("S1", "DECAM_BKP5", 2048), ("N1", "DECAM_BKP2", None), ("N1", None, None)],
)
def test_the_bias_jumps_when_the_shorter_ccds_are_read(name, backplane, row):
    header = filled({**sections(name, 4096, 1024), "GAINA": 4.0, "GAINB": 4.0, "RDNOISEA": 7.0, "RDNOISEB": 7.0,
                     "SATURATA": 4e4, "SATURATB": 4e4, "FPA": backplane})  # fmt: skip
    for amplifier in decam_raw.amplifiers(header, Path("x.fits")):
        assert amplifier.jumps == (() if row is None else (row,))


def real_header(real_data, name) -> fits.Header:
    """The cards of a real header, of the primary and of the first CCD in one, from a YAML listing."""
    text = (real_data / "headers_yaml" / f"fitsheader-decam{name}.yaml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("!", "#"))]
    found = yaml.safe_load("\n".join(lines))
    pairs = [row[::2][:2] for row in found] if isinstance(found, list) else found.items()
    header = fits.Header()
    for key, value in pairs:
        is_structure = str(key).startswith(("Z", "NAXIS", "TFORM", "TTYPE")) or key in (
            "SIMPLE", "EXTEND", "BITPIX", "XTENSION", "PCOUNT", "GCOUNT", "TFIELDS", "BZERO", "BSCALE",
        )  # fmt: skip
        if (
            key != "EXTNAME"
            and len(str(key)) <= 8
            and isinstance(value, (bool, int, float, str))
            and not is_structure
            and value == value
        ):
            header[str(key)] = value
    return header


@pytest.mark.real
@pytest.mark.parametrize("name", ["-0160496", ""])
def test_real_headers_of_raw_south_ccds_are_understood(real_data, tmp_path, name):
    header = real_header(real_data, name)
    a, b = decam_raw.amplifiers(header, Path("x.fits"))
    assert a.data == (slice(50, 4146), slice(1080, 2104)) and a.bias == (slice(50, 4146), slice(2104, 2154))
    assert b.target == (slice(0, 4096), slice(0, 1024)) and a.target == (slice(0, 4096), slice(1024, 2048))
    assert (a.backwards, b.backwards) == ((True, True), (True, False))
    assert a.jumps == (2048,)  # DECAM_BKP1
    assert decam_raw.trim_origin([a.data, b.data]) == (header["LTV2"], header["LTV1"])
    wcs = wcs_from_header(decam_raw.wcs_cards(header))
    assert pixel_scale_arcsec(wcs, (4096, 2048)) == pytest.approx(0.263, abs=0.002)
    assert sections("S1", 4096, 1024) == {key: header[key] for key in sections("S1", 4096, 1024)}
    ccd = fits.ImageHDU(np.zeros((4146, 2160), np.uint16), header, name="S1")
    fits.HDUList([fits.PrimaryHDU(header=header), ccd]).writeto(tmp_path / "x.fits")
    facts, raw = read(tmp_path / "x.fits", "S1")
    expected = {"-0160496": ("bias", "", 0.0), "": ("science", "z", 200.0)}[name]
    assert (facts.kind, facts.filter, facts.exposure_time) == expected
    ra, dec = wcs.all_pix2world(1023.5, 2047.5, 0)
    east = (ra - header["CRVAL1"]) * np.cos(np.radians(header["CRVAL2"]))
    # Where S1 is seen from the middle of the field: 191.67 mm west and 16.908 mm north, with the distortion of the optics.
    assert (east, dec - header["CRVAL2"]) == (pytest.approx(-0.931, abs=0.004), pytest.approx(0.082, abs=0.004))
    assert facts.ra == pytest.approx(header["CRVAL1"], abs=0.01) and raw.data.shape == (4146, 2160)


@pytest.mark.real
def test_real_raw_wcs_agrees_with_solutions_of_the_same_ccd_when_crpix_counts_the_trimmed_image(real_data):
    raw = decam_raw.wcs_cards(real_header(real_data, ""))
    paths = sorted((real_data / "decam_cutouts").glob("*_ooi_*_ls9.S1.fits"))
    assert len(paths) == 3
    for path in paths:
        solved = fits.getheader(path, 1)

        def seen(header, x, y):
            """Offset from CRVAL (arcsec) of a pixel of the trimmed CCD; cutouts keep the distance from CRPIX."""
            dx, dy = x - raw["CRPIX1"], y - raw["CRPIX2"]
            ra, dec = wcs_from_header(header).all_pix2world(header["CRPIX1"] + dx, header["CRPIX2"] + dy, 1)
            return np.array(tangent_plane(ra, dec, header["CRVAL1"], header["CRVAL2"]))

        for x, y in ((1024, 2048), (100, 100), (1900, 4000)):
            assert np.hypot(*(seen(raw, x, y) - seen(solved, x, y))) < 5
            assert np.hypot(*(seen(raw, x + 56, y + 50) - seen(solved, x, y))) > 15


@pytest.mark.real
def test_real_primary_headers_of_raw_and_reduced_exposures_are_understood(real_data, tmp_path):
    for name, expected in (
        ("-raw_dec050441_25", ("science", "g", 30.0, 56336.3761686, "2013A-0351", 1.77)),
        ("-instcal-c4d_190402_050618_ooi_VR_v1", ("science", "VR", 120.0, 58575.21271276, "2019A-0337", 1.1)),
    ):
        header = real_header(real_data, name)
        ccd = fits.ImageHDU(np.ones((6, 5), np.float32), header, name="S29")
        fits.HDUList([fits.PrimaryHDU(header=header), ccd]).writeto(tmp_path / "x.fits", overwrite=True)
        facts = Decam().read_exposure(tmp_path / "x.fits")
        found = (facts.kind, facts.filter, facts.exposure_time, facts.mjd, facts.project, facts.airmass)
        assert found == expected
        assert facts.header["reduced"] is ("instcal" in name)
    raw = Decam().read_section(tmp_path / "x.fits", {}, facts.header, "S29")
    assert raw.amplifiers[0].gain == pytest.approx((3.67992805005758 + 3.62499716613638) / 2)
    assert raw.amplifiers[0].saturation == 42423.5001001058
    assert raw.zero_point == pytest.approx(31.227 + 2.5 * np.log10(raw.amplifiers[0].gain))
    assert decam_instcal.pipeline_version(facts.header["PLVER"]) == (4, 1)


@pytest.mark.parametrize(
    ("section", "mjd", "usable"),
    [
        ("N30", 56200.0, False), ("N30", 60000.0, False), ("S7", 60000.0, False), ("S30", 56620.0, True),
        ("S30", 57000.0, False), ("S30", 57760.0, True), ("N1", 57000.0, True),
    ],
)  # fmt: skip
def test_ccds_that_died_are_left_out_by_date(section, mjd, usable):
    assert table_state("decam", section, mjd).is_usable is usable


def test_corrections_are_in_physical_order_and_fringes_in_red_filters():
    camera = Instrument.member("decam")()
    wanted = ("overscan", "crosstalk", "linearity", "flat", "illumination", "fringe", "bad_pixels")
    assert camera.corrections_in("z") == camera.corrections_in("Y") == wanted
    assert camera.corrections_in("g") == tuple(name for name in wanted if name != "fringe")


# Reduced -----------------------------------------------------------------------------------------------------


def test_a_reduced_exposure_brings_weight_and_flags_in_electrons(tmp_path):
    dq = np.zeros((40, 30), np.int32)
    dq[3, 4], dq[5, 6], dq[7, 8] = 3, 7, 8
    path = instcal_files(tmp_path, dq=dq)["ooi"]
    with fits.open(path, mode="update") as hdus:
        hdus["S29"].data[9, 9] = np.nan
    facts, ccd = read(path, "S29")
    assert (facts.name, facts.filter, facts.kind) == ("c4d_190402_050618_ooi_VR_v1", "VR", "science")
    assert set(facts.companions) == {"weight", "flags"}
    (amplifier,) = ccd.amplifiers
    assert (amplifier.gain, amplifier.read_noise, amplifier.saturation) == (pytest.approx(3.65), 6.0, 42423.5)
    assert amplifier.bias is None
    assert ccd.weight[0, 0] == pytest.approx(1 / (196 * 3.65**2), rel=1e-5)  # 14 ADU are 51 electrons
    assert (ccd.flags[3, 4], ccd.flags[5, 6], ccd.flags[7, 8]) == (PixelFlag.SATURATED, 0, PixelFlag.TRAIL)
    assert ccd.flags[9, 9] == PixelFlag.BAD and np.isfinite(ccd.data).all()
    assert np.median(ccd.data) == pytest.approx(700, abs=2)
    assert ccd.zero_point == pytest.approx(31.227 + 2.5 * np.log10(3.65))
    assert set(ccd.done) == set(Decam.order) - {"dark"}
    assert ccd.wcs["CTYPE1"] == "RA---TPV" and "PV2_10" in ccd.wcs and "GAINA" not in ccd.wcs


CODES = {
    0: 0, 1: PixelFlag.BAD, 2: PixelFlag.ZERO_WEIGHT, 3: PixelFlag.SATURATED, 4: PixelFlag.BLEED,
    5: PixelFlag.COSMIC_RAY, 6: PixelFlag.ZERO_WEIGHT, 7: 0, 8: PixelFlag.TRAIL, 99: PixelFlag.BAD, -1: PixelFlag.BAD,
}  # fmt: skip
BITS = {
    0: 0, 1: PixelFlag.BAD, 2: PixelFlag.SATURATED, 3: PixelFlag.BAD | PixelFlag.SATURATED, 4: PixelFlag.INTERPOLATED,
    16: PixelFlag.COSMIC_RAY, 64: PixelFlag.BLEED, 66: PixelFlag.SATURATED | PixelFlag.BLEED, 128: 0,
    2**20: PixelFlag.BAD,
}  # fmt: skip


@pytest.mark.parametrize(("version", "meant"), [("V3.5.0", CODES), ("V4.8.2a", CODES), ("DES V5.5", CODES), ("V3.2.2", BITS), ("V3.4.9", BITS)])  # fmt: skip
def test_data_quality_means_what_the_version_of_the_pipeline_says(version, meant):
    values = np.array(list(meant), np.int32).reshape(1, -1)
    assert decam_instcal.quality_flags(values, version).tolist() == [[int(flag) for flag in meant.values()]]


def test_data_quality_of_an_unknown_version_is_refused(tmp_path):
    path = instcal_files(tmp_path, version="unknown")["ooi"]
    with pytest.raises(BadInput, match="PLVER"):
        read(path, "S29")


def test_a_reduced_image_may_come_alone(tmp_path):
    paths = instcal_files(tmp_path)
    paths["oow"].unlink()
    paths["ood"].unlink()
    facts, ccd = read(paths["ooi"], "N4")
    assert facts.companions == {} and ccd.weight is None and not ccd.flags.any()


def test_a_companion_that_does_not_fit_is_refused_before_it_is_taken_in(tmp_path):
    paths = instcal_files(tmp_path)
    with fits.open(paths["oow"]) as hdus:
        fits.HDUList([hdus[0], hdus["S29"]]).writeto(tmp_path / "less.fits")
    (tmp_path / "less.fits").replace(paths["oow"])
    with pytest.raises(BadInput, match="N4"):
        Decam().read_exposure(paths["ooi"])
    with pytest.raises(BadInput, match="_ooi_"):
        Decam().read_exposure(instcal_files(tmp_path)["ood"])


@pytest.mark.real
def test_real_cutouts_have_the_noise_that_their_gain_and_weight_say(real_data):
    paths = sorted((real_data / "decam_cutouts").glob("c4d_*_ooi_*_ls9.[NS]?.fits"))
    assert len(paths) == 9
    for path in paths:
        facts, ccd = read(path, path.name.split(".")[1])
        assert set(facts.companions) == {"weight", "flags"} and facts.filter in ("g", "r", "z")
        assert pixel_scale_arcsec(wcs_from_header(ccd.wcs), ccd.data.shape) == pytest.approx(0.263, abs=0.002)
        electrons = ccd.data * ccd.amplifiers[0].gain
        good = (ccd.flags == 0) & (ccd.weight > 0)
        steps = (electrons[:, 1:] - electrons[:, :-1])[good[:, 1:] & good[:, :-1]]
        noise = 1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2)
        sky = np.median(electrons[good])
        assert noise**2 == pytest.approx(sky + ccd.amplifiers[0].read_noise ** 2, rel=0.06)
        assert np.median(1 / ccd.weight[good]) == pytest.approx(noise**2, rel=0.12)


def test_the_names_of_companions_are_those_of_the_archive():
    name = "c4d_190402_050618_ooi_VR_v1.fits.fz"
    assert decam_instcal.companion_name(name, "weight") == "c4d_190402_050618_oow_VR_v1.fits.fz"
    assert decam_instcal.companion_name(name, "flags") == "c4d_190402_050618_ood_VR_v1.fits.fz"
    assert decam_instcal.companion_name("c4d_190402_050618_ori.fits.fz", "flags") == ""
    assert PRIMARY["INSTRUME"] == "DECam"
