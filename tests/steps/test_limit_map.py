"""The map of the 5σ limit is true: of sources that are as bright as it says one in two is found, wherever they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from processing.algorithms.simulation_render import background
from processing.pipelines import Detection, Subtraction
from products.depth import grid, limiting_flux
from tests.benchmarks._limit_truth import Injected, by_depth, half_found, inject
from tests.benchmarks._pair_fields import PairField, pair_field
from tests.benchmarks.subtraction import calibrated

BINS = 5


@pytest.fixture(scope="module")
def pair() -> PairField:
    """A sky that is brighter on one side, stars, and a reference with a gap, beyond which it is less deep."""
    return pair_field("uneven", 11)


@pytest.fixture(scope="module")
def given(pair) -> dict[str, Any]:
    return calibrated(pair)


@pytest.fixture(scope="module")
def injected(pair, given) -> Injected:
    """Sources within 0.7 mag of the limit of their place, through subtraction and detection."""
    return inject(pair, given, rounds=3)


@pytest.fixture(scope="module")
def difference(given) -> Any:
    return Subtraction(fallbacks=()).run(**given)[1]


def test_one_in_two_of_the_sources_at_the_limit_is_found(injected):
    assert len(injected.x) > 2500
    offset, error = half_found(injected.fainter, injected.found)
    assert error < 0.01
    assert abs(offset) < 0.03
    assert injected.found[injected.fainter < -0.55].mean() > 0.97
    assert injected.found[injected.fainter > 0.55].mean() < 0.10


def test_it_holds_where_the_map_is_shallow_and_where_it_is_deep(injected):
    assert np.ptp(np.quantile(injected.limit, (0.02, 0.98))) > 0.25
    for limit, offset, error, number in by_depth(injected, BINS):
        assert number > 400
        assert abs(offset) < 0.05 or abs(offset) < 2 * error + 0.02, f"at {limit:.2f}: {offset:+.3f} ± {error:.3f} mag"


def near(marked: np.ndarray, injected: Injected, radius: float) -> np.ndarray:
    """Which of the injected are within `radius` px of marked pixels (ny, nx) bool."""
    row, column = np.rint(injected.y).astype(int), np.rint(injected.x).astype(int)
    return ndimage.distance_transform_edt(~marked)[row, column] < radius


@pytest.mark.parametrize("where", ["beside what is masked", "on the light of stars"])
def test_it_holds_in_difficult_places(where, pair, injected, difference):
    """Beside edges, the gap and saturated stars; on light of a tenth of the sky."""
    light = pair.new.expected - background(pair.new.frame)
    chosen = {
        "beside what is masked": near(difference.weight <= 0, injected, 12),
        "on the light of stars": near(light > 0.1 * pair.new.camera.sky, injected, 1),
    }[where]
    assert chosen.sum() > 20
    offset, error = half_found(injected.fainter[chosen], injected.found[chosen])
    assert abs(offset) < 0.05 + 2 * error


def test_it_has_no_limit_where_nothing_can_be_detected(difference):
    y, x = np.indices(difference.shape)
    masked = difference.weight <= 0
    assert 0.03 < masked.mean() < 0.4
    np.testing.assert_array_equal(np.isnan(limiting_flux(difference, x, y)), masked)
    assert np.isnan(limiting_flux(difference, np.array([-1, 1024, 500]), np.array([500, 500, 2000]))).all()


def test_the_map_and_single_places_agree_and_the_median_is_told(given, difference):
    magnitudes = difference.limit
    assert magnitudes.shape == (128, 128) and magnitudes.dtype == np.float32
    x, y = grid(difference)
    np.testing.assert_allclose(magnitudes[20, 70], difference.limit_at(x[0, 70], y[20, 0]), rtol=1e-6)
    point = {name: given[name] for name in ("world_coordinates", "zero_point")}
    found = Detection().run(image=difference, **point)
    assert found.quality["difference_limit"] == pytest.approx(float(np.nanmedian(magnitudes)), abs=1e-3)
    deeper = Detection(peaks={"threshold": 4.0}).run(image=difference, **point).quality["difference_limit"]
    assert deeper - found.quality["difference_limit"] == pytest.approx(2.5 * np.log10(np.sqrt(23 / 14)), abs=0.02)


def test_a_reference_of_half_the_depth_makes_it_shallower(difference):
    magnitudes = difference.limit
    theory = 2.5 * np.log10(np.sqrt((1 + 1 / 2) / (1 + 1 / 4)))
    steps = np.nanmedian(magnitudes[:, 44:56]) - np.nanmedian(magnitudes[:, 72:84])
    sky = 2.5 * np.log10(np.sqrt((1 + 0.5 * 28 / 128 * 0.8) / 1))  # the sky grows along x, too
    assert steps == pytest.approx(theory + sky, abs=0.05)
