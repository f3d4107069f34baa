"""Linearity from ramps: the true curve, whatever the lamp does, and ramps that tell nothing."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.linearity import (
    LinearityParameters,
    cell_means,
    fit_linearity,
    lamp_light,
    levels_of,
)
from processing.algorithms.overscan import Amplifier
from processing.errors import BadInput

FULL = 50_000.0
TIMES = np.array([0.5, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20])
P = LinearityParameters()


def amplifier(name: str) -> Amplifier:
    box = slice(0, 64), slice(0, 64)
    return Amplifier(name, box, None, box, 2.0, 6.0, FULL)


def measured(linear: np.ndarray, deficit: float) -> np.ndarray:
    part = linear / FULL
    return linear * (1 - deficit * (0.6 * part + 0.4 * part**2))


def ramp(drift: float, *, monitored: bool = True, noise: float = 1e-4):
    """Levels (n, 2) of two amplifiers, times and dates of a ramp under a lamp that changes by `drift`."""
    times = np.array([t for one in TIMES for t in (one, 5.0)]) if monitored else TIMES
    mjd = 61000 + np.arange(len(times)) / 1440
    light = 1 + drift * np.sin(np.linspace(0, 2.5, len(times)))
    linear = 0.97 * FULL * times / 20 * light
    rng = np.random.default_rng(1)
    levels = np.stack([measured(linear, d) * (1 + rng.normal(0, noise, len(times))) for d in (0.025, -0.01)], axis=1)
    return levels, times, mjd


@pytest.mark.parametrize("drift", [0.0, 0.02, -0.05])
def test_the_curve_is_the_true_one_while_the_lamp_changes(drift):
    levels, times, mjd = ramp(drift)
    fit = fit_linearity(levels, times, mjd, [amplifier("A"), amplifier("B")], [FULL, FULL], P)
    for name, deficit in (("A", 0.025), ("B", -0.01)):
        table = fit.table[fit.table["amplifier"] == name]
        assert table["adu"][0] == table["linear_adu"][0] == 0 and np.all(np.diff(table["adu"]) > 0)
        linear = np.linspace(500, 0.9 * FULL, 200)
        found = np.interp(measured(linear, deficit), table["adu"], table["linear_adu"])
        assert np.abs(found / linear - 1).max() < 0.002
        assert fit.residual[name] < 5e-4 and fit.reach[name] > 0.9
    assert fit.is_drift_known and fit.drift == pytest.approx(abs(drift), abs=0.004)


def test_a_lamp_that_nobody_followed_is_taken_as_steady_and_that_is_said():
    levels, times, mjd = ramp(0.0, monitored=False)
    assert not fit_linearity(levels, times, mjd, [amplifier("A"), amplifier("B")], [FULL] * 2, P).is_drift_known
    light, is_known = lamp_light(levels, times, mjd, 5)
    assert not is_known and np.all(light == 1)


def test_one_flat_of_another_light_is_left_out():
    levels, times, mjd = ramp(0.0)
    levels[8] *= 1.2
    fit = fit_linearity(levels, times, mjd, [amplifier("A"), amplifier("B")], [FULL] * 2, P)
    assert fit.largest["A"] < 2e-3
    assert len([point for point in fit.points if point["amplifier"] == "A"]) == len(times) - 1


def test_ramps_that_tell_nothing_are_refused():
    levels, times, mjd = ramp(0.0)
    few = np.isin(times, [1.0, 5.0, 8.0])
    with pytest.raises(BadInput, match="3 exposure times can be used"):
        fit_linearity(levels[few], times[few], mjd[few], [amplifier("A"), amplifier("B")], [FULL] * 2, P)
    levels[times > 4] = np.nan
    with pytest.raises(BadInput, match="without saturation"):
        fit_linearity(levels, times, mjd, [amplifier("A"), amplifier("B")], [FULL] * 2, P)


def test_levels_are_of_the_same_cells_and_end_where_these_saturate():
    response = 1 + 0.2 * np.linspace(-1, 1, 64)[None, :] * np.ones((64, 1))
    response[20, 30] = 0.0
    factors = np.array([0.1, 0.3, 0.5, 0.8, 0.9])
    frames = [np.minimum(FULL * factor * response, FULL).astype(np.float32) for factor in factors]
    cells = [cell_means(frame, frame, amplifier("A"), 0.97) for frame in frames]
    levels = levels_of(cells)
    np.testing.assert_allclose(levels[:4] / levels[0], factors[:4] / factors[0], rtol=1e-6)
    assert np.isnan(levels[4])
