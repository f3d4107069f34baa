"""The NOIRLab archive, asked over HTTP: what a search finds, and that a file comes whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from processing.archives import http, noirlab
from processing.archives.http import RemoteFile, Site, origin_of
from processing.errors import ArchiveAway, BadInput, is_passing
from processing.instruments.base import Instrument
from processing.instruments.offers import Offer, Unreadable, checked_arguments, declared_arguments
from products.errors import DiskFull
from tests.instruments.archive_server import TOKEN, md5, serving

RAW = "c4d_230804_031607_ori.fits.fz"
CONTENT = np.random.default_rng(1).bytes(3_000_000)


@pytest.fixture
def archive(settings):
    """An archive, which the settings name."""
    with serving() as found:
        settings.SEECHANGE_NOIRLAB = found.address
        settings.SEECHANGE_NOIRLAB_TOKEN = ""
        yield found


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were made between attempts, without making them."""
    made: list[float] = []
    real = noirlab.site
    monkeypatch.setattr(noirlab, "site", lambda: _quick(real(), made))
    return made


def _quick(site: Site, made: list[float]) -> Site:
    site.sleep, site.answer_within = made.append, 1.0
    return site


def looked(known=(), **arguments):
    return list(Instrument.member("decam")().offers(known, **arguments))


def names(found):
    return [one.identifier for one in found]


def remote(archive, content=CONTENT, name=RAW, **changes):
    archive.files[md5(content)] = content
    digest = md5(content)
    return RemoteFile(**{"name": name, "url": f"{archive.address}/api/retrieve/{digest}/", "size": len(content), "md5": digest, **changes})  # fmt: skip


# Search ------------------------------------------------------------------------------------------------------


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


def instcal(archive, version, products=("ooi", "oow", "ood"), taken="c4d_190402_050618", band="VR"):
    kinds = {"ooi": "image", "oow": "wtmap", "ood": "dqmask"}
    return {
        name: archive.add(
            f"{taken}_{name}_{band}_{version}.fits.fz", proc_type="instcal", prod_type=kinds[name],
            ifilter=f"{band} DECam c0007 6300.0 2600.0",
        )
        for name in products
    }  # fmt: skip


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


# Download ----------------------------------------------------------------------------------------------------


def download(archive, folder, file=None, **site):
    made: list[float] = []
    site = Site(archive.address, **{"sleep": made.append, **site})
    return site.download(file or remote(archive), folder), made


def test_a_file_comes_whole_and_once(archive, tmp_path):
    seen = []
    path = Site(archive.address).download(remote(archive), tmp_path / "new", lambda here, of: seen.append((here, of)))
    assert path == tmp_path / "new" / RAW
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and seen == sorted(seen)
    assert [one.name for one in path.parent.iterdir()] == [RAW]
    download(archive, tmp_path / "new")
    assert len(archive.asked) == 1


def test_a_connection_that_breaks_off_goes_on_where_it_was(archive, tmp_path):
    archive.trouble += ["break off", "break off"]
    path, pauses = download(archive, tmp_path)
    assert path.read_bytes() == CONTENT
    assert [asked[1].get("Range") for asked in archive.asked] == [None, "bytes=1500000-", "bytes=2250000-"]
    assert len(pauses) == 2


def test_a_link_that_breaks_often_still_brings_a_file_as_long_as_something_comes(archive, tmp_path):
    archive.trouble += ["break off"] * 12
    path, pauses = download(archive, tmp_path, attempts=3)
    assert path.read_bytes() == CONTENT
    assert len(pauses) == 12


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(archive, tmp_path):
    archive.ranges = False
    archive.trouble += ["break off"]
    assert download(archive, tmp_path)[0].read_bytes() == CONTENT


def test_a_later_process_goes_on_where_the_first_one_died(archive, tmp_path):
    file = remote(archive)
    (tmp_path / f".{RAW}.{file.md5[:8]}.part").write_bytes(CONTENT[:1_000_000])
    assert download(archive, tmp_path)[0].read_bytes() == CONTENT
    assert archive.asked[0][1]["Range"] == "bytes=1000000-"


@pytest.mark.parametrize("there", [CONTENT + b"more", b"x" * 1000, b"y" * len(CONTENT)])
def test_what_an_earlier_process_left_damaged_is_fetched_anew(archive, tmp_path, there):
    file = remote(archive)
    (tmp_path / f".{RAW}.{file.md5[:8]}.part").write_bytes(there)
    assert download(archive, tmp_path)[0].read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("trouble", "waits"),
    [([500, 503], 2), ([(429, {"Retry-After": "12"})], 1), (["silence"], 1), ([b"x" * len(CONTENT)], 1), ([CONTENT + b"!"], 1)],
)  # fmt: skip
def test_a_file_is_asked_for_again_with_growing_pauses(archive, tmp_path, trouble, waits):
    archive.trouble += trouble
    path, pauses = download(archive, tmp_path, answer_within=1.0)
    assert path.read_bytes() == CONTENT
    assert len(pauses) >= waits
    assert pauses == sorted(pauses)
    assert not isinstance(trouble[0], tuple) or pauses == [12.0]


def test_a_file_that_is_never_what_was_promised_is_refused_and_nothing_is_left(archive, tmp_path):
    content = b"z" * len(CONTENT)
    file = remote(archive, md5=md5(content))
    archive.files[file.md5] = CONTENT
    file = RemoteFile(RAW, f"{archive.address}/api/retrieve/{file.md5}/", len(CONTENT), file.md5)
    with pytest.raises(ArchiveAway, match="checksum") as caught:
        download(archive, tmp_path, file, attempts=2)
    assert is_passing(type(caught.value).__name__)
    assert sum(one.stat().st_size for one in tmp_path.iterdir()) == 0
    assert len(archive.asked) == 2


def test_time_runs_out_and_what_came_is_kept(archive, tmp_path):
    with pytest.raises(ArchiveAway, match="what came is kept"):
        download(archive, tmp_path, file_within=0.0)
    (part,) = tmp_path.iterdir()
    assert part.stat().st_size > 0
    assert download(archive, tmp_path)[0].read_bytes() == CONTENT
    assert archive.asked[-1][1]["Range"].startswith("bytes=")


def test_who_may_not_have_a_file_is_told_what_to_do(archive, tmp_path):
    file = remote(archive)
    archive.private.add(file.md5)
    with pytest.raises(BadInput, match="SEECHANGE_NOIRLAB_TOKEN"):
        download(archive, tmp_path, file)
    assert download(archive, tmp_path, file, token=TOKEN)[0].read_bytes() == CONTENT


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/", "https://example.org/api/retrieve/x/", "file:///etc/passwd",
        "ftp://127.0.0.1/x", "http://127.0.0.1:1/api/", "http://user:secret@127.0.0.1/", "//127.0.0.1/x", "http://[::1", "x",
    ],
)  # fmt: skip
def test_an_address_outside_the_archive_is_not_asked(archive, tmp_path, url):
    with pytest.raises(BadInput):
        download(archive, tmp_path, remote(archive, url=url))
    params = {"md5sum": md5(CONTENT), "size": 5, "url": url}
    with pytest.raises(BadInput):
        Instrument.member("decam")().fetch(RAW, params, tmp_path)
    assert archive.asked == []


def test_a_redirect_to_another_machine_is_not_followed(archive, tmp_path):
    with serving() as other:
        other.files[md5(CONTENT)] = CONTENT
        archive.trouble += [(302, {"Location": f"{other.address}/api/retrieve/{md5(CONTENT)}/"})]
        with pytest.raises(BadInput, match="another machine"):
            download(archive, tmp_path, token=TOKEN)
        assert other.asked == []
    archive.trouble += [(302, {"Location": f"/api/retrieve/{md5(CONTENT)}/"})]
    assert download(archive, tmp_path)[0].read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["../evil.fits", "/etc/evil.fits", ".hidden.fits", "", "a/b.fits"])
def test_a_name_that_leads_out_of_the_folder_is_refused(archive, tmp_path, name):
    with pytest.raises(BadInput):
        download(archive, tmp_path, remote(archive, name=name))
    with pytest.raises(BadInput):
        Instrument.member("decam")().fetch(name, {"md5sum": md5(CONTENT), "size": 5}, tmp_path)
    companion = {"weight": {"name": name, "md5sum": md5(CONTENT), "size": 5}}
    with pytest.raises(BadInput):
        Instrument.member("decam")().fetch(RAW, {"md5sum": md5(CONTENT), "size": 5, "companions": companion}, tmp_path)
    assert archive.asked == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "params", [{}, {"md5sum": "x", "size": 5}, {"md5sum": md5(b""), "size": "5"}, {"md5sum": md5(b""), "size": 5, "companions": [1]}]
)  # fmt: skip
def test_parameters_of_no_offer_are_refused(archive, tmp_path, params):
    with pytest.raises(BadInput):
        Instrument.member("decam")().fetch(RAW, params, tmp_path)


def test_too_large_a_file_and_a_full_disk_are_refused_before_anything_is_asked(archive, tmp_path, monkeypatch):
    with pytest.raises(BadInput, match=r"5\.0 GB"):
        download(archive, tmp_path, remote(archive, size=5_000_000_000))
    usage = http.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(http.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(DiskFull):
        download(archive, tmp_path)
    assert archive.asked == []


def test_two_processes_do_not_fetch_one_file_into_one_folder(archive, tmp_path):
    file = remote(archive)
    with http._held(tmp_path / f".{RAW}.{file.md5[:8]}.part", RAW), pytest.raises(BadInput, match="another process"):
        download(archive, tmp_path, file)
    assert download(archive, tmp_path, file)[0].read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("0", 0), ("-3", 0), ("86400", 120), ("soon", 0), ("", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 2999 07:28:00 GMT", 120)],
)  # fmt: skip
def test_a_retry_after_is_a_number_or_a_date_and_never_for_ever(text, seconds):
    assert http._seconds(text) == seconds


def test_a_token_with_a_line_end_is_refused():
    with pytest.raises(BadInput, match="line end"):
        Site("https://astroarchive.noirlab.edu", "abc\r\nHost: evil")


def test_no_answer_at_all_is_an_error_that_may_pass(tmp_path):
    site = Site("http://127.0.0.1:9", attempts=2, sleep=lambda seconds: None)
    with pytest.raises(ArchiveAway, match="no answer"):
        site.post("/api/", {})


@pytest.mark.parametrize("address", ["http://astroarchive.noirlab.edu", "astroarchive.noirlab.edu", ""])
def test_an_archive_is_reached_by_https_only(address):
    with pytest.raises(BadInput, match="https"):
        Site(address)
    assert origin_of("https://astroarchive.noirlab.edu/api") == ("https", "astroarchive.noirlab.edu", 443)


def test_a_launcher_gets_an_offered_triplet_side_by_side(archive, tmp_path):
    instcal(archive, "v1")
    (offer,) = looked(proc_type="instcal")
    path = Instrument.member("decam")().fetch(offer.identifier, offer.params, tmp_path)
    assert path == tmp_path / "c4d_190402_050618_ooi_VR_v1.fits.fz"
    assert sorted(one.name.split("_")[3] for one in tmp_path.iterdir()) == ["ood", "ooi", "oow"]
