"""The demo's night is written once, is the same for a seed, and its truth is what the files hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import sep
from astropy.io import fits

from processing.algorithms.detrend import amplifier_plane
from processing.algorithms.overscan import subtract_overscan
from processing.algorithms.wcs_fit import wcs_from_header
from processing.errors import BadInput
from processing.instruments.base import Instrument
from processing.simulated_night import FIRST_MJD, Night, detector_of, frame_of, shots, truth_of, write_night
from products.models import Exposure
from products.sky import separation

TINY = Night(ccds=1, side=256, bands=("r",), early=2, late=2, biases=1, flats=1, seed=8)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    named: list[str] = []
    return folder, write_night(TINY, folder, named.append), named


def exposure_of(word: str) -> Exposure:
    shot = next(shot for shot in shots(TINY) if word in shot.name)
    return Exposure(name=shot.name, mjd=shot.mjd, filter=shot.band, kind=shot.kind)


def raw_of(files, name: str):
    camera = Instrument.member("demo")()
    path = next(path for path in files.exposures if path.name.startswith(name))
    return camera.read_section(path, {}, camera.read_exposure(path).header, "N1")


def test_all_exposures_are_written_and_read_back_as_what_they_are(written):
    _, files, named = written
    assert len(files.exposures) == len(named) == TINY.n_exposures == len(shots(TINY))
    for path, shot in zip(files.exposures, shots(TINY)):
        facts = Instrument.member("demo")().read_exposure(path)
        assert (facts.name, facts.kind, facts.filter) == (shot.name, shot.kind, shot.band)
        assert facts.mjd == pytest.approx(shot.mjd)
    science = [shot for shot in shots(TINY) if shot.kind == "science"]
    assert sum(shot.mjd < FIRST_MJD for shot in science) == 2
    assert len({int(shot.mjd) for shot in science}) == 4


def test_a_second_call_writes_nothing(written):
    folder, files, _ = written
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = write_night(TINY, folder, lambda name: None)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert again.exposures == files.exposures
    np.testing.assert_array_equal(again.catalog, files.catalog)


def test_one_missing_file_is_written_again_to_the_bit(written, tmp_path):
    _, files, _ = written
    path = files.exposures[-1]
    with fits.open(path) as hdus:
        expected = hdus["N1"].data.copy()
    path.unlink()
    write_night(TINY, path.parent, lambda name: None)
    with fits.open(path) as hdus:
        np.testing.assert_array_equal(hdus["N1"].data, expected)


def test_nights_of_another_size_or_seed_have_other_files():
    names = {shot.name for shot in shots(TINY)}
    for other in (replace(TINY, seed=1), replace(TINY, ccds=2)):
        assert not names & {shot.name for shot in shots(other)}


def test_the_truth_lies_in_the_image_and_transients_only_in_late_epochs(written):
    late, early = truth_of(TINY, exposure_of("late-2"), "N1"), truth_of(TINY, exposure_of("early-1"), "N1")
    for found in (late, early):
        assert ((found["x"] >= -0.5) & (found["x"] < 255.5) & (found["y"] >= -0.5) & (found["y"] < 255.5)).all()
        np.testing.assert_allclose(found["flux"][np.isin(found["kind"], ["star", "galaxy"])], 0, atol=1e-6)
    events = late[late["kind"] == "transient"]
    assert len(events) > 0
    assert (events["flux"] > 0).all()
    assert "transient" not in early["kind"]
    shot = next(shot for shot in shots(TINY) if "late-2" in shot.name)
    zero_point = frame_of(TINY, shot, "N1").zero_point
    np.testing.assert_allclose(events["flux"], 10 ** (0.4 * (zero_point - events["mag"])))


def test_stars_in_the_file_are_where_the_truth_says(written):
    _, files, _ = written
    exposure = exposure_of("late-1")
    raw = raw_of(files, exposure.name)
    electrons = subtract_overscan(raw.data, raw.amplifiers)
    electrons *= amplifier_plane(raw.amplifiers, electrons.shape, "gain") / detector_of(TINY, "N1", "r").response
    electrons -= np.median(electrons)
    truth = truth_of(TINY, exposure, "N1")
    stars = truth[(truth["kind"] == "star") & (truth["mag"] > 14) & (truth["mag"] < 18)]
    distance = np.hypot(stars["x"][:, None] - truth["x"], stars["y"][:, None] - truth["y"])
    crowded = np.sum((distance < 11) & (truth["mag"] < stars["mag"][:, None] + 3.5), axis=1) > 1
    stars = stars[~crowded & (np.abs(stars["x"] - 127.5) < 115) & (np.abs(stars["y"] - 127.5) < 115)]
    x, y, _ = sep.winpos(electrons, stars["x"], stars["y"], np.full(len(stars), 1.3))
    assert len(stars) >= 5
    # The faintest of them has S/N 60, or 0.03 px of error.
    assert np.median(np.hypot(x - stars["x"], y - stars["y"])) < 0.05
    assert np.abs([np.median(x - stars["x"]), np.median(y - stars["y"])]).max() < 0.03


def test_the_header_is_off_by_a_few_arcsec_only(written):
    _, files, _ = written
    exposure = exposure_of("late-1")
    truth = truth_of(TINY, exposure, "N1")
    ra, dec = wcs_from_header(raw_of(files, exposure.name).wcs).all_pix2world(truth["x"], truth["y"], 0)
    off = separation(ra, dec, truth["ra"], truth["dec"]) * 3600
    assert 2.5 < off.min() <= off.max() < 11


def test_the_catalogue_covers_the_image_with_realistic_errors(written):
    catalog = written[1].catalog
    assert (catalog["mag_r"] < 21).all()
    assert 0 < np.sum(~catalog["is_star"]) < np.sum(catalog["is_star"])
    truth = truth_of(TINY, exposure_of("early-1"), "N1")
    stars = truth[(truth["kind"] == "star") & (truth["mag"] < 19)]
    table = catalog[catalog["is_star"]]
    distance = separation(stars["ra"][:, None], stars["dec"][:, None], table["ra"], table["dec"]) * 3600
    assert np.median(distance.min(axis=1)) < 0.03
    nearest = table[distance.argmin(axis=1)]
    assert np.std(nearest["mag_r"] - stars["mag"]) == pytest.approx(0.01, abs=0.005)


def test_an_exposure_or_a_ccd_that_the_night_has_not_is_refused():
    with pytest.raises(BadInput):
        truth_of(TINY, Exposure(name="another", mjd=FIRST_MJD, filter="r"), "N1")
    with pytest.raises(BadInput):
        truth_of(TINY, exposure_of("late-1"), "N9")
    with pytest.raises(BadInput):
        write_night(replace(TINY, bands=("u",)), None, lambda name: None)
