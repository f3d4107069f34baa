"""The NOIRLab archive, asked over HTTP: a file comes whole or not at all."""

from __future__ import annotations

import pytest

from processing.archives import http
from processing.archives.http import RemoteFile, Site, origin_of
from processing.errors import ArchiveAway, BadInput, is_passing
from processing.instruments.base import Instrument
from products.errors import DiskFull
from tests.instruments.archive_server import TOKEN, md5, serving
from tests.instruments.noirlab_rows import CONTENT, RAW, instcal, looked, remote


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
