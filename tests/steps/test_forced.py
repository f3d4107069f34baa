"""Forced photometry of a simulated CCD: unbiased at empty places, true at sources, that of the detection at one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from astropy.io import fits as astropy_fits

from processing.pipelines import ForcedPhotometry
from processing.steps.forced import Places
from products.models import ForcedFlux
from products.pixel_flags import PixelFlag
from products.sky import hpx


def forced(given, x, y, step=None) -> list[ForcedFlux]:
    """Fluxes at pixels of the difference of a CCD."""
    ra, dec = given["world_coordinates"].wcs.all_pix2world(x, y, 0)
    point = {name: given[name] for name in ("world_coordinates", "zero_point")}
    return (step or ForcedPhotometry()).run(image=given["difference"], places=Places(ra, dec), **point)


@pytest.fixture(scope="module")
def empty(ccd) -> list[ForcedFlux]:
    """Fluxes at random places, of stars and of sky, away from what changed."""
    truth, rng = ccd.truth, np.random.default_rng(4)
    x, y = rng.uniform(20, 491, (2, 1500))
    varied = truth[np.abs(truth["flux"]) > 0]
    away = np.hypot(x[:, None] - varied["x"], y[:, None] - varied["y"]).min(axis=1, initial=99) > 15
    return forced(ccd.found, x[away], y[away])


def test_random_places_have_no_flux_within_their_errors(empty):
    pull = np.array([row.flux / row.flux_error for row in empty if not row.is_bad])
    assert len(pull) > 600
    assert abs(pull.mean()) < 0.1
    assert 0.95 < pull.std() < 1.10
    assert np.mean([row.is_limit for row in empty if not row.is_bad]) > 0.99


def test_what_changed_has_its_flux_within_its_error(ccd):
    truth = ccd.truth[np.abs(ccd.truth["flux"]) > 0]
    rows = forced(ccd.found, truth["x"], truth["y"])
    assert len(rows) == len(truth)
    pairs = [(row, one) for row, one in zip(rows, truth) if not row.is_bad]
    assert len(pairs) >= 5
    pull = [(row.flux - one["flux"]) / np.hypot(row.flux_error, 0.02 * one["flux"]) for row, one in pairs]
    assert np.max(np.abs(pull)) < 5
    assert abs(np.mean(pull)) < 3 / np.sqrt(len(pull))


def test_at_a_detection_it_is_the_flux_of_the_detection(ccd):
    given = ccd.found
    # Detections that share a footprint were fitted together; a forced flux has the light of what is beside it.
    detected = [row for row in given["measurement_set"].rows if row.diagnostics["n_blended"] == 1]
    rows = forced(given, np.array([row.x for row in detected]), np.array([row.y for row in detected]))
    assert len(rows) == len(detected) >= 5
    for row, one in zip(rows, detected):
        assert row.flux == pytest.approx(one.flux, abs=1e-3 * one.flux_error)
        assert row.flux_error >= 0.999 * one.flux_error
        assert abs(row.flux / row.flux_error) == pytest.approx(one.snr, rel=0.25)
        assert row.magnitude == pytest.approx(one.magnitude, abs=1e-3)
        assert (row.ra, row.dec) == pytest.approx((one.ra, one.dec), abs=1e-9)


def test_errors_and_limits_are_those_of_the_place(ccd, empty):
    zero_point, image = ccd.found["zero_point"], ccd.found["image"]
    good = [row for row in empty if not row.is_bad]
    x, y = np.rint([[row.x, row.y] for row in good]).astype(int).T
    light = (image.data - ccd.found["background"].level)[y, x]
    on_star = light > 30 * ccd.found["background"].noise
    errors = np.array([row.flux_error for row in good])
    assert errors[on_star].min() > 1.2 * np.median(errors[~on_star])
    row = good[0]
    assert row.limiting_magnitude == pytest.approx(zero_point.at(row.x, row.y) - 2.5 * np.log10(5 * row.flux_error))
    assert row.flux_error_ujy == pytest.approx(row.flux_error * 10 ** (0.4 * (23.9 - row.zp)))


def test_masked_pixels_under_the_core_and_the_edge_are_told(ccd):
    given = {**ccd.found, "difference": copy.copy(ccd.found["difference"])}
    difference = given["difference"]
    difference.__dict__["_planes"] = {**difference.__dict__["_planes"]}
    x, y = 255.4, 200.7
    clear = forced(given, np.array([x]), np.array([y]))[0]
    assert not clear.is_bad and not clear.flags
    for flag, is_bad in ((PixelFlag.SATURATED, True), (PixelFlag.BRIGHT_HALO, False)):
        difference.flags = ccd.found["difference"].flags.copy()
        difference.flags[201, 256] |= int(flag)
        row = forced(given, np.array([x]), np.array([y]))[0]
        assert (row.is_bad, row.pixel_flags, row.flux) == (is_bad, flag, clear.flux)
    rows = forced(given, np.array([0.8, 255.0, 510.0, 60.0]), np.array([250.0, 1.0, 250.0, 250.0]))
    assert [bool(row.pixel_flags & PixelFlag.OUT_OF_BOUNDS) for row in rows] == [True, True, True, False]
    assert all(row.is_bad for row in rows[:3])


def test_places_off_the_image_have_no_flux(ccd):
    assert forced(ccd.found, np.array([-3.0, 700.0, 1e5]), np.array([100.0, 100.0, 1e5])) == []
    rows = forced(ccd.found, np.array([-3.0, 100.0]), np.array([100.0, 100.0]))
    assert [round(row.x, 3) for row in rows] == [100.0]


def test_positions_are_numbered_as_everywhere(ccd, empty):
    row = empty[0]
    assert row.hpx == hpx(row.ra, row.dec)[0]


def test_of_a_file_only_the_part_around_the_places_is_read(ccd, tmp_path, monkeypatch, settings):
    """What is read from the file is what the whole planes have there, to the rounding of their compression."""
    given = {**ccd.found, "difference": copy.copy(ccd.found["difference"])}
    row = given["difference"]
    row.__dict__["_planes"] = {**row.__dict__["_planes"]}
    row.file_key = lambda: "difference.fits"
    row.write_file()
    row.free()
    read = []
    section = astropy_fits.CompImageHDU.section.fget
    monkeypatch.setattr(
        astropy_fits.CompImageHDU, "data", property(lambda hdu: pytest.fail("a whole plane was read")), raising=True
    )
    monkeypatch.setattr(
        astropy_fits.CompImageHDU, "section", property(lambda hdu: read.append(hdu.name) or section(hdu))
    )
    x, y = np.array([255.4]), np.array([200.7])
    from_file = forced(given, x, y)[0]
    assert sorted(read) == ["ALPHA", "FLG", "SCORE", "VAR"]
    in_memory = forced(ccd.found, x, y)[0]
    assert from_file.flux == pytest.approx(in_memory.flux, abs=0.05 * in_memory.flux_error)
    assert from_file.flux_error == pytest.approx(in_memory.flux_error, rel=0.01)
