"""Every simulated camera: its own instrument reads its files, and finds in them what the truth says."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from processing.algorithms.overscan import subtract_overscan, trimmed_shape
from processing.algorithms.simulation_tiles import Tiles
from processing.algorithms.sky import tangent_plane
from processing.errors import BadInput
from processing.instruments.base import Instrument
from processing.simulated_exposures import Scene, truth_path, write_exposure
from processing.simulated_survey import Field, full_well, single_shots, sky_parameters, sky_shots
from processing.simulators.base import KINDS, Shot, Simulator

NAMES = tuple(Simulator.members())
NIGHT = 61382.0
FIELD = Field(ra=52.1, dec=-27.8, night=NIGHT)


def small(name: str) -> Simulator:
    """The camera with CCDs of fewer rows, where its files are such that they can have fewer."""
    member = Simulator.member(name)
    return member(rows=512) if "rows" in member.model_fields else member()


def bands_of(simulator: Simulator) -> tuple[str, ...]:
    return tuple(simulator.photometry)[:1] if simulator.has_filter_wheel else ("",)


def scene_of(simulator: Simulator, **changes) -> Scene:
    return replace(Scene(5, Tiles(sky_parameters(simulator, 5, {}))), **changes)


@pytest.fixture(scope="module", params=NAMES)
def simulator(request):
    return small(request.param)


@pytest.fixture(scope="module")
def written(simulator, tmp_path_factory):
    """A science exposure of two CCDs, with its shot."""
    field = replace(FIELD, bands=bands_of(simulator))
    shot = sky_shots(simulator, field, 5)[0]
    folder = tmp_path_factory.mktemp(simulator.name)
    sections = simulator.sections()[3:5]
    return shot, write_exposure(simulator, shot, scene_of(simulator), folder, sections=sections)


def test_every_instrument_with_a_simulator_is_there(simulator):
    assert simulator.name in Instrument.members()
    assert len(set(simulator.sections())) == len(simulator.sections())
    assert set(simulator.photometry) <= set(Instrument.member(simulator.name).filters)


def test_the_instrument_reads_the_facts_of_an_exposure(simulator, written):
    shot, path = written
    assert Instrument.member(simulator.name)().admit(path).warnings == ()
    facts = Instrument.member(simulator.name)().read_exposure(path)
    assert facts.kind == "science"
    assert facts.mjd == pytest.approx(shot.mjd, abs=1e-6)
    assert facts.exposure_time == shot.exposure_time
    assert (facts.ra, facts.dec) == pytest.approx((shot.ra, shot.dec), abs=2e-3)
    weather = simulator.weather(shot, 5)
    assert facts.airmass == pytest.approx(weather.airmass, abs=0.02)
    sections = simulator.sections()[3:5]
    assert sorted(facts.header["sections"]) == sorted(sections)
    for section in sections:
        assert (facts.filter or facts.filters[section]) == simulator.band_of(section, shot)


def test_the_instrument_finds_the_pixels_and_the_amplifiers(simulator, written):
    shot, path = written
    camera = Instrument.member(simulator.name)()
    facts = camera.read_exposure(path)
    for section in simulator.sections()[3:5]:
        raw, layout = camera.read_section(path, {}, facts.header, section), simulator.layout(section, shot.mjd)
        assert raw.data.shape == layout.shape
        by_name = {amplifier.name: amplifier for amplifier in layout.amplifiers}
        assert {amplifier.name: amplifier for amplifier in raw.amplifiers} == by_name


def test_stars_are_where_the_truth_says(simulator, written):
    path = written[1]
    camera, section = Instrument.member(simulator.name)(), simulator.sections()[3]
    raw = camera.read_section(path, {}, camera.read_exposure(path).header, section)
    image = subtract_overscan(raw.data, raw.amplifiers)
    image -= np.median(image)
    with fits.open(truth_path(path)) as hdus:
        table = hdus["SOURCES"].data
        gain = np.mean(hdus["EFFECTS"].data["gain"])
    ny, nx = trimmed_shape(raw.amplifiers)
    here = (table["section"] == section) & (table["kind"] == "star")
    here &= (table["x"] > 20) & (table["x"] < nx - 20) & (table["y"] > 20) & (table["y"] < ny - 20)
    stars = table[here & (table["flux"] > 2e4) & (table["flux"] < 3e5)]
    assert len(stars) >= 10
    shifts, ratios = [], []
    for star in stars:
        x, y = round(float(star["x"])), round(float(star["y"]))
        box = image[y - 8 : y + 9, x - 8 : x + 9]
        peak = np.unravel_index(box[4:13, 4:13].argmax(), (9, 9))
        shifts.append((peak[1] + x - 4 - star["x"], peak[0] + y - 4 - star["y"]))
        ratios.append(box.sum() * gain / star["flux"])
    assert np.abs(np.median(shifts, axis=0)).max() < 0.5
    assert np.median(ratios) == pytest.approx(1, abs=0.1)  # wings, neighbours, response


def test_the_rough_wcs_is_wrong_by_the_pointing_error_only(simulator, written):
    shot, path = written
    camera, section = Instrument.member(simulator.name)(), simulator.sections()[3]
    wcs = WCS(camera.read_section(path, {}, camera.read_exposure(path).header, section).wcs)
    with fits.open(truth_path(path)) as hdus:
        table, header = hdus["SOURCES"].data, hdus[0].header
    table = table[table["section"] == section]
    x, y = wcs.all_world2pix(table["ra"], table["dec"], 0)
    error = np.hypot(*tangent_plane(shot.ra, shot.dec, header["RA"], header["DEC"])) / simulator.scale
    missed = np.hypot(np.median(x - table["x"]), np.median(y - table["y"]))
    turned = np.radians(abs(header["ROTATION"])) * simulator.place(section).radius
    assert missed < error + turned + simulator.distortion + 1
    assert np.std(x - table["x"]) < 1 + turned


def test_the_same_exposure_is_the_same_bytes_however_many_processes_made_it(simulator, written, tmp_path):
    shot = replace(written[0], kind="bias", exposure_time=0.0)
    is_quick = "rows" in type(simulator).model_fields  # one camera is enough for two processes
    sections = simulator.sections()[3 : 5 if is_quick else 4]
    paths = [
        write_exposure(simulator, shot, scene_of(simulator), tmp_path / str(n), sections=sections, numprocs=n)
        for n in (1, 2)
    ]
    for first, second in (paths, map(truth_path, paths)):
        assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(
        [paths[0].name, truth_path(paths[0]).name]
    )  # nothing is left beside them


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "science"])
def test_calibration_frames_say_what_they_are(simulator, kind, tmp_path):
    field = replace(FIELD, bands=bands_of(simulator))
    shots = single_shots(simulator, kind, field, 5, count=2)
    assert shots[1].mjd > shots[0].mjd
    section = simulator.sections()[0]
    path = write_exposure(simulator, shots[0], scene_of(simulator), tmp_path, sections=[section])
    camera = Instrument.member(simulator.name)()
    facts = camera.read_exposure(path)
    assert camera.admit(path).warnings == ()
    assert facts.kind == {"dome": "flat", "twilight": "flat"}.get(kind, kind)
    assert (facts.header.get("flat_type") or "") in {"dome": ("dome",), "twilight": ("twilight", "sky")}.get(
        kind, ("",)
    )
    raw = camera.read_section(path, {}, facts.header, section)
    image = subtract_overscan(raw.data, raw.amplifiers)
    gain = np.mean([amplifier.gain for amplifier in raw.amplifiers])
    if kind in ("dome", "twilight"):
        assert np.median(image) * gain == pytest.approx(0.3 * full_well(simulator), rel=0.5)
    else:
        assert abs(np.median(image)) < 5


def test_sections_that_are_not_there_are_refused(simulator):
    with pytest.raises(BadInput, match="has no such CCD"):
        simulator.chosen(["Q17"])
    some = simulator.sections()[2::-1]
    assert simulator.chosen(some) == simulator.sections()[:3]
    assert simulator.chosen([]) == simulator.sections()


def test_ccds_lie_side_by_side_and_not_on_top_of_each_other(simulator):
    ny, nx = simulator.layout(simulator.sections()[0], NIGHT).trimmed
    corners = np.array([simulator.place(section).origin for section in simulator.sections()])
    assert np.hypot(*corners.T).max() < simulator.place(simulator.sections()[0]).radius
    for number, corner in enumerate(corners):
        away = np.abs(np.delete(corners, number, axis=0) - corner)
        assert ((away[:, 0] > nx - 60) | (away[:, 1] > ny - 60)).all()
    # The place in the field is where the header puts the CCD.
    for section in simulator.sections()[::7]:
        wcs = WCS(simulator.wcs(section, FIELD.ra, FIELD.dec))
        x, y = wcs.all_world2pix(FIELD.ra, FIELD.dec, 0)
        origin = simulator.place(section).origin
        assert (float(x), float(y)) == pytest.approx((-origin[0], -origin[1]), abs=90)


def test_the_sky_is_the_same_on_every_night_but_for_what_varies(simulator, tmp_path):
    field = replace(FIELD, bands=bands_of(simulator), nights=2, cadence=6.0, dither=0.0)
    tables = []
    for shot in sky_shots(simulator, field, 5):
        path = write_exposure(simulator, shot, scene_of(simulator), tmp_path, sections=simulator.sections()[3:4])
        tables.append(fits.getdata(truth_path(path), "SOURCES"))
    ids = [table["id"] for table in tables]
    shared, first, second = np.intersect1d(*ids, return_indices=True)
    assert len(shared) > 0.6 * len(ids[0])  # the pointing error moves the edges of short CCDs
    change = tables[1]["mag"][second] - tables[0]["mag"][first]
    kind = tables[0]["kind"][first]
    assert set(kind) == {"star", "variable", "galaxy", "transient"}
    assert (change[np.isin(kind, ["star", "galaxy"])] == 0).all()
    assert (np.abs(change[kind == "transient"]) > 0).all()
    moved = np.hypot(*(tables[1][name][second] - tables[0][name][first] for name in ("ra", "dec"))) * 3600
    assert (moved[kind == "galaxy"] == 0).all()
    assert 0 < np.median(moved[kind == "star"]) < 0.01


def test_pointings_are_dithered_by_what_is_asked(simulator):
    field = replace(FIELD, bands=bands_of(simulator), exposures=12, dither=200.0)
    shots = sky_shots(simulator, field, 5)
    away = [np.hypot(*tangent_plane(shot.ra, shot.dec, FIELD.ra, FIELD.dec)) for shot in shots]
    assert np.sqrt(np.mean(np.square(away))) == pytest.approx(200 * np.sqrt(2), rel=0.5)
    assert len({simulator.file_name(shot) for shot in shots}) == 12
    assert np.mean([shot.mjd for shot in shots]) == pytest.approx(
        sky_shots(simulator, replace(field, exposures=1), 5)[0].mjd, abs=1e-4
    )


def test_a_field_below_the_horizon_is_refused_with_a_better_time(simulator):
    field = replace(FIELD, ra=232.0, bands=bands_of(simulator))
    with pytest.raises(BadInput, match=r"altitude of -?\d+°.*it is highest"):
        sky_shots(simulator, field, 1)


def test_a_shot_has_seeds_of_its_own():
    shot = Shot(1, "dark", "", 61382.8, 60.0, 0.0, 0.0)
    assert shot.seed(1, "a") != shot.seed(1, "b")
    assert shot.seed(1, "a") != replace(shot, mjd=61382.8005).seed(1, "a")
