"""The files of LS4: extensions, keywords and section cards of either readout."""

from __future__ import annotations

import re

import numpy as np
import pytest
from astropy.io import fits

from processing.algorithms.simulation_tiles import Tiles
from processing.instruments.ls4 import SECTIONS, Ls4
from processing.simulated_exposures import Scene, write_exposure
from processing.simulated_survey import CalibrationSet, calibration_shots, full_well, sky_parameters
from processing.simulators.base import Shot
from processing.simulators.ls4 import Ls4Simulator

ROWS = 128
SHOT = Shot(12, "bias", "", 61382.9, 0.0, 52.1, -29.3)
EVERYWHERE = (
    *("INSTRUME", "TELESCOP", "STARTOBS", "EXPTIME", "TELE-RA", "TELE-DEC", "IMAGETYP", "FILTERID", "TARGETID", "PROJECT"),
    *("GAIN", "CCD_LOC", "AMP_NAME", "BUNIT", "DATASECL", "BIASSECL", "PRESECL", "DATASECR", "BIASSECR", "PRESECR"),
)  # fmt: skip


def write(folder, *, shot=SHOT, sections=(), **options):
    simulator = Ls4Simulator(rows=ROWS, **options)
    scene = Scene(1, Tiles(sky_parameters(simulator, 1, {})))
    return simulator, write_exposure(simulator, shot, scene, folder, sections=sections)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A bias of all 32 CCDs, read through both amplifiers."""
    return write(tmp_path_factory.mktemp("ls4"))


def test_a_file_has_two_extensions_for_each_of_32_ccds(whole):
    _, path = whole
    assert re.fullmatch(r"20261208213600d_00012\.fits\.fz", path.name)
    with fits.open(path) as hdus:
        assert len(hdus) == 65
        assert hdus[0].data is None
        found = [(hdu.header["CCD_LOC"], hdu.header["AMP_NAME"]) for hdu in hdus[1:]]
        assert found == [(name, side) for name in SECTIONS for side in ("RIGHT", "LEFT")]
        for hdu in hdus[1:]:
            assert hdu.data.dtype == np.uint16
            assert hdu.data.shape == (ROWS, 1050)
            assert all(name in hdu.header for name in EVERYWHERE)
            assert hdu.header["AMP_DIRECTION"] == "both"
            assert not [name for name in hdu.header if name.startswith(("CRVAL", "CTYPE", "CD1"))]
            assert hdu.header["DATASECL"] == f"[7:1030,1:{ROWS}]"
            assert hdu.header["BIASSECR"] == f"[1:20,1:{ROWS}]"
    with fits.open(path, disable_image_compression=True) as hdus:
        assert {hdu.header["ZCMPTYPE"] for hdu in hdus[1:]} == {"RICE_1"}
        assert {hdu.header["BZERO"] for hdu in hdus[1:]} == {32768}


def test_every_ccd_has_a_level_of_its_own(whole):
    _, path = whole
    with fits.open(path) as hdus:
        levels = [float(np.median(hdu.data)) for hdu in hdus[1:]]
    assert len({round(level) for level in levels}) > 50
    assert np.std(levels) == pytest.approx(60, rel=0.4)


@pytest.mark.parametrize(
    ("section", "side", "bias"), [("NE_A", "L", slice(2054, 2074)), ("SE_C", "R", slice(0, 20))], ids=["left", "right"]
)
def test_one_amplifier_reads_a_ccd_to_the_side_that_the_tables_say(tmp_path, section, side, bias):
    shot = Shot(3, "dome", "", 61382.9, 10.0, 52.1, -29.3, level=20_000.0)
    _, path = write(tmp_path, shot=shot, sections=[section], amplifiers="single")
    with fits.open(path) as hdus:
        assert len(hdus) == 2
        assert hdus[1].header["AMP_DIRECTION"] == "left"
        assert hdus[1].header["CCDMODE"] == "single"
        raw = hdus[1].data.astype(float)
    assert raw.shape == (ROWS, 2 * 1024 + 26)
    assert np.median(raw[:, bias]) < 2000 < np.median(raw)
    camera = Ls4()
    found = camera.read_section(path, {}, camera.read_exposure(path).header, section)
    assert [(amplifier.name, amplifier.bias[1]) for amplifier in found.amplifiers] == [(side, bias)]


def test_filters_are_those_of_the_quadrants(whole):
    simulator, _ = whole
    bands = {section[:2]: simulator.band_of(section, SHOT) for section in SECTIONS}
    assert bands == {"NE": "i", "NW": "z", "SE": "g", "SW": "i"}
    assert simulator.parameters_in("z").fringes > 0
    assert simulator.parameters_in("i").fringes == 0


def test_a_calibration_set_has_frames_of_all_kinds_in_order_of_time():
    simulator = Ls4Simulator()
    shots = calibration_shots(
        simulator, CalibrationSet(biases=3, darks=2, flats=4, twilights=2, ramp=5), 61382.0, [""], 1
    )
    kinds = [shot.kind for shot in shots]
    assert {kind: kinds.count(kind) for kind in kinds} == {"bias": 3, "dark": 2, "dome": 4 + 2 * 5, "twilight": 2}
    times = [shot.mjd for shot in shots]
    assert times == sorted(times)
    assert len({simulator.file_name(shot) for shot in shots}) == len(shots)
    ramp = [shot for shot in shots if shot.kind == "dome"][:10]
    rates = [shot.level / shot.exposure_time for shot in ramp]
    assert np.ptp(rates) / np.mean(rates) < 0.01  # a lamp that hardly flickers: exposure times measure linearity
    assert 0.85 < ramp[-1].level / full_well(simulator) < 0.95


def test_more_of_one_kind_does_not_change_the_others():
    simulator = Ls4Simulator()
    few, many = (
        calibration_shots(simulator, CalibrationSet(biases=3, darks=0, flats=n, twilights=0, ramp=0), 61382.0, [""], 1)
        for n in (1, 6)
    )
    assert few == many[: len(few)]


def test_flats_of_a_calibration_set_have_the_level_that_is_asked_for():
    wanted = CalibrationSet(biases=0, darks=0, flats=2, twilights=2, ramp=0, level=60000.0)
    shots = calibration_shots(Ls4Simulator(), wanted, 61382.0, [""], 1)
    levels = {kind: [shot.level for shot in shots if shot.kind == kind] for kind in ("dome", "twilight")}
    assert levels["dome"] == pytest.approx([60000.0] * 2, rel=0.01)
    assert levels["twilight"] == pytest.approx([60000.0] * 2, rel=0.5)


def test_bright_light_in_one_ccd_makes_ghosts_in_the_next(tmp_path):
    """Crosstalk between CCDs is there when it is asked for, and the truth tells its coefficients."""
    from processing.algorithms.simulation_readout import in_read_order
    from processing.simulated_exposures import simulate_section

    simulator = Ls4Simulator(
        rows=ROWS, far_crosstalk=0.01, ccd=Ls4Simulator().ccd.model_copy(update={"crosstalk": 0.0})
    )
    scene = Scene(1, Tiles(sky_parameters(simulator, 1, {})), planes=True)
    shot = Shot(3, "dome", "", 61382.9, 10.0, 52.1, -29.3, level=20_000.0)
    parts = [simulate_section(simulator, shot, scene, section, tmp_path) for section in ("SW_A", "SW_B")]
    ghosts = fits.getdata(tmp_path / "SW_A.planes.fits", "GHOSTS")
    source = np.prod([fits.getdata(tmp_path / "SW_B.planes.fits", name) for name in ("EXPECTED", "RESPONSE")], axis=0)
    table = parts[0].effects["CROSSTALK"]
    table = table[table["source_section"] == "SW_B"]
    assert len(table) == 4
    amplifiers = {a.name: a for a in simulator.layout("SW_A", shot.mjd).amplifiers}
    gains = {row["amplifier"]: row["gain"] for row in parts[1].effects["EFFECTS"]}
    for name, amplifier in amplifiers.items():
        expected = sum(
            row["coefficient"]
            * in_read_order(source, amplifiers[row["source_amplifier"]])
            / gains[row["source_amplifier"]]
            for row in table[table["amplifier"] == name]
        )
        ratio = in_read_order(ghosts, amplifier) / expected
        assert np.median(ratio) == pytest.approx(1, abs=0.01)  # the source is not quite linear
        assert np.corrcoef(in_read_order(ghosts, amplifier).ravel(), expected.ravel())[0, 1] > 0.9
