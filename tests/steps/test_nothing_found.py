"""A CCD in which nothing changed: every step after detection works on no rows at all."""

from __future__ import annotations

import numpy as np
import pytest

from processing.algorithms.scoring.base import Scorer
from processing.pipelines import Cutting, Detection, FakeAnalyzing, Measuring, Scoring
from tests.steps.night import CCD, fingerprint


@pytest.fixture(scope="module")
def empty(ccd):
    return CCD().searched(ccd.found, Detection(peaks={"threshold": 1e6}))


def test_no_detection_is_an_empty_table_with_all_its_columns(ccd, empty):
    assert empty["detections"].n_sources == 0
    assert empty["detections"].table.dtype == ccd.found["detections"].table.dtype


def test_no_stamps_are_planes_of_no_stamps(ccd, empty):
    cutouts, some = empty["cutouts"], ccd.found["cutouts"]
    assert cutouts.n_cutouts == 0
    for name in ("new", "reference", "difference", "flags", "centres"):
        assert getattr(cutouts, name).shape == (0, *getattr(some, name).shape[1:])
        assert getattr(cutouts, name).dtype == getattr(some, name).dtype
    assert Cutting(size=21).run(
        sources=empty["detections"], **{name: empty[name] for name in ("difference", "warped", "image", "background")}
    ).new.shape == (0, 21, 21)


def test_no_measurement_no_score_and_no_alert(empty):
    measured = empty["measurement_set"]
    assert (measured.n_measured, measured.n_saved, measured.n_kept) == (0, 0, 0)
    assert set(measured.cut_counts.values()) == {0}
    assert measured.all_rows() == [] and empty["score_set"].all_rows() == []
    assert empty["score_set"].n_real == 0
    assert empty["batch"].n_alerts == 0 and empty["batch"].rows == []


@pytest.mark.parametrize("scorer", sorted(Scorer.members()))
def test_every_scorer_scores_nobody(empty, scorer):
    found = Scoring(scorer=scorer).run(measurement_set=empty["measurement_set"], cutouts=empty["cutouts"])
    assert found.rows == []


def test_detections_that_are_all_deleted_leave_stamps_but_no_rows(ccd):
    found = ccd.found
    names = ("cutouts", "difference", "warped", "image", "background", "psf", "world_coordinates", "zero_point")
    strict = Measuring(deletion_thresholds={"psf_chi2": 1e-6, "psf_chi2_snr": 1e9})
    measured = strict.run(sources=found["detections"], **{name: found[name] for name in names})
    assert measured.n_measured == len(found["detections"].table) and measured.n_saved == 0
    scores = Scoring().run(measurement_set=measured, cutouts=found["cutouts"])
    assert scores.rows == [] and scores.n_real == 0


def test_fakes_are_all_lost_where_nothing_is_found(ccd, empty):
    run = ccd.run_of(empty)
    analysis = FakeAnalyzing().run(fake_set=ccd.fakes, score_set=ccd.found["score_set"], found=run)
    assert (analysis.n_detected, analysis.n_kept) == (0, 0)
    assert np.isnan(analysis.table["flux"]).all() and len(analysis.table) == ccd.fakes.n_fakes


def test_nothing_twice_is_the_same(ccd, empty):
    again = CCD().searched(ccd.found, Detection(peaks={"threshold": 1e6}))
    for name in ("detections", "cutouts", "measurement_set", "score_set", "batch"):
        assert fingerprint(again[name], identity=False) == fingerprint(empty[name], identity=False)
