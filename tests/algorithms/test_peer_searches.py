"""What the benchmark of subtraction peers does with a difference that another program made."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.benchmarks import _peer_searches as searches

SOURCE = (70, 55, 600.0)  # x, y, electrons: 12σ
FADING = (40, 90, -600.0)
NOISE, FWHM, SIDE = 8.0, 4.0, 128


class Gaussian:
    """One PSF everywhere."""

    def stamp(self, x: float, y: float) -> np.ndarray:
        """The PSF, (25, 25)."""
        offset = np.arange(-12, 13)
        found = np.exp(-4 * np.log(2) * (offset**2 + offset[:, None] ** 2) / FWHM**2)
        return found / found.sum()


@pytest.fixture
def given():
    psf, shape = Gaussian(), (SIDE, SIDE)
    epoch = SimpleNamespace(psf=psf, fwhm=FWHM)
    usable = np.ones(shape, bool)
    usable[:, 100:] = False
    variance = np.full(shape, NOISE**2, np.float32)
    return SimpleNamespace(new=epoch, reference=epoch, usable=usable, variance=variance)


@pytest.fixture
def difference():
    data = np.random.default_rng(3).normal(0, NOISE, (SIDE, SIDE))
    for x, y, flux in (SOURCE, FADING, (110, 64, 600.0)):
        data[y - 12 : y + 13, x - 12 : x + 13] += flux * Gaussian().stamp(x, y)
    return data


def places(peaks):
    return sorted((round(row["x"]), round(row["y"]), bool(row["is_negative"])) for row in peaks)


def test_a_matched_filter_finds_both_signs_with_their_fluxes_where_it_may_look(given, difference):
    peaks, score = searches.by_matched_filter(given, difference)
    assert places(peaks) == [(40, 90, True), (70, 55, False)]
    assert np.abs(peaks["flux"]) == pytest.approx([600, 600], abs=4 * peaks["flux_err"].max())
    assert np.std(score[:30]) == pytest.approx(1, abs=0.15)


def test_a_score_of_any_unit_is_searched_in_its_own_scatter(given, difference):
    _, score = searches.by_matched_filter(given, difference)
    masked = np.zeros(score.shape, bool)
    masked[80:] = True
    peaks, scaled = searches.by_own_score(given, 1e-4 * score, masked)
    assert places(peaks) == [(70, 55, False)]
    assert np.nanstd(scaled[:30]) == pytest.approx(1, abs=0.15)


@pytest.mark.skipif(not shutil.which("source-extractor"), reason="source-extractor is not installed")
def test_source_extractor_finds_the_same(given, difference, tmp_path):
    peaks, cost = searches.by_source_extractor(given, difference, tmp_path)
    assert places(peaks) == [(40, 90, True), (70, 55, False)]
    assert set(cost) == {"detection: CPU s", "detection: MB above what was held"}


@pytest.mark.skipif(importlib.util.find_spec("sfft") is not None, reason="sfft is installed")
def test_a_peer_that_is_not_installed_is_told_from_one_that_fails(tmp_path):
    assert searches.peer("sfft", sys.executable, tmp_path) == "missing"
    assert "KeyError" in searches.peer("none", sys.executable, tmp_path)
