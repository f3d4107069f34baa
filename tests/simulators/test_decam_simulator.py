"""The files of DECam against real headers: keywords, their order and types, sections, compression."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.wcs import WCS

from processing.algorithms.simulation_tiles import Tiles
from processing.simulated_exposures import Scene, write_exposure
from processing.simulated_survey import sky_parameters
from processing.simulators.base import Shot
from processing.simulators.decam import DecamSimulator

SHOT = Shot(1, "bias", "Y", 61382.9, 0.0, 341.6, 20.8)
SKY = replace(SHOT, kind="science", band="g", exposure_time=30.0, target="a field")
OF_DES = {"HEX", "TILING"}  # of the scheduler of one survey
TABLE = {"XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT", "TFIELDS", "TTYPE1", "TFORM1"}
KINDS = {"Bool": bool, "Int": int, "Double": float, "String": str}


class Two(DecamSimulator):
    """A camera with two CCDs, one in the south and one in the north, and its focus CCDs."""

    ALL: ClassVar = ("S1", "N3")

    def sections(self):
        return self.ALL


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    simulator = Two()
    scene = Scene(1, Tiles(sky_parameters(simulator, 1, {})))
    return write_exposure(simulator, SHOT, scene, tmp_path_factory.mktemp("decam"))


def primary_of(shot: Shot) -> fits.Header:
    simulator = DecamSimulator()
    return simulator.primary(shot, simulator.weather(shot, 1), 70).header


def real(folder, name: str):
    """(keyword, type, value) of a real header, primary and extension apart."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!<lsst.daf.base.PropertyList>", lambda loader, node: loader.construct_sequence(node, True))
    text = (folder / "headers_yaml" / name).read_text()
    found = yaml.load(text.partition("\n")[2], Loader) if text.startswith("!") else yaml.safe_load(text)
    rows = [(k, "", v) for k, v in found.items()] if isinstance(found, dict) else [row[:3] for row in found]
    cut = [row[0] for row in rows].index("XTENSION")
    return rows[:cut], rows[cut:]


def type_of(value: object) -> type:
    return next(kind for kind in (bool, int, float, str) if isinstance(value, kind))


@pytest.mark.parametrize(
    ("shot", "name", "left_out"),
    [
        (SHOT, "fitsheader-decam-0160496.yaml", {"COMMENT"}),
        (SKY, "fitsheader-decam-raw_dec050441_25.yaml", set()),
    ],
    ids=["bias", "sky"],
)
def test_the_primary_header_has_the_keywords_of_a_real_one_in_their_order(real_data, shot, name, left_out):
    rows, _ = real(real_data, name)
    wanted = [keyword.upper() for keyword, _, _ in rows if keyword not in left_out]
    found = [keyword for keyword in primary_of(shot) if keyword not in ("BITPIX", "NAXIS")]
    assert sorted(found) == sorted(wanted)
    if shot is SKY:
        assert found == wanted


def test_the_values_of_the_primary_header_have_the_types_of_real_ones(real_data):
    rows, _ = real(real_data, "fitsheader-decam.yaml")
    found = primary_of(SKY)
    for keyword, kind, _ in rows:
        if keyword not in OF_DES:
            assert type_of(found[keyword]) is KINDS[kind], keyword


def test_an_extension_is_like_a_real_one(real_data, whole):
    _, rows = real(real_data, "fitsheader-decam-0160496.yaml")
    with fits.open(whole, disable_image_compression=True) as hdus:
        found = hdus["S1"].header.copy()
        assert hdus["S1"].verify_checksum() == hdus["S1"].verify_datasum() == 1
    wanted = {keyword: (kind, value) for keyword, kind, value in rows}
    assert set(found) == set(wanted)
    # The order of what the compressed table and the checksums are described by is that of the library.
    apart = {*TABLE, "EXTNAME", "CHECKVER", "CHECKSUM", "DATASUM"}
    ours, theirs = ([k for k in names if k not in apart and not k.startswith("Z")] for names in (found, wanted))
    assert ours == theirs
    for keyword, (kind, value) in wanted.items():
        assert type_of(found[keyword]) is KINDS[kind], keyword
        if "SEC" in keyword or (keyword.startswith(("Z", "LT", "CCD", "DET")) and keyword != "DETECTOR"):
            assert found[keyword] == value, keyword
        elif keyword in ("BZERO", "BSCALE", "BUNIT", "CTYPE1", "CTYPE2", "FPA", "DETPOS", "EXTNAME", *TABLE):
            assert found[keyword] == value or keyword in ("PCOUNT", "TFORM1"), keyword
    assert (found["CRPIX1"], found["CRPIX2"]) == pytest.approx((wanted["CRPIX1"][1], wanted["CRPIX2"][1]), abs=1)
    assert found["CD2_1"] == pytest.approx(wanted["CD2_1"][1], rel=1e-2)


def test_the_tpv_of_a_ccd_is_where_the_real_one_is(real_data, whole):
    """Within the distortion, of which the real header tells more."""
    _, rows = real(real_data, "fitsheader-decam-0160496.yaml")
    card = {
        keyword: value
        for keyword, _, value in rows
        if keyword.startswith(("C", "PV", "RADESYS")) and "CHECK" not in keyword
    }
    card = {keyword: value for keyword, value in card.items() if not keyword.startswith("CCD")}
    with fits.open(whole) as hdus:
        ours = WCS({**{k: hdus["S1"].header[k] for k in card}, "CRVAL1": card["CRVAL1"], "CRVAL2": card["CRVAL2"]})
    for x, y in ((100, 100), (1080, 2100), (2000, 4000)):
        theirs, found = WCS(card).pixel_to_world(x, y), ours.pixel_to_world(x, y)
        assert theirs.separation(found).arcsec < 60


def test_a_whole_file_ends_with_the_focus_ccds(whole):
    with fits.open(whole) as hdus:
        names = [hdu.name for hdu in hdus[1:]]
        assert names == ["S1", "N3", *(f"F{side}{n}" for side in "SN" for n in (1, 2, 3, 4))]
        assert hdus[0].header["NEXTEND"] == 10
        assert hdus["N3"].shape == (4146, 2160)
        assert hdus["FN1"].shape == (2098, 2160)
        assert hdus["N3"].header["AMPSECA"] == "[1:1024,1:4096]"
        assert hdus["N3"].header["DATASECB"] == "[1081:2104,1:4096]"
        assert hdus["N3"].header["POSTSECA"] == "[57:1080,4097:4146]"
        assert hdus["N3"].header["DETSEC"] == "[14337:16384,8193:12288]"


def test_the_level_jumps_where_the_focus_ccds_have_been_read(whole):
    simulator = Two()
    with fits.open(whole) as hdus:
        for section in Two.ALL:
            ccd = simulator.make_ccd(section, SHOT, 1)
            for amplifier, found in zip(ccd.layout.amplifiers, ccd.electronics):
                level = hdus[section].data[amplifier.bias].mean(axis=1)
                row = amplifier.jumps[0] - amplifier.bias[0].start
                step = level[row : row + 200].mean() - level[row - 200 : row].mean()
                expected = found.jumps[0] * (-1 if amplifier.backwards[0] else 1)
                assert step == pytest.approx(expected, abs=0.35 * abs(expected) + 1)  # it scatters by a tenth


def test_reference_pixels_count_the_trimmed_ccd_as_in_real_files(whole):
    with fits.open(whole) as hdus:
        found = {name: (hdus[name].header["CRPIX1"], hdus[name].header["CRPIX2"]) for name in Two.ALL}
    # From the middle of the CCD, as far as its centre is from the axis in the focal plane (mm, pixels of 15 um).
    assert found["S1"] == pytest.approx((1024 + 16.908 / 0.015, 2048 + 191.67 / 0.015), abs=0.01)
    assert found["N3"] == pytest.approx((1024 - 16.908 / 0.015, 2048 + 63.89 / 0.015), abs=0.01)


def test_names_are_those_of_the_archive():
    simulator = DecamSimulator()
    names = [simulator.file_name(replace(SKY, kind=kind)) for kind in ("science", "bias", "dark", "dome")]
    assert names == [f"c4d_261208_213600_{letters}.fits.fz" for letters in ("ori", "zri", "dri", "fri")]
    assert len(simulator.sections()) == 62
    assert simulator.sections()[24] == "S1"


def test_amplifiers_of_the_camera_differ():
    simulator = DecamSimulator()
    gains = [a.gain for section in simulator.sections() for a in simulator.layout(section, 0.0).amplifiers]
    assert len(set(gains)) > 115
    assert np.mean(gains) == pytest.approx(4.1, abs=0.1)
