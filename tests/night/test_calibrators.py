"""Calibrators by command: chosen by night or list, nightly and superseded ones, frames left out with their reason."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from django.core.management.base import CommandError

from processing.algorithms.overscan import parse_section
from processing.calibration_frames import focal_plane_level
from processing.errors import BadInput, Killed
from processing.scratch import ScratchStore
from processing.side_by_side import work_off
from products.models import Badness, CalibratorFile, Exposure, Image
from products.selectors.nights import night_of
from products.services.badness import set_badness
from products.storage import sha256
from tests.night.same import counts

pytestmark = pytest.mark.night


def raw_frames(kind: str) -> list[Exposure]:
    return list(Exposure.objects.filter(kind=kind).order_by("mjd"))


def date_of(row: Exposure) -> str:
    """The date on which its night begins."""
    return str(np.datetime64("1858-11-17") + night_of(row.mjd))


def test_a_night_is_found_by_its_date_and_what_was_made_of_it_is_there_already(night, command):
    night_date = date_of(raw_frames("bias")[0])
    before = counts()
    said = command("make_bias", "--night", night_date, instrument="demo", numprocs=0)
    assert said.count("3 frames, 0 left out; it was there already") == 2
    assert counts() == before
    with pytest.raises(CommandError, match="the archive has none"):
        command("make_bias", "--night", "2020-01-01", instrument="demo", numprocs=0)


@pytest.mark.parametrize(
    "options, said",
    [
        ("", "name the exposures, or choose them by date"),
        ("--night 2026-11-22", "--instrument NAME"),
        ("--night yesterday --instrument demo", "no date like"),
        ("--from soon --instrument demo", "a date .* or an MJD"),
        ("--from 61000 --instrument demo --valid-from 61400 --valid-to 61300", "ends before"),
    ],
)
def test_what_cannot_be_meant_is_said(night, command, options, said):
    with pytest.raises(CommandError, match=said):
        command("make_bias", "--numprocs", "0", *options.split())


def test_nightly_ones_hold_from_the_noon_before_and_take_one_night_at_a_time(night, command):
    frames = raw_frames("bias")
    summary = night.folder / "summary.json"
    command("make_bias", *(row.name for row in frames), calibrator_set="nightly", numprocs=0, json=summary)
    rows = CalibratorFile.objects.filter(calibrator_set="nightly")
    assert {row.section for row in rows} == {"N1", "N2"}
    assert {row.valid_from for row in rows} == {night_of(frames[0].mjd) + 0.5}
    assert {row.image_id for row in rows} == set(
        CalibratorFile.objects.filter(calibrator_set="general", kind="bias").values_list("image_id", flat=True)
    )
    told = json.loads(summary.read_text())
    assert [one["is_new"] for one in told] == [True, True] and told[0]["quality"]["frames"] == 3
    Exposure.objects.filter(pk=frames[0].pk).update(mjd=frames[0].mjd - 3)
    with pytest.raises(CommandError, match="of 2 nights"):
        command("make_bias", *(row.name for row in frames), calibrator_set="nightly", numprocs=0)


def test_frames_that_cannot_be_used_are_left_out_and_listed_with_the_reason(night, command):
    frames = raw_frames("bias")
    names = [row.name for row in frames]
    few = ["make_bias.min_frames=1"]
    damaged = frames[0].path()
    damaged.unlink()  # a link to that of the other tests
    damaged.write_bytes(b"nothing")
    set_badness(frames[1], Badness.BANDING)
    said = command("make_bias", *names, sections="N1", numprocs=0, assignments=few)
    assert (
        f"left out {names[0]}: it cannot be read" in said
        and f"left out {names[1]}: it is marked as bad: banding" in said
    )
    row = CalibratorFile.objects.latest("created_at")
    assert set(row.rejected) == set(names[:2]) and row.quality["frames"] == 1
    assert list(row.image.raw_exposures.all()) == frames[2:]
    with pytest.raises(CommandError, match=r"1 usable bias frames: at least 3 .*it cannot be read"):
        command("make_bias", *names, sections="N2", numprocs=0, assignments=["make_bias.acceptance.deviation=7"])


def test_a_flat_that_cannot_be_read_is_left_out_and_does_not_stop_the_others(night, command):
    frames = raw_frames("flat")
    damaged = frames[0].path()
    damaged.unlink()
    damaged.write_bytes(b"SIMPLE  = nothing" * 1000)
    Exposure.objects.filter(pk=frames[0].pk).update(sha256=sha256(damaged))
    names = [row.name for row in frames]
    said = command("make_flat", *names, numprocs=0, assignments=["make_flat.min_frames=2"])
    assert said.count("2 frames, 1 left out") == 2 and said.count(f"left out {names[0]}: it cannot be read") == 2


def test_a_new_one_takes_the_place_of_the_old_and_what_used_that_keeps_it(night, command):
    old = CalibratorFile.objects.get(kind="bias", section="N1")
    used = Image.objects.filter(calibrators=old).count()
    assert used > 0
    names = [row.name for row in raw_frames("bias")]
    command("make_bias", *names, sections="N1", numprocs=0, supersede=True, assignments=["make_bias.stack.clip=4"])
    new = CalibratorFile.objects.filter(kind="bias", section="N1").latest("created_at")
    old.refresh_from_db()
    assert old.superseded_by == new and Image.objects.filter(calibrators=old).count() == used
    other = CalibratorFile.objects.get(kind="bias", section="N2")
    assert other.superseded_by is None


def test_flats_have_median_1_over_the_focal_plane_whichever_ccds_are_made(night, command):
    flats = {row.section: row.image.as_kind().data for row in CalibratorFile.objects.filter(kind="flat")}
    pooled = np.concatenate([data.ravel() for data in flats.values()])
    assert np.median(pooled) == pytest.approx(1, abs=0.01)  # two CCDs of different levels have few pixels between
    names = [row.name for row in raw_frames("flat")]
    other = ["make_flat.stack.clip=3.0001"]
    command("make_flat", *names, sections="N2", numprocs=0, assignments=other)
    alone = CalibratorFile.objects.filter(kind="flat", section="N2").latest("created_at").image.as_kind().data
    assert np.median(alone) == pytest.approx(np.median(flats["N2"]), abs=1e-4)
    level = focal_plane_level(raw_frames("flat")[0], "r")
    assert level == focal_plane_level(raw_frames("flat")[0], "r") and 25_000 < level < 35_000


def test_flats_of_a_bad_bias_are_bad_with_it(night):
    bias = CalibratorFile.objects.get(kind="bias", section="N1")
    set_badness(bias.image, Badness.BANDING)
    assert Badness.BANDING in CalibratorFile.objects.get(kind="flat", section="N1").image.badness
    assert not CalibratorFile.objects.get(kind="flat", section="N2").image.badness


def test_bad_pixels_come_from_flats_and_the_bias_at_hand(night, command):
    said = command("make_badpixelmask", *(row.name for row in raw_frames("flat")), numprocs=0)
    assert said.count("3 frames, 0 left out") == 2
    row = CalibratorFile.objects.get(kind="bad_pixels", section="N1")
    image = row.image.as_kind()
    assert row.filter == "" and 0 < np.mean(image.flags != 0) < 0.02
    assert "by bias" in row.quality and "by dark current" not in row.quality
    np.testing.assert_array_equal(image.data > 0, image.flags > 0)


def test_a_ramp_without_levels_is_refused_for_every_ccd_with_one_reason(night, command):
    with pytest.raises(CommandError, match=r"2 of 2 calibrators were not made: .*at least 5 are needed") as found:
        command(
            "make_linearity", *(row.name for row in raw_frames("flat")), numprocs=0,
            assignments=["make_linearity.min_frames=5"],
        )  # fmt: skip
    assert str(found.value).count("at least 5") == 1 and not CalibratorFile.objects.filter(kind="linearity").exists()


def test_exposures_of_the_sky_make_an_illumination_correction_over_the_whole_focal_plane(night, command):
    names = [row.name for row in raw_frames("science")]
    said = command(
        "make_illumination", *names, numprocs=0, assignments=["make_illumination.acceptance.max_covered=0.9"]
    )
    assert said.count("4 frames, 0 left out") == 2
    made = {row.section: row for row in CalibratorFile.objects.filter(kind="illumination")}
    assert {row.filter for row in made.values()} == {"r"}
    for row in made.values():
        used = {file.kind for file in row.image.calibrators.all()}
        assert used == {"bias", "flat"}
        assert np.ptp(row.image.as_kind().data) < 0.2
    levels = [row.quality["focal_plane"] for row in made.values()]
    assert np.mean(levels) == pytest.approx(1, abs=0.03)


def test_a_fringe_pattern_needs_several_exposures_and_tells_who_is_missing(night, command):
    names = [row.name for row in raw_frames("science")]
    with pytest.raises(CommandError, match=r"usable science frames: at least 5 are needed"):
        command("make_fringe", *names, sections="N1", numprocs=0)
    command(
        "make_fringe", *names, sections="N1", numprocs=0,
        assignments=["make_fringe.min_frames=3", "make_fringe.acceptance.max_covered=0.9"],
    )  # fmt: skip
    image = CalibratorFile.objects.get(kind="fringe").image.as_kind()
    assert abs(np.mean(image.data[image.flags == 0], dtype=float)) < 1e-4


def test_a_process_that_is_killed_is_an_error_and_an_expected_error_a_result():
    with pytest.raises(Killed, match="fewer --numprocs"):
        list(work_off(os._exit, [(9,), (9,)], numprocs=2))
    outcomes = dict(work_off(parse_section, [("[1:2,1:2]",), ("nonsense",)], numprocs=0))
    assert outcomes[0] == (slice(0, 2), slice(0, 2)) and isinstance(outcomes[1], BadInput)


def test_several_processes_make_what_one_makes(night):
    names = [row.name for row in raw_frames("flat")]
    done = night.manage("make_flat", *names, "--numprocs", "2", "--set", "make_flat.stack.clip=3.5")
    assert done.returncode == 0, done.stderr
    made = CalibratorFile.objects.filter(kind="flat").order_by("-created_at")[:2]
    assert {row.section for row in made} == {"N1", "N2"} and done.stdout.count("3 frames, 0 left out") == 2


def test_scratch_files_leave_nothing_behind_and_give_back_what_was_added(night):
    frames = np.random.default_rng(1).normal(size=(3, 20, 30)).astype(np.float32)
    with pytest.raises(RuntimeError), ScratchStore() as store:
        for frame in frames:
            store.add(frame)
        np.testing.assert_array_equal(store.rows(5, 12, [2, 0]), frames[[2, 0], 5:12])
        np.testing.assert_array_equal(store.frame(1), frames[1])
        assert len(store) == 3
        raise RuntimeError
    assert list((night.folder / "scratch").iterdir()) == []
