"""Why a fake was lost: every reason from a case that was built for it, with the figures of the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from processing.algorithms.fakes import FAKES, VARIABLE
from processing.algorithms.peaks import PEAKS
from processing.algorithms.psf_model import moffat_model
from processing.pipelines import FakeAnalyzing
from processing.steps.fakeanalysis import FakeRun
from products.models import (
    Background,
    DeepScore,
    DeepScoreSet,
    Detections,
    DifferenceImage,
    FakeAnalysis,
    FakeLoss,
    FakeSet,
    Measurement,
    MeasurementSet,
    ScienceImage,
)
from products.pixel_flags import PixelFlag
from products.recovery import explained
from tests.factories.tiles import one_tile

SIDE, NOISE, FWHM = 160, 10.0, 4.0
PLACE = (80.0, 70.0)


class Run:
    """An empty difference of 160 × 160 pixels, on which things are put one by one."""

    def __init__(self) -> None:
        shape = (SIDE, SIDE)
        self.difference = DifferenceImage(
            width=SIDE, height=SIDE, fwhm=FWHM * 0.5, pixel_scale=0.5, data=np.zeros(shape, np.float32),
            weight=np.ones(shape, np.float32), flags=np.zeros(shape, np.uint16),
            score=np.zeros(shape, np.float32), alpha=np.zeros(shape, np.float32), tiles=one_tile(shape, flux_noise=NOISE**2).table,
            psf_stamps=moffat_model(FWHM, shape).stamp(80, 80)[None],
        )  # fmt: skip
        self.fakes: list[tuple] = []
        self.peaks: list[tuple] = []
        self.before: list[tuple] = []
        self.rows: list[tuple[int, Measurement, float]] = []

    def fake(self, snr: float, at: tuple[float, float] = PLACE, **columns: Any) -> Run:
        """A source of an expected S/N."""
        row = np.zeros((), FAKES)
        row["x"], row["y"], row["flux"], row["mag"], row["kind"], row["host"] = *at, snr * NOISE, 20.0, "hostless", -1
        for name, value in columns.items():
            row[name] = value
        self.fakes.append(row)
        return self

    def score(self, value: float, at: tuple[float, float] = PLACE) -> Run:
        """What the detection statistic has at a place."""
        column, line = round(at[0]), round(at[1])
        self.difference.score[line, column], self.difference.alpha[line, column] = value, value * NOISE
        return self

    def peak(self, snr: float, at: tuple[float, float] = PLACE, negative: bool = False, before: bool = False) -> Run:
        """A detection."""
        row = np.zeros((), PEAKS)
        row["x"], row["y"], row["snr"], row["is_negative"] = *at, snr, negative
        (self.before if before else self.peaks).append(row)
        return self

    def measured(self, cuts: list[list], score: float = 0.9, flux: float = 200.0, at: tuple = PLACE) -> Run:
        """A measurement of the last detection with these verdicts."""
        index = len(self.peaks) - 1
        bad = any(not passed for *_, passed in cuts)
        row = Measurement(
            index_in_sources=index, x=at[0], y=at[1], flux=flux, flux_error=NOISE, snr=20.0, is_bad=bad, cuts=cuts
        )
        self.rows.append((index, row, score))
        return self

    def mask(self, flag: PixelFlag, box: tuple[slice, slice]) -> Run:
        """Pixels of no use for a reason, and 3 px around them where nothing is detected."""
        rows, columns = box
        self.difference.flags[rows, columns] |= int(flag)
        grown = (
            slice(max(rows.start - 3, 0), rows.stop + 3), slice(max(columns.start - 3, 0), columns.stop + 3),
        )  # fmt: skip
        self.difference.weight[grown] = 0
        self.difference.flags[grown] |= int(PixelFlag.ZERO_WEIGHT)
        return self

    def analysis(self) -> FakeAnalysis:
        """What the step makes of it."""
        measurements = MeasurementSet(rows=[row for _, row, _ in self.rows])
        scores = DeepScoreSet(measurement_set=measurements, threshold=0.5)
        scores.rows = [DeepScore(score_set=scores, measurement=row, score=score) for _, row, score in self.rows]
        level = np.full((SIDE, SIDE), 100, np.float32)
        run = FakeRun(
            ScienceImage(data=level.copy(), width=SIDE, height=SIDE), self.difference,
            Detections(table=np.array(self.peaks, PEAKS), threshold=5.0), measurements, scores, Background(level=level),
            Detections(table=np.array(self.before, PEAKS), threshold=5.0), merge_fwhm=1.0,
        )  # fmt: skip
        fakes = np.array(self.fakes, FAKES)
        return FakeAnalyzing().run(fake_set=FakeSet(table=fakes, n_fakes=len(fakes)), score_set=scores, found=run)

    def loss(self) -> dict[str, Any]:
        """The only one that was lost."""
        (found,) = self.analysis().losses
        return found


def test_what_is_found_kept_and_scored_has_no_reason():
    found = Run().fake(20).peak(20).measured([["psf_chi2", 1.0, 2.0, True]]).analysis()
    assert found.losses == [] and (found.n_detected, found.n_kept, found.n_passed) == (1, 1, 1)
    assert found.outcomes["hostless"] | {"mag": None} == {
        "mag": None, "stage": [3], "ratio": [1.0], "pull": [0.0], "offset": [0.0], "expected": [20.0],
    }  # fmt: skip


def test_too_faint_for_the_noise_of_its_place():
    loss = Run().fake(4.2).score(3.9).loss()
    assert (loss["reason"], loss["expected"], loss["value"], loss["threshold"]) == (FakeLoss.FAINT, 4.2, 4.2, 5.0)


def test_noise_of_flux_ratio_and_registration_counts():
    run = Run().fake(6.0).score(3.0)
    run.difference.alpha[70, 80] = 6.0 * NOISE
    loss = run.loss()
    assert (loss["reason"], loss["expected"]) == (FakeLoss.FAINT, 3.0)


def test_bright_enough_but_drawn_below_the_threshold():
    loss = Run().fake(6.0).score(4.6).loss()
    assert (loss["reason"], loss["value"], loss["threshold"], loss["expected"]) == (FakeLoss.NOISE, 4.6, 5.0, 6.0)


def test_on_saturated_pixels():
    loss = Run().fake(30).mask(PixelFlag.SATURATED, (slice(60, 69), slice(70, 90))).loss()
    assert (loss["reason"], loss["what"], loss["value"]) == (FakeLoss.MASKED, "saturated", 2.0)
    assert loss["expected"] is None


def test_where_the_reference_ends():
    loss = Run().fake(30).mask(PixelFlag.OUT_OF_BOUNDS, (slice(0, 160), slice(82, 160))).loss()
    assert (loss["reason"], loss["value"]) == (FakeLoss.REFERENCE, 2.0)


def test_at_the_edge_of_the_image():
    run = Run().fake(30, at=(6.0, 70.0))
    run.difference.weight[:, :16] = 0
    loss = run.loss()
    assert (loss["reason"], loss["value"]) == (FakeLoss.EDGE, 6.0)


def test_merged_with_a_stronger_peak():
    loss = Run().fake(8).score(9).peak(30, at=(85.5, 70.0)).loss()
    assert loss["reason"] == FakeLoss.MERGED and loss["value"] == 30
    assert loss["what"] == "peak of S/N 30.0 at 86.5, 71.0, 5.5 px away"


def test_beside_a_stronger_peak_of_either_sign():
    loss = Run().fake(8).score(4).peak(30, at=(80.0, 80.0), negative=True).loss()
    assert loss["reason"] == FakeLoss.BLENDED and loss["what"].startswith("fading peak of S/N 30.0")
    assert Run().fake(8).score(4).peak(30, at=(80.0, 90.0)).loss()["reason"] == FakeLoss.NOISE


def test_a_detection_that_another_fake_is():
    run = Run().fake(8, at=(82.0, 70.0)).fake(20).peak(25).measured([["dipole", 0.1, 3.5, True]])
    loss = run.loss()
    assert (loss["reason"], loss["fake"], loss["what"]) == (FakeLoss.MERGED, 0, "fake 1")


def test_detected_but_deleted():
    loss = Run().fake(20).score(19).peak(19).loss()
    assert (loss["reason"], loss["value"]) == (FakeLoss.UNSAVED, 19.0)


def test_failed_cuts_with_values_and_thresholds():
    cuts = [["psf_chi2", 3.5, 2.0, False], ["dipole", 0.0, 3.5, True], ["elongation", 2.7, 2.0, False]]
    loss = Run().fake(20).peak(20).measured(cuts).loss()
    assert loss["reason"] == FakeLoss.CUT and loss["cuts"] == [["psf_chi2", 3.5, 2.0], ["elongation", 2.7, 2.0]]
    assert (loss["value"], loss["threshold"]) == (3.5, 2.0)
    alone = Run().fake(20).peak(20).measured([["halo", 1.0, 0.0, False]]).loss()
    assert alone["reason"] == FakeLoss.HALO


def test_scored_below_the_threshold():
    found = Run().fake(20).peak(20).measured([["psf_chi2", 1.0, 2.0, True]], score=0.2).analysis()
    assert (found.n_kept, found.n_passed) == (1, 0)
    assert (found.losses[0]["reason"], found.losses[0]["value"]) == (FakeLoss.SCORE, 0.2)


def test_a_star_that_fades_is_no_source_that_brightens():
    run = Run().fake(20, kind=VARIABLE, flux=-200.0, star_flux=1000.0).score(-19)
    assert run.peak(19, negative=True).measured([["x", 0.0, 1.0, True]], flux=-195.0).analysis().n_passed == 1
    other = Run().fake(20, kind=VARIABLE, flux=-200.0, star_flux=1000.0).score(-19)
    loss = other.peak(19).measured([["x", 0.0, 1.0, True]], flux=195.0).loss()
    assert loss["fades"] and loss["reason"] == FakeLoss.BLENDED


def test_what_reached_the_threshold_and_is_no_peak_is_not_explained():
    loss = Run().fake(8).score(9).loss()
    assert (loss["reason"], loss["value"]) == (FakeLoss.UNEXPLAINED, 9.0)


def test_fakes_where_something_was_before_are_not_counted():
    run = Run().fake(20).fake(3.0, at=(30.0, 30.0)).peak(20).measured([["x", 0.0, 1.0, True]])
    run.peak(7, before=True, at=(81.0, 70.0), negative=True)
    found = run.analysis()
    assert found.table["was_there"].tolist() == [True, False]
    assert found.n_passed == 1 and found.outcomes["hostless"]["stage"] == [0]


@pytest.mark.parametrize(("peaks", "reached"), [([], 3.9), ([(30.0, True)], -3.0), ([(30.0, False)], 30.0)])
def test_what_was_there_before_is_the_reason_and_not_the_noise(peaks, reached):
    run = Run().fake(32).score(reached).peak(33.5, at=(81.0, 70.0), negative=True, before=True)
    for snr, negative in peaks:
        run.peak(snr, at=(81.0, 70.0), negative=negative)
    loss = run.loss()
    assert (loss["reason"], loss["value"], loss["expected"]) == (FakeLoss.OCCUPIED, 33.5, 32.0)
    assert explained(loss) == (
        "something was there without it: fading peak of S/N 33.5 at 82.0, 71.0, 1.0 px away, S/N 32.0 expected"
    )
    run.before[0]["x"] += 20
    assert run.loss()["reason"] != FakeLoss.OCCUPIED


def test_a_streak_is_expected_with_the_part_of_its_light_that_a_psf_sees():
    run = Run().fake(40, kind="streak", length=40.0, angle=30.0)
    found = run.score(3).analysis()
    assert 0.1 < found.table["response"][0] < 0.2
    assert found.losses[0]["expected"] == pytest.approx(40 * found.table["response"][0], rel=1e-3)


def test_stamps_of_lost_fakes_show_what_the_run_saw():
    run = Run().fake(30, at=(100.0, 30.0)).fake(4.2)
    run.difference.data[70, 80] = 7.0
    run.peak(30, at=(100.0, 30.0)).measured([["x", 0.0, 1.0, True]], at=(100.0, 30.0), flux=300.0)
    found = run.analysis()
    assert found.new.shape == found.difference.shape == (1, 31, 31)
    assert found.difference[0, 15, 15] == 7.0 and np.count_nonzero(found.difference) == 1
    assert not found.new.any()  # the level of the sky is gone
