"""Detection, cutting, measuring, scoring and alerting: from a difference to alerts, held against the truth."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from processing.algorithms.cuts import CUTS, CutParameters
from processing.errors import BadPixels, TooManyDetections
from processing.parameters import ConfigurationError
from processing.pipelines import Alerting, Cutting, Detection, Measuring, Scoring
from products.pixel_flags import PixelFlag
from products.sky import separation


@pytest.fixture(scope="module")
def found(ccd):
    return ccd.found


@pytest.fixture(scope="module")
def changed(ccd) -> np.ndarray:
    """What truly changed by more than 8 σ, where something can be detected."""
    difference, truth = ccd.found["difference"], ccd.truth
    row, column = np.rint(truth["y"]).astype(int), np.rint(truth["x"]).astype(int)
    seen = difference.weight[row, column] > 0
    return truth[seen & (np.abs(truth["flux"]) > 8 * difference.alpha_error[row, column])]


def nearest(rows, source) -> tuple[int, float]:
    distance = [np.hypot(row.x - source["x"], row.y - source["y"]) for row in rows]
    return int(np.argmin(distance)), float(min(distance))


def test_everything_that_changed_is_detected_measured_kept_and_called_real(found, changed):
    rows, scores = found["measurement_set"].rows, found["score_set"].rows
    assert len(changed) >= 5
    for source in changed:
        index, distance = nearest(rows, source)
        assert distance < 1.0, source["kind"]
        assert not rows[index].is_bad, rows[index].failed_cuts
        assert scores[index].score > 0.5
        assert abs(rows[index].flux - source["flux"]) < 5 * np.hypot(rows[index].flux_error, 0.02 * source["flux"])
        assert rows[index].is_negative == (source["flux"] < 0)


def test_most_of_what_is_alerted_did_change(found, ccd):
    alerted = [alert.score.measurement for alert in found["batch"].rows]
    real = [row for row in alerted if nearest_change(row, ccd.truth) < 2]
    assert len(alerted) >= 5
    assert len(real) >= 0.5 * len(alerted)


def nearest_change(row, truth) -> float:
    varied = truth[np.abs(truth["flux"]) > 3 * row.flux_error]
    return float(np.min(np.hypot(varied["x"] - row.x, varied["y"] - row.y), initial=99))


def of_detection(found) -> dict:
    return {"image": found["difference"], **{name: found[name] for name in ("world_coordinates", "zero_point")}}


def test_detections_have_positions_on_the_sky(found):
    table, wcs = found["detections"].table, found["world_coordinates"].wcs
    ra, dec = wcs.all_pix2world(table["x"], table["y"], 0)
    assert np.all(separation(table["ra"], table["dec"], ra, dec) * 3600 < 1e-3)
    assert found["detections"].n_sources == len(table)
    assert (
        found["detections"].best_aperture == -1
    )  # the flux is that of the PSF: where it peaks it is the alpha plane's
    alpha = found["difference"].alpha[np.rint(table["y"]).astype(int), np.rint(table["x"]).astype(int)]
    assert np.median(np.abs(table["flux"] / alpha - 1)) < 0.05
    assert np.all(table["snr"] >= found["detections"].threshold)


def test_a_higher_threshold_keeps_the_strongest(found):
    all_of_them = found["detections"].table
    given = of_detection(found)
    fewer = Detection(peaks={"threshold": 15.0}).run(**given).table
    np.testing.assert_array_equal(fewer["snr"], all_of_them["snr"][all_of_them["snr"] >= 15])


def test_a_difference_whose_score_scatters_is_warned_of_or_refused(found):
    image = copy.copy(found["difference"])
    image.score_std = 1.3
    step = Detection()
    given = of_detection(found)
    step.run(**given | {"image": image})
    assert "1.30" in step.warnings()[0]
    image.score_std = 9.0
    with pytest.raises(BadPixels, match=r"9\.0"):
        step.run(**given | {"image": image})
    step.run(**given)
    assert step.warnings() == []


def test_a_difference_that_shows_nearly_everything_is_refused_with_figures(found):
    given = of_detection(found)
    number = len(found["detections"].table)
    with pytest.raises(TooManyDetections, match=rf"{number} detections, {number - 1} at most") as raised:
        Detection(max_detections=number - 1).run(**given)
    assert raised.value.details["noise"] == pytest.approx(found["detections"].quality["expected_of_noise"], abs=0.01)
    assert len(Detection(max_detections=number).run(**given).table) == number


def test_few_peaks_of_noise_are_expected_beside_what_is_found(found):
    given = of_detection(found)
    searches = [Detection(peaks={"threshold": threshold}).run(**given) for threshold in (3.0, 3.5, 5.0)]
    low, high, usual = (search.quality["expected_of_noise"] for search in searches)
    assert 0 < usual < high / 100
    # Of what is between 3 and 3.5 sigma nearly all is noise.
    between = len(searches[0].table) - len(searches[1].table)
    assert between == pytest.approx(low - high, abs=3 * np.sqrt(low - high))


def test_stamps_show_the_three_images_around_each_detection(found):
    cutouts, half = found["cutouts"], found["cutouts"].size // 2
    assert cutouts.n_cutouts == len(found["detections"].table) == len(cutouts.new)
    signal = found["image"].data - found["background"].level
    planes = {"new": signal, "reference": found["warped"].data, "difference": found["difference"].data}
    inner = np.flatnonzero(np.all((cutouts.centres > half) & (cutouts.centres < 511 - half), axis=1))
    assert len(inner) > 3
    for index in inner[:5]:
        x, y = cutouts.centres[index]
        box = slice(y - half, y + half + 1), slice(x - half, x + half + 1)
        for name, plane in planes.items():
            np.testing.assert_array_equal(getattr(cutouts, name)[index], plane[box])


def test_stamps_at_the_edge_are_flagged_beyond_it(found):
    cutouts, half = found["cutouts"], found["cutouts"].size // 2
    offset = np.arange(-half, half + 1)
    for (x, y), flags in zip(cutouts.centres, cutouts.flags):
        columns, rows = x + offset, y + offset
        inside = ((rows >= 0) & (rows < 512))[:, None] & ((columns >= 0) & (columns < 512))[None]
        assert np.all((flags & int(PixelFlag.OUT_OF_BOUNDS) != 0)[~inside])


def test_an_even_stamp_is_refused():
    with pytest.raises(ConfigurationError, match="odd"):
        Cutting(size=40)


def measure(found, step: Measuring):
    names = ("cutouts", "difference", "warped", "image", "background", "psf", "world_coordinates", "zero_point")
    return step.run(sources=found["detections"], **{name: found[name] for name in names})


def test_a_measurement_says_all_that_its_columns_promise(found):
    row = max(found["measurement_set"].rows, key=lambda row: row.snr if not row.is_bad else 0)
    magnitude = found["zero_point"].zp - 2.5 * np.log10(abs(row.flux))
    assert row.magnitude == pytest.approx(magnitude)
    assert row.magnitude_error >= 1.0857 * row.flux_error / abs(row.flux)
    assert row.mjd == found["image"].mjd_middle and row.filter == "r"
    assert len(row.flux_apertures) == len(row.flux_apertures_errors) == len(row.aperture_radii) == 3
    # The apertures lie on the difference; 3 FWHM hold nearly all of the light.
    assert row.flux_apertures[-1] == pytest.approx(row.flux, abs=5 * row.flux_apertures_errors[-1])
    assert [cut[0] for cut in row.cuts] == [cut.name for cut in CUTS]
    wcs = found["world_coordinates"].wcs
    assert separation(*wcs.all_pix2world(row.x, row.y, 0), row.ra, row.dec) * 3600 < 1e-3


def test_a_measurement_knows_edge_mask_and_bright_stars(found):
    image, cutouts, measured = found["difference"], found["cutouts"], found["measurement_set"].rows
    rows, columns = np.nonzero(image.weight <= 0)
    bright = np.maximum(cutouts.new, cutouts.reference) > 50 * found["background"].noise
    for row in measured[:30]:
        told, stamp = row.diagnostics, bright[row.index_in_sources]
        assert told["edge_distance"] == pytest.approx(
            min(row.x, row.y, image.width - 1 - row.x, image.height - 1 - row.y)
        )
        masked = np.hypot(columns - round(row.x), rows - round(row.y)).min()
        assert told["mask_distance"] is None or told["mask_distance"] == pytest.approx(masked, abs=1)
        assert (told["bright_distance"] is None) == (not stamp.any())
    assert {row.diagnostics["bright_distance"] is None for row in measured} == {True, False}


def test_a_magnitude_is_that_of_the_zero_point_at_its_place(found):
    tilted = copy.copy(found["zero_point"])
    tilted.surface = {"shape": list(found["image"].shape), "coefficients": [[0.0, 0.2], [0.1, 0.0]]}
    even, uneven = (measure({**found, "zero_point": one}, Measuring()).rows for one in (found["zero_point"], tilted))
    brighter = [other.magnitude - row.magnitude for row, other in zip(even, uneven)]
    expected = [float(tilted.at(row.x, row.y)) - tilted.zp for row in even]
    assert np.ptp(expected) > 0.2
    np.testing.assert_allclose(brighter, expected, atol=1e-5)


def test_the_ring_around_a_measurement_shows_what_the_subtraction_left(found):
    difference, rows = found["difference"], found["measurement_set"].rows
    noise = 1 / np.sqrt(np.median(difference.weight[difference.weight > 0]))
    left = np.array([row.background_per_pixel for row in rows if row.background_per_pixel is not None])
    area = np.pi * (5**2 - 4**2) * found["psf"].fwhm_pixels ** 2
    assert len(left) > 0.9 * len(rows)
    # The median of `area` pixels of empty sky scatters by 1.25 σ/√area, and neighbours are correlated.
    assert np.median(np.abs(left)) < 3 * 1.25 * noise / np.sqrt(area)
    raised = copy.copy(difference)
    raised.__dict__["_planes"] = dict(difference.__dict__["_planes"])
    raised.data = difference.data + np.float32(7)
    again = measure({**found, "difference": raised}, Measuring()).rows
    for row, before in zip(again, rows):
        if before.background_per_pixel is not None:
            assert row.background_per_pixel - before.background_per_pixel == pytest.approx(7, abs=1e-3)
        assert row.flux == before.flux


def test_a_ring_that_is_inside_out_is_refused():
    with pytest.raises(ConfigurationError, match="smaller one first"):
        Measuring(background_annulus=(5.0, 4.0))


def test_what_is_stored_as_json_is_json(found):
    for row in found["measurement_set"].rows:
        json.dumps([row.diagnostics, row.cuts, row.failed_cuts, row.flux_apertures], allow_nan=False)
    json.dumps(found["measurement_set"].cut_counts, allow_nan=False)
    json.dumps([score.info for score in found["score_set"].rows], allow_nan=False)


def test_the_counts_of_the_set_are_those_of_its_rows(found):
    result = found["measurement_set"]
    assert result.n_measured == len(found["detections"].table)
    assert result.n_saved == len(result.rows)
    assert result.n_kept == sum(not row.is_bad for row in result.rows)
    failed = [name for row in result.rows for name in row.failed_cuts]
    assert result.cut_counts == {cut.name: failed.count(cut.name) for cut in CUTS}


def test_bad_measurements_are_saved_unless_they_are_to_be_deleted(found):
    everything = found["measurement_set"]
    assert any(row.is_bad for row in everything.rows)
    only_good = measure(found, Measuring(deletion_thresholds=CutParameters()))
    assert [row.index_in_sources for row in only_good.rows] == [
        row.index_in_sources for row in everything.rows if not row.is_bad
    ]
    assert only_good.n_measured == everything.n_measured and only_good.n_saved == only_good.n_kept
    for row in only_good.rows:
        same = everything.rows[row.index_in_sources]
        assert (row.ra, row.dec, row.flux) == (same.ra, same.dec, same.flux)
    scores = Scoring().run(measurement_set=only_good, cutouts=found["cutouts"])
    by_index = {score.measurement.index_in_sources: score.score for score in found["score_set"].rows}
    for score in scores.rows:
        assert score.score == pytest.approx(by_index[score.measurement.index_in_sources], rel=1e-5)


def test_without_cuts_nothing_is_bad(found):
    off = {cut.name: None for cut in CUTS}
    result = measure(found, Measuring(bad_thresholds=off))
    assert result.n_kept == result.n_measured
    assert not any(result.cut_counts.values())


def test_scores_are_one_a_measurement_and_the_threshold_counts(found):
    result = found["score_set"]
    assert [score.measurement for score in result.rows] == found["measurement_set"].rows
    assert result.algorithm == "committee"
    assert result.n_real == sum(score.score >= result.threshold for score in result.rows)
    strict = Scoring(threshold=0.999).run(measurement_set=found["measurement_set"], cutouts=found["cutouts"])
    assert strict.threshold == 0.999 and strict.n_real <= result.n_real
    other = Scoring(scorer="random").run(measurement_set=found["measurement_set"], cutouts=found["cutouts"])
    assert other.algorithm == "random"


def alert(found, **parameters):
    return Alerting(**parameters).run(score_set=found["score_set"], measurement_set=found["measurement_set"])


def test_alerts_are_of_good_measurements_with_a_score(found):
    batch = found["batch"]
    assert batch.n_alerts == len(batch.rows)
    for one in batch.rows:
        assert one.score.score >= found["score_set"].threshold
        assert not one.score.measurement.is_bad
        assert one.stream == "all"


def test_the_same_measurement_always_has_the_same_alert_id(found):
    first, second = ([one.id for one in alert(found).rows] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first)
    rescored = Scoring().run(measurement_set=found["measurement_set"], cutouts=found["cutouts"])
    again = Alerting().run(score_set=rescored, measurement_set=found["measurement_set"])
    assert [one.id for one in again.rows] == first


def test_another_scorer_and_another_stream_give_other_ids(found):
    ids = {one.id for one in alert(found).rows}
    renamed = {one.id for one in alert(found, streams=[{"name": "other"}]).rows}
    other = copy.copy(found["score_set"])
    other.provenance_id = "another"
    rescored = Alerting().run(score_set=other, measurement_set=found["measurement_set"])
    assert not ids & renamed
    assert not ids & {one.id for one in rescored.rows}


def test_streams_choose_by_score_strength_and_badness(found):
    streams = [
        {"name": "everything", "min_score": 0.0, "also_bad": True},
        {"name": "strong", "min_snr": 20.0},
        {"name": "nothing", "min_score": 1.1},
    ]
    batch = alert(found, streams=streams)
    by_stream = {
        name: [one for one in batch.rows if one.stream == name] for name in ("everything", "strong", "nothing")
    }
    assert len(by_stream["everything"]) == len(found["score_set"].rows)
    assert by_stream["strong"] and all(one.score.measurement.snr >= 20 for one in by_stream["strong"])
    assert by_stream["nothing"] == []
    assert batch.n_alerts == len(batch.rows)
