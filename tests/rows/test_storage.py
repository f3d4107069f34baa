"""Files are written whole or not at all, archived, fetched and verified, and never outside their folder."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
from astropy.io import fits

from products import storage
from products.errors import DamagedFile, DiskFull, MissingFile

KEY = "science/61360/image.fits"
CONTENT = b"pixels" * 100


@pytest.fixture
def archive(settings, tmp_path):
    settings.SEECHANGE_ARCHIVE = str(tmp_path / "archive")
    return tmp_path / "archive"


def write(path):
    path.write_bytes(CONTENT)


def everything_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_file_is_stored_with_its_checksum_and_size(tmp_path):
    digest, size = storage.store(KEY, write)
    assert (digest, size) == (storage.sha256(storage.local_path(KEY)), len(CONTENT))
    assert everything_below(tmp_path) == [f"files/{KEY}"]


def test_nothing_is_left_of_a_file_whose_writing_fails(tmp_path):
    def fail(path):
        path.write_bytes(b"half")
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        storage.store(KEY, fail)
    assert everything_below(tmp_path) == []


def test_a_failed_second_writing_leaves_the_first_file_untouched(tmp_path):
    storage.store(KEY, write)

    def fail(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.store(KEY, fail)
    assert storage.local_path(KEY).read_bytes() == CONTENT
    assert everything_below(tmp_path) == [f"files/{KEY}"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")  # noqa: PTH110
def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    def write_to_a_full_disk(path):
        path.write_bytes(b"half")
        with open("/dev/full", "wb") as full:  # noqa: PTH123
            full.write(CONTENT)

    with pytest.raises(DiskFull, match="no room on the disk"):
        storage.store(KEY, write_to_a_full_disk)
    assert everything_below(tmp_path) == []


def test_a_disk_that_fills_while_it_is_synchronised_is_said_too(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(DiskFull):
        storage.store(KEY, write)
    assert everything_below(tmp_path) == []


def test_a_full_disk_in_the_words_of_astropy_is_a_full_disk(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))

    def fail(path):
        raise OSError("Not enough space on disk: requested 100, available 0.")

    with pytest.raises(DiskFull, match="0 MB free"):
        storage.store(KEY, fail)


def test_another_failure_of_the_disk_stays_what_it_is():
    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        storage.store(KEY, fail)


def test_every_file_is_copied_to_the_archive(archive):
    storage.store(KEY, write)
    assert (archive / KEY).read_bytes() == CONTENT


def test_a_file_that_is_missing_here_is_fetched_from_the_archive(archive):
    digest, _ = storage.store(KEY, write)
    storage.local_path(KEY).unlink()
    assert storage.fetch(KEY, digest).read_bytes() == CONTENT
    assert storage.local_path(KEY).read_bytes() == CONTENT


def test_a_damaged_archived_file_is_refused_and_nothing_of_it_stays(archive, tmp_path):
    digest, _ = storage.store(KEY, write)
    storage.local_path(KEY).unlink()
    (archive / KEY).write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(DamagedFile, match="checksum"):
        storage.fetch(KEY, digest)
    assert everything_below(tmp_path / "files") == []


def test_a_file_that_is_nowhere_is_missed_by_name(archive):
    with pytest.raises(MissingFile, match="image"):
        storage.fetch(KEY, "0" * 64)


def test_damage_of_one_bit_is_detected():
    digest, _ = storage.store(KEY, write)
    path = storage.fetch(KEY, digest)
    changed = bytearray(CONTENT)
    changed[123] ^= 1
    path.write_bytes(changed)
    with pytest.raises(DamagedFile, match="fsck"):
        storage.fetch(KEY, digest)


def test_a_damaged_local_file_is_never_copied_over_an_archived_one(archive):
    digest, _ = storage.store(KEY, write)
    storage.local_path(KEY).write_bytes(b"damaged")
    with pytest.raises(DamagedFile):
        storage.upload(KEY, digest)
    assert (archive / KEY).read_bytes() == CONTENT
    storage.restore(KEY, digest)
    assert storage.local_path(KEY).read_bytes() == CONTENT


def test_a_file_from_outside_is_taken_in_and_stays_where_it_was(tmp_path, archive):
    source = tmp_path / "raw.fits"
    source.write_bytes(CONTENT)
    digest, size = storage.adopt("exposures/raw.fits", source)
    assert size == len(CONTENT) and digest == storage.sha256(source)
    source.unlink()
    assert storage.fetch("exposures/raw.fits", digest).read_bytes() == CONTENT


def test_of_a_link_from_outside_the_file_behind_it_is_taken_in(tmp_path):
    source, link = tmp_path / "raw.fits", tmp_path / "links" / "tonight.fits"
    source.write_bytes(CONTENT)
    link.parent.mkdir()
    link.symlink_to("../raw.fits")
    digest, _ = storage.adopt("exposures/raw.fits", link)
    found = storage.fetch("exposures/raw.fits", digest)
    assert found.read_bytes() == CONTENT and not found.is_symlink()


def test_a_file_on_another_file_system_is_copied(tmp_path, monkeypatch):
    source = tmp_path / "raw.fits"
    source.write_bytes(CONTENT)

    def refuse(*names):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(storage.os, "link", refuse)
    storage.adopt("exposures/raw.fits", source)
    assert storage.local_path("exposures/raw.fits").stat().st_ino != source.stat().st_ino


def test_removing_takes_both_copies_and_does_not_mind_that_they_are_gone(archive, tmp_path):
    storage.store(KEY, write)
    storage.remove(KEY)
    storage.remove(KEY)
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize("key", ["../outside.fits", "a/../../outside.fits", "/etc/passwd", "", ".", "a\0b", "a/.."])
@pytest.mark.parametrize(
    "use",
    [
        storage.local_path,
        storage.archive_path,
        storage.remove,
        lambda key: storage.store(key, write),
        lambda key: storage.fetch(key, "0" * 64),
    ],
    ids=["local_path", "archive_path", "remove", "store", "fetch"],
)
def test_a_path_that_leads_out_of_the_data_folder_is_refused(key, use, archive, tmp_path):
    outside = tmp_path / "outside.fits"
    outside.write_bytes(CONTENT)
    with pytest.raises(ValueError, match="not the path of a file"):
        use(key)
    assert outside.read_bytes() == CONTENT


def test_a_link_that_leads_out_of_the_data_folder_is_refused(tmp_path):
    storage.root().mkdir()
    (storage.root() / "way_out").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="not the path of a file"):
        storage.local_path("way_out/secret_key")


def test_what_is_stored_is_a_whole_fits_file():
    storage.store(KEY, lambda path: fits.PrimaryHDU().writeto(path, checksum=True))
    with fits.open(storage.local_path(KEY), checksum=True) as hdus:
        hdus.verify("exception")
