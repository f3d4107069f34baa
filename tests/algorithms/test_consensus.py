"""Two methods at once: what one of them makes up is marked, what both see stays, and the score is that of the first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processing.algorithms.peaks import PeakParameters, find_peaks
from processing.algorithms.subtraction.alard_lupton import AlardLupton
from processing.algorithms.subtraction.base import Difference, SubtractionMethod
from processing.algorithms.subtraction.consensus import Consensus
from processing.algorithms.subtraction.zogy import Zogy
from processing.errors import NotEnoughStars
from processing.parameters import ConfigurationError
from tests.algorithms.pairs import MoffatPSF, Pair, PairSky, near, peaks, simulate_pair
from tests.algorithms.test_cuts import planes_of

SKY = PairSky(size=512, stars=150, transients=20, transient_flux=4000, seed=8)


@pytest.fixture(scope="module")
def misled() -> Pair:
    """The PSF of the reference is wrong, which misleads zogy and is nothing to a fitted kernel."""
    pair = simulate_pair(SKY)
    return replace(pair, reference=replace(pair.reference, psf=MoffatPSF(1.25 * SKY.ref_fwhm)))


@pytest.fixture(scope="module")
def both(misled) -> tuple[Difference, Difference]:
    """(zogy alone, the consensus)."""
    return tuple(method(misled.new, misled.reference, misled.stars) for method in (Zogy(), Consensus()))


def places(found: Difference) -> np.ndarray:
    table = find_peaks(planes_of(found), SKY.new_fwhm, PeakParameters())
    return np.c_[table["x"], table["y"]]


def test_peaks_that_one_method_makes_up_are_no_detections(misled, both):
    alone, found = (places(difference) for difference in both)
    false = [at[~near(at, misled.transients, 6)] for at in (alone, found)]
    assert len(false[0]) >= 30
    assert len(false[1]) <= 0.1 * len(false[0])
    assert near(misled.transients, found, 2).sum() >= near(misled.transients, alone, 2).sum() - 1 >= 18


def test_the_difference_is_that_of_the_first_method(both):
    alone, found = both
    for name in ("data", "variance", "score", "alpha"):
        assert np.array_equal(getattr(alone, name), getattr(found, name)), name
    assert alone.unsupported is None
    assert not found.mask[~alone.mask].any()


def test_what_is_not_supported_is_counted(both):
    _, found = both
    marked = found.unsupported[tuple(peaks(found, 5)[:, ::-1].T)]
    assert found.quality["unsupported_peaks"] == marked.sum()
    assert found.quality["unsupported_fraction"] == pytest.approx(marked.mean())
    assert 0.3 < found.quality["unsupported_fraction"] < 1
    assert found.quality["second_kernel_sum"] == pytest.approx(1 / SKY.flux_ratio, rel=0.015)
    assert found.quality["second_score_std"] == pytest.approx(1, abs=0.03)


def test_where_both_are_right_nothing_is_lost_at_the_threshold():
    """Noise is common to both methods: a source just above 5 sigma in one of them is not lost in the other."""
    lost = seen = 0
    for seed, (new_fwhm, ref_fwhm) in enumerate([(4.2, 3.4), (2.0, 1.8), (2.0, 1.8)]):
        sky = PairSky(size=640, stars=120, new_fwhm=new_fwhm, ref_fwhm=ref_fwhm, transients=80, seed=seed)
        pair = simulate_pair(replace(sky, transient_flux=5.2 * 2.1 * new_fwhm * sky.noise))
        found = Consensus()(pair.new, pair.reference, pair.stars)
        without, with_support = (
            near(pair.transients, places(one), 2) for one in (replace(found, unsupported=None), found)
        )
        lost, seen = lost + (without & ~with_support).sum(), seen + without.sum()
    assert 120 < seen < 235
    assert lost <= 0.01 * seen


def test_support_is_of_the_same_sign_and_above_its_limit():
    first = np.array([[6, 6, -6, -6, 20, 20, 4.5, 4.5, 2.5]], np.float32)
    second = np.array([[4.1, -9, -4.1, 3.9, 4.1, 3.9, 3.7, 3.5, 0]], np.float32)
    expected = np.array([[False, True, False, True, False, True, False, True, False]])
    assert np.array_equal(Consensus().unsupported(first, second), expected)
    assert Consensus(support=6).unsupported(first, second)[0, 4]


def test_any_two_methods_can_be_asked_and_each_has_its_parameters(misled):
    asked = {"first": "sfft", "second": {"name": "zogy", "tile": 128}, "support": 3}
    method = SubtractionMethod.member("consensus").build(asked)
    assert method.values() == Consensus.build(asked).values()
    assert (method.first.name, method.second.tile, method.support) == ("sfft", 128, 3)
    with pytest.raises(ConfigurationError, match="zogy"):
        Consensus.build({"first": "consensus"})
    with pytest.raises(NotEnoughStars):
        Consensus()(misled.new, misled.reference, None)


def test_a_pixel_that_either_method_masks_is_masked(misled):
    hole = np.zeros_like(misled.new.mask)
    hole[200:210, 300:310] = True
    new = replace(misled.new, mask=hole)
    found = Consensus(second=AlardLupton(mask_growth=12.0))(new, misled.reference, misled.stars)
    assert found.mask[190:220, 290:320].sum() > Zogy()(new, misled.reference).mask[190:220, 290:320].sum()
