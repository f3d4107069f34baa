"""The NOIRLab archive, asked over HTTP: what a search finds."""

from __future__ import annotations

import pytest

from processing.archives import noirlab
from processing.errors import ArchiveAway, BadInput, is_passing
from processing.instruments.base import Instrument
from processing.instruments.offers import Offer, Unreadable, checked_arguments, declared_arguments
from tests.instruments.archive_server import TOKEN
from tests.instruments.noirlab_rows import RAW, instcal, looked, names


def test_a_raw_exposure_is_offered_with_what_the_archive_says_of_it(archive):
    row = archive.add(RAW)
    found = looked(start="2023-08-04", end="2023-08-04")
    assert found == [
        Offer(
            identifier=RAW,
            params={"md5sum": row["md5sum"], "size": row["filesize"]},
            kind="science", mjd=60160.13619, exposure_time=60.0, filter="g", target="COSMOS-1", project="2023A-716082",
            ra=150.0, dec=2.0,
        )
    ]  # fmt: skip
    assert looked([RAW]) == []


def test_a_search_goes_through_all_pages(archive, monkeypatch):
    monkeypatch.setattr(noirlab, "PAGE", 7)
    for k in range(21):
        archive.add(f"c4d_230804_0316{k:02d}_ori.fits.fz", **{"MJD-OBS": 60160 + k})
    found = looked()
    assert len(set(names(found))) == 21
    assert [one.mjd for one in found] == sorted(one.mjd for one in found)
    assert len(archive.asked) == 4  # the last page is empty
    monkeypatch.setattr(noirlab, "MOST", 20)
    with pytest.raises(BadInput, match="more than 20 files; narrow it"):
        looked()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"g", "r", "VR", "south", "short", "other"}), ({"filters": ["g"]}, {"g", "south", "short", "other"}),
        ({"filters": ["VR", "r"]}, {"r", "VR"}), ({"proposals": ["2024B-1"]}, {"other"}),
        ({"min_exposure_time": 30.0}, {"g", "r", "VR", "south", "other"}), ({"obs_types": ["zero"]}, {"zero"}),
        ({"ra": 150.0, "dec": 2.0, "radius": 0.5}, {"g", "VR", "short", "other"}), ({"ra": 359.9, "dec": 2.0}, {"r"}),
        ({"ra": 0.2, "dec": 2.5}, {"r"}), ({"ra": 80.0, "dec": -89.5}, {"south"}),
        ({"start": "2023-08-05"}, {"r"}), ({"end": "2023-08-04"}, {"g", "VR", "south", "short", "other"}),
        ({"start": "2023-08-04T03:00", "end": "2023-08-04T04:10:00+01:00"}, set()),
    ],
)  # fmt: skip
def test_a_search_is_narrowed_by_its_arguments(archive, arguments, expected):
    for name, about in {
        "g": {}, "r": {"ifilter": "r DECam SDSS c0002 6415.0 1480.0", "ra_center": 0.3, "dateobs_center": "2023-08-05T05:00:00"},
        "VR": {"ifilter": "VR DECam c0007 6300.0 2600.0"}, "south": {"ra_center": 260.0, "dec_center": -89.9},
        "short": {"exposure": 10.0}, "other": {"proposal": "2024B-1"},
        "zero": {"obs_type": "zero"}, "instcal": {"proc_type": "instcal"},
    }.items():  # fmt: skip
        archive.add(f"{name}.fits.fz", **about)
    assert {name.split(".")[0] for name in names(looked(**arguments))} == expected


def test_calibration_frames_have_their_kind_and_biases_no_filter(archive):
    archive.add("zero.fits.fz", obs_type="zero")
    archive.add("flat.fits.fz", obs_type="dome flat", ifilter="r DECam SDSS c0002 6415.0 1480.0")
    found = {one.identifier: (one.kind, one.filter) for one in looked(obs_types=["zero", "dome flat"])}
    assert found == {"zero.fits.fz": ("bias", ""), "flat.fits.fz": ("flat", "r")}


def test_of_a_reduced_exposure_the_highest_version_is_offered_with_its_companions(archive):
    instcal(archive, "v1")
    newest = instcal(archive, "v10")
    instcal(archive, "v2")
    instcal(archive, "ls9")
    (found,) = looked(proc_type="instcal")
    assert found.identifier == "c4d_190402_050618_ooi_VR_v10.fits.fz"
    assert found.filter == "VR"
    assert found.params["companions"] == {
        "weight": {"name": "c4d_190402_050618_oow_VR_v10.fits.fz", "md5sum": newest["oow"]["md5sum"], "size": newest["oow"]["filesize"]},
        "flags": {"name": "c4d_190402_050618_ood_VR_v10.fits.fz", "md5sum": newest["ood"]["md5sum"], "size": newest["ood"]["filesize"]},
    }  # fmt: skip
    assert looked(["c4d_190402_050618_ooi_VR_v1.fits.fz"], proc_type="instcal") == []  # one version of it is enough


def test_a_reduced_exposure_without_its_weight_waits(archive):
    instcal(archive, "v1", ("ooi", "ood"))
    (found,) = looked(proc_type="instcal")
    assert isinstance(found, Unreadable)
    assert "weight" in found.reason and "not yet" in found.reason


def test_what_is_not_public_is_offered_with_a_token_only(archive, settings):
    archive.add(RAW, release_date="2999-01-01")
    (found,) = looked()
    assert isinstance(found, Unreadable)
    assert "not public before 2999-01-01" in found.reason and "SEECHANGE_NOIRLAB_TOKEN" in found.reason
    settings.SEECHANGE_NOIRLAB_TOKEN = TOKEN
    assert names(looked()) == [RAW] and isinstance(looked()[0], Offer)
    assert archive.asked[-1][1]["Authorization"] == TOKEN


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"md5sum": "../../etc/passwd"}, "checksum"), ({"md5sum": None}, "checksum"), ({"filesize": -5}, "size"),
        ({"filesize": "many"}, "size"), ({"archive_filename": "/net/.."}, "name"), ({"archive_filename": None}, "name"),
        ({"MJD-OBS": None, "dateobs_center": "2023-08-04 25:61"}, "date"), ({"obs_type": "object", "ifilter": None}, "filter"),
    ],
)  # fmt: skip
def test_a_row_that_makes_no_sense_keeps_nobody_else_from_being_found(archive, about, reason):
    archive.add(RAW)
    archive.add("c4d_230804_040000_ori.fits.fz", **about)
    found = looked()
    assert [one.identifier for one in found if isinstance(one, Offer)] == [RAW]
    (strange,) = [one for one in found if isinstance(one, Unreadable)]
    assert reason in strange.reason


def test_a_date_without_mjd_is_that_of_the_archive(archive):
    archive.add(RAW, **{"MJD-OBS": None, "dateobs_center": "2023-08-04T12:00:00Z"})
    assert looked()[0].mjd == 60160.5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"start": "yesterday"}, "2026-11-22"), ({"start": "2023-08-05", "end": "2023-08-04"}, "not after the start"),
        ({"days": -1.0}, "above 0"), ({"days": 1.0, "start": "2023-08-05"}, "no start"), ({"ra": 10.0}, "both"),
        ({"ra": 400.0, "dec": 2.0}, "possible"), ({"filters": ["Halpha"]}, "u, g, r, i, z"),
    ],
)  # fmt: skip
def test_a_search_that_makes_no_sense_is_refused_before_the_archive_is_asked(archive, arguments, said):
    with pytest.raises(BadInput, match=said):
        looked(**arguments)
    assert archive.asked == []


def test_the_arguments_of_a_watch_are_typed():
    look = Instrument.member("decam").offers
    assert checked_arguments(look, {"filters": ["g", "r"], "days": 2.0})["proc_type"] == "raw"
    with pytest.raises(BadInput, match="proc_type"):
        checked_arguments(look, {"proc_type": "stacked"})
    assert all(one.help for one in declared_arguments(look))


def test_a_watch_of_a_folder_looks_there_and_not_in_the_archive(archive, tmp_path):
    (tmp_path / "one.fits").write_bytes(b"this is no FITS file")
    (found,) = looked(folder=str(tmp_path), settle=0.0)
    assert isinstance(found, Unreadable)
    assert archive.asked == []


@pytest.mark.parametrize("trouble", [[500, 502], ["silence"], [(429, {"Retry-After": "7"})], [b"<html>busy</html>"]])
def test_a_search_is_asked_again_while_the_archive_is_busy(archive, pauses, trouble):
    archive.add(RAW)
    archive.trouble += trouble
    assert names(looked()) == [RAW]
    assert len(pauses) >= len(trouble)
    assert trouble != [(429, {"Retry-After": "7"})] or pauses == [7.0]


@pytest.mark.parametrize("answer", [b"[]", b'{"errorMessage": "sorry"}', b'["a"]', b"null", b"7", b"\xff\xfe"])
def test_an_answer_that_is_none_is_an_error_that_may_pass(archive, pauses, answer):
    archive.trouble += [answer] * 5
    with pytest.raises(ArchiveAway) as caught:
        looked()
    assert is_passing(type(caught.value).__name__)


def test_what_the_archive_refuses_is_said_and_not_asked_again(archive, pauses):
    archive.trouble += [400]
    with pytest.raises(BadInput, match="answers 400: come again"):
        looked()
    assert pauses == []
