"""Fakes through the steps: recovered where they are, with their flux; and what was lost is told."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from processing.datastore import DataStore
from processing.errors import BadInput
from processing.fakes import injected, is_due
from processing.pipelines import FakeAnalyzing, FakeInjection, Subtraction
from processing.providers import Untouched
from products.models import Exposure, FakeLoss, FakeSet
from products.pixel_flags import PixelFlag


@pytest.fixture(scope="module")
def recovery(ccd) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The fakes, what became of them, and their expected S/N (0 where nothing can be detected)."""
    fakes, table = ccd.fakes.table, ccd.analysis.table
    return fakes, table, np.nan_to_num(table["expected_snr"])


def test_fakes_lie_on_good_pixels_and_are_as_many_as_wanted(ccd):
    fakes, image = ccd.fakes, ccd.new["image"]
    assert fakes.n_fakes == len(fakes.table) == 40
    row, column = np.rint(fakes.table["y"]).astype(int), np.rint(fakes.table["x"]).astype(int)
    assert np.all(image.weight[row, column] > 0)
    limit, points = ccd.new["zero_point"].limiting_magnitude, fakes.table[fakes.table["length"] == 0]
    assert np.all((points["mag"] > limit - 4) & (points["mag"] < limit + 0.5))


def test_bright_fakes_are_recovered_and_pass(recovery):
    fakes, table, snr = recovery
    bright = (snr > 10) & np.isin(fakes["kind"], ["hostless", "hosted"]) & ~table["was_there"]
    assert bright.sum() >= 12
    assert table["is_detected"][bright].mean() >= 0.95
    assert table["is_kept"][bright].mean() >= 0.9
    assert np.mean(table["score"][bright & table["is_detected"]] > 0.5) >= 0.9


def test_recovered_fluxes_and_places_are_those_of_the_fakes(recovery):
    """Of new points, of stars that brightened and faded, and of the part of a streak that a PSF sees."""
    fakes, table, snr = recovery
    seen = (snr > 10) & table["is_detected"] & ~table["was_there"] & (fakes["kind"] != "hosted")
    assert seen.sum() >= 12 and (fakes["flux"][seen] < 0).any()  # hosts leave residuals of their own
    expected = (fakes["flux"] * table["response"])[seen]
    assert np.median(table["flux"][seen] / expected) == pytest.approx(1, abs=0.02)
    pull = (table["flux"][seen] - expected) / table["flux_error"][seen]
    assert abs(np.median(pull)) < 4 * 1.25 / np.sqrt(len(pull))
    assert 1.4826 * np.median(np.abs(pull - np.median(pull))) == pytest.approx(1, abs=0.5)
    off = np.hypot(table["x"] - fakes["x"], table["y"] - fakes["y"])[seen & (fakes["length"] == 0)]
    assert np.median(off) < 0.15


def test_the_expected_signal_to_noise_is_what_is_found(recovery):
    _, table, snr = recovery
    seen = (snr > 8) & table["is_detected"]
    assert np.median(table["snr"][seen] / snr[seen]) == pytest.approx(1, abs=0.03)


def test_every_fake_that_did_not_come_through_has_a_reason(ccd, recovery):
    _, table, snr = recovery
    lost = {loss["fake"]: loss for loss in ccd.analysis.losses}
    assert sorted(lost) == np.flatnonzero(~table["is_passed"]).tolist()
    assert all(table["reason"][index] == loss["reason"] for index, loss in lost.items())
    assert not [loss for loss in lost.values() if loss["reason"] == FakeLoss.UNEXPLAINED]
    for index, loss in lost.items():
        if loss["reason"] == FakeLoss.FAINT:
            assert 0 < snr[index] < 5
        if loss["reason"] == FakeLoss.CUT:
            assert table["is_bad"][index] and all(value != limit for _, value, limit in loss["cuts"])


def test_what_is_fitted_to_pixels_is_not_fitted_to_fakes(ccd):
    """Kernel, flux ratio and sky are those of the image without fakes, of which a third are stars that vary here."""
    fitted = ("kernel_sum", "kernel_stars", "flux_ratio", "registration_x", "sky_offset")
    inputs = {name: ccd.found[name] for name in (*ccd.new, "reference", "made_of")}
    steps, varying = Subtraction(method="alard_lupton"), FakeInjection(count=40, variable=0.4, min_separation=10)
    names = ("image", "sources", "psf", "zero_point")
    fakes = varying.run(**{name: ccd.new[name] for name in names})
    assert np.sum(fakes.table["kind"] == "variable") >= 12
    image = injected(DataStore(ccd.new["image"], fakes, ccd.new["psf"], ccd.new["background"]))
    warped, clean = steps.run(**inputs)
    _, guarded = steps.run(**inputs | {"image": image}, before=Untouched(ccd.new["image"], warped))
    _, careless = steps.run(**inputs | {"image": image})
    for name in fitted:
        assert guarded.quality[name] == clean.quality[name], name
    assert careless.quality["kernel_sum"] != clean.quality["kernel_sum"]
    assert careless.quality["sky_offset"] != clean.quality["sky_offset"]


def test_what_a_fake_fills_up_is_flagged_as_saturated(ccd):
    table = ccd.fakes.table[ccd.fakes.table["kind"] == "hostless"][:1].copy()
    table["flux"] = 40 * ccd.new["image"].saturation
    fakes = FakeSet(table=table, n_fakes=1, random_seed=1)
    image = injected(DataStore(ccd.new["image"], fakes, ccd.new["psf"], ccd.new["background"]))
    new = (image.flags & int(PixelFlag.SATURATED) != 0) & (ccd.new["image"].flags & int(PixelFlag.SATURATED) == 0)
    assert new.sum() > 1 and np.all(image.data[new] >= image.saturation)
    y, x = np.argwhere(new).mean(axis=0)
    assert np.hypot(x - table["x"][0], y - table["y"][0]) < 1
    np.testing.assert_array_equal(ccd.new["image"].flags & ~image.flags, 0)


def test_the_numbers_of_the_analysis_are_those_of_its_table(ccd):
    analysis = ccd.analysis
    table = analysis.table
    assert len(table) == ccd.fakes.n_fakes
    assert analysis.n_detected == table["is_detected"].sum()
    assert analysis.n_kept == table["is_kept"].sum()
    np.testing.assert_array_equal(table["is_kept"], table["is_detected"] & ~table["is_bad"])
    assert np.isnan(table["flux"][~table["is_detected"]]).all()
    assert np.isfinite(table["flux"][table["is_detected"]]).all()


def test_without_fakes_in_the_image_nearly_none_is_recovered(ccd):
    found = FakeAnalyzing().run(fake_set=ccd.fakes, score_set=ccd.found["score_set"], found=ccd.run_of(ccd.found))
    assert found.n_detected <= 2


def test_an_image_without_a_limit_is_refused(ccd):
    zero_point = copy.copy(ccd.new["zero_point"])
    zero_point.limiting_magnitude = None
    with pytest.raises(BadInput, match="limiting magnitude"):
        inputs = {name: ccd.new[name] for name in ("image", "sources", "psf")}
        FakeInjection().run(**inputs, zero_point=zero_point)


def test_fakes_have_the_flux_of_their_magnitude_where_they_are(ccd):
    inputs, tilted = {name: ccd.new[name] for name in ("image", "sources", "psf")}, copy.copy(ccd.new["zero_point"])
    tilted.surface = {"shape": list(ccd.new["image"].shape), "coefficients": [[0.0, 0.2], [0.1, 0.0]]}
    table = FakeInjection(count=40).run(**inputs, zero_point=tilted).table
    magnitude = tilted.at(table["x"], table["y"]) - 2.5 * np.log10(np.abs(table["flux"]))
    np.testing.assert_allclose(magnitude, table["mag"], atol=1e-5)


def test_the_seed_follows_from_the_image_and_the_same_fakes_come_again(ccd):
    inputs = {name: ccd.new[name] for name in ("image", "sources", "psf", "zero_point")}
    again = FakeInjection(count=40).run(**inputs)
    assert again.random_seed == ccd.fakes.random_seed > 2**32
    np.testing.assert_array_equal(again.table, ccd.fakes.table)
    stores = [DataStore(ccd.new["image"], one, ccd.new["psf"], ccd.new["background"]) for one in (again, ccd.fakes)]
    first, second = (injected(store) for store in stores)
    np.testing.assert_array_equal(first.data, second.data)
    other = copy.copy(ccd.new["image"])
    other.section = "N2"
    assert FakeInjection(count=40).run(**inputs | {"image": other}).random_seed != again.random_seed


def test_another_seed_gives_other_fakes(ccd):
    inputs = {name: ccd.new[name] for name in ("image", "sources", "psf", "zero_point")}
    other = FakeInjection(count=40, seed=2).run(**inputs)
    assert other.random_seed == 2
    assert not np.array_equal(other.table["x"], ccd.fakes.table["x"])


def test_one_ccd_in_so_many_has_its_turn_and_every_ccd_within_a_week():
    """A survey of 32 CCDs and 60 exposures a night; the same ones are chosen whenever they are asked for."""
    sections = [f"S{number}" for number in range(32)]
    exposures = [
        Exposure(name=f"survey_{night}_{number}", instrument="ls4", mjd=61360.1 + night + number / 200)
        for night in range(7)
        for number in range(60)
    ]
    due = np.array([[is_due(one, section, 50) for section in sections] for one in exposures])
    assert due.mean() == pytest.approx(1 / 50, abs=4 * np.sqrt(0.02 / due.size))
    assert due.any(axis=0).all()
    assert due.sum(axis=1).max() <= 6  # no exposure waits for many of them
    again = [[is_due(one, section, 50) for section in sections] for one in exposures]
    np.testing.assert_array_equal(due, again)
    assert not any(is_due(one, "S1", 0) for one in exposures) and all(is_due(one, "S1", 1) for one in exposures)
