"""Fakes through the steps: recovered where they are, with their flux; and what was lost is told."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from processing.errors import BadInput
from processing.pipelines import FakeAnalyzing, FakeInjection


@pytest.fixture(scope="module")
def recovery(ccd) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The fakes, what became of them, and their true S/N (0 where nothing can be detected)."""
    fakes, table = ccd.fakes.table, ccd.analysis.table
    difference = ccd.found_with_fakes["difference"]
    row, column = np.rint(fakes["y"]).astype(int), np.rint(fakes["x"]).astype(int)
    free = difference.weight[row, column] > 0
    return fakes, table, np.where(free, fakes["flux"] / difference.alpha_error[row, column], 0)


def test_fakes_lie_on_good_pixels_and_are_as_many_as_wanted(ccd):
    fakes, image = ccd.fakes, ccd.new["image"]
    assert fakes.n_fakes == len(fakes.table) == 40
    row, column = np.rint(fakes.table["y"]).astype(int), np.rint(fakes.table["x"]).astype(int)
    assert np.all(image.weight[row, column] > 0)
    limit, points = ccd.new["zero_point"].limiting_magnitude, fakes.table[fakes.table["length"] == 0]
    assert np.all((points["mag"] > limit - 4) & (points["mag"] < limit + 0.5))


def test_bright_fakes_are_recovered_and_pass(recovery):
    _, table, snr = recovery
    bright = snr > 10
    assert bright.sum() >= 15
    assert table["is_detected"][bright].mean() >= 0.95
    assert table["is_kept"][bright].mean() >= 0.9
    assert np.mean(table["score"][bright & table["is_detected"]] > 0.5) >= 0.9


def test_recovered_fluxes_and_places_are_those_of_the_fakes(recovery):
    fakes, table, snr = recovery
    bright = (snr > 30) & table["is_detected"] & (fakes["host"] < 0)  # hosts leave residuals of their own
    assert bright.sum() >= 7
    assert np.median(table["flux"][bright] / fakes["flux"][bright]) == pytest.approx(1, abs=0.015)
    off = np.hypot(table["x"] - fakes["x"], table["y"] - fakes["y"])[bright]
    assert np.median(off) < 0.1


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


def test_another_seed_gives_other_fakes(ccd):
    inputs = {name: ccd.new[name] for name in ("image", "sources", "psf", "zero_point")}
    other = FakeInjection(count=40, seed=2).run(**inputs)
    assert other.random_seed == 2
    assert not np.array_equal(other.table["x"], ccd.fakes.table["x"])
