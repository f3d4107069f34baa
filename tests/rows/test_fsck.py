"""`fsck` finds what is missing, damaged or left over, puts right what it can, and deletes nothing that has a row."""

from __future__ import annotations

import io
import json
import os
import time

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from products import storage
from products.models import Alert, Badness, Exposure, Image, Measurement, ScienceImage
from products.selectors.files import recorded_files
from products.services.badness import set_badness
from products.services.checking import turn_of
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def archive(settings, tmp_path):
    settings.SEECHANGE_ARCHIVE = str(tmp_path / "archive")
    return tmp_path / "archive"


@pytest.fixture
def ccd(tmp_path):
    """Every product of one CCD, its raw file with a companion included."""
    raw = tmp_path / "raw.fits"
    raw.write_bytes(b"raw pixels")
    exposure = factories.exposure()
    exposure.filepath = "exposures/demo/raw.fits"
    exposure.sha256, exposure.filesize = storage.adopt(exposure.filepath, raw)
    digest, _ = storage.adopt("exposures/demo/mask.fits", raw)
    exposure.companions = {"flags": {"path": "exposures/demo/mask.fits", "sha256": digest}}
    exposure.save()
    raw.unlink()
    return factories.full_ccd(of=exposure)


def fsck(*options: str) -> tuple[dict, int]:
    """The findings and the exit status."""
    out = io.StringIO()
    try:
        call_command("fsck", *options, "--json", "-", stdout=out)
    except CommandError as error:
        return json.loads(out.getvalue()), error.returncode
    return json.loads(out.getvalue()), 0


def troubles(*options: str) -> dict[str, int]:
    return fsck(*options)[0]["counts"]


def path_of(row):
    return storage.local_path(row.filepath)


def damage(path):
    """Change one byte in the middle; the size stays."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def test_a_whole_archive_is_clean(ccd, archive, capsys):
    for record in recorded_files():
        storage.upload(record.key, record.sha256)
    for options in ((), ("--full",), ("--full", "--grace", "0"), ("--repair",)):
        found, status = fsck(*options)
        assert (found["findings"], status) == ([], 0)
    call_command("fsck")
    assert "All is well" in capsys.readouterr().out


def test_an_empty_database_and_an_empty_folder_are_clean(tmp_path):
    assert fsck("--full") == (
        {
            "data": str(tmp_path / "files"),
            "archive": "",
            "problems_left": 0,
            "counts": {},
            "findings": [],
        },
        0,
    )


def test_every_file_of_every_product_and_companion_is_looked_at(ccd):
    keys = {record.key for record in recorded_files()}
    on_disk = {path.relative_to(storage.root()).as_posix() for path in storage.root().rglob("*") if path.is_file()}
    assert keys == on_disk


def test_a_row_without_file_is_found_and_kept(ccd):
    path_of(ccd.image).unlink()
    found, status = fsck("--repair")
    assert status == 1
    assert found["counts"] == {"missing": 1}
    assert found["findings"][0]["what"] == ccd.image.filepath
    assert "no archive" in found["findings"][0]["detail"] or not found["findings"][0]["repaired"]
    assert ScienceImage.objects.filter(pk=ccd.image.pk).exists()


def test_a_missing_companion_is_found(ccd):
    storage.local_path("exposures/demo/mask.fits").unlink()
    found, status = fsck()
    assert (found["counts"], status) == ({"missing": 1}, 1)
    assert "(flags)" in found["findings"][0]["row"]


def test_a_file_of_the_wrong_size_is_found_without_reading_it(ccd):
    path = path_of(ccd.image)
    path.write_bytes(path.read_bytes()[:-1])
    assert troubles() == {"wrong_size": 1}


def test_one_changed_byte_is_found_only_by_reading_everything(ccd):
    damage(path_of(ccd.difference))
    assert troubles() == {}
    assert troubles("--full") == {"damaged": 1}


def test_damage_without_an_archive_is_not_repaired_and_says_why(ccd):
    damage(path_of(ccd.difference))
    found, status = fsck("--full", "--repair")
    assert status == 1 and "there is no archive" in found["findings"][0]["detail"]
    assert path_of(ccd.difference).exists()


def test_each_file_has_its_turn_once_in_the_days_of_a_sample():
    keys = [f"science/{number}.fits" for number in range(200)]
    chosen = [[key for key in keys if turn_of(7, today=day)(key)] for day in range(20_000, 20_007)]
    assert sorted(key for some in chosen for key in some) == sorted(keys)
    assert all(5 < len(some) < 60 for some in chosen)


def test_a_sample_of_one_day_reads_everything(ccd):
    damage(path_of(ccd.difference))
    assert troubles("--sample", "1") == {"damaged": 1}


def test_files_that_are_only_in_the_archive_are_no_problem_and_can_be_fetched(archive, ccd):
    factories.full_ccd(seed=2, section="S1", of=ccd.exposure)
    path_of(ccd.image).unlink()
    found, status = fsck("--full")
    assert (found["counts"], status) == ({"only_archived": 1}, 0)
    found, status = fsck("--repair")
    assert status == 0 and found["findings"][0]["repaired"]
    assert storage.sha256(path_of(ccd.image)) == ccd.image.sha256
    assert troubles("--full") == {}


@pytest.mark.parametrize("depth", [(), ("--full",)])
def test_a_damaged_file_is_replaced_by_the_archived_one(archive, ccd, depth):
    path = path_of(ccd.image)
    damage(path)
    if not depth:
        path.write_bytes(path.read_bytes() + b"more")
    found, status = fsck(*depth, "--repair")
    assert status == 0 and [one["repaired"] for one in found["findings"]] == [True]
    assert storage.sha256(path) == ccd.image.sha256


def test_what_the_archive_lacks_or_has_wrong_is_copied_again(archive, ccd):
    (archive / ccd.image.filepath).unlink()
    damage(archive / ccd.difference.filepath)
    assert troubles("--full") == {"not_archived": 1, "archive_differs": 1}
    found, status = fsck("--full", "--repair")
    assert status == 0 and all(one["repaired"] for one in found["findings"])
    assert storage.sha256(archive / ccd.difference.filepath) == ccd.difference.sha256
    assert troubles("--full") == {}


def test_two_bad_copies_are_both_kept(archive, ccd):
    damage(path_of(ccd.image))
    damage(archive / ccd.image.filepath)
    before = path_of(ccd.image).read_bytes(), (archive / ccd.image.filepath).read_bytes()
    found, status = fsck("--full", "--repair")
    assert status == 1 and not any(one["repaired"] for one in found["findings"])
    assert (path_of(ccd.image).read_bytes(), (archive / ccd.image.filepath).read_bytes()) == before


def test_a_local_file_whose_damage_a_quick_look_misses_never_reaches_the_archive(archive, ccd):
    damage(path_of(ccd.image))
    (archive / ccd.image.filepath).unlink()
    found, status = fsck("--repair")
    assert status == 1 and found["counts"] == {"not_archived": 1}
    assert not (archive / ccd.image.filepath).exists()


def test_an_archive_that_is_not_mounted_is_not_filled_anew(ccd, settings, tmp_path):
    settings.SEECHANGE_ARCHIVE = str(tmp_path / "not mounted")
    with pytest.raises(CommandError, match="is it mounted"):
        call_command("fsck", "--repair")
    assert not (tmp_path / "not mounted").exists()


def test_files_without_row_are_left_alone_until_they_are_old(ccd):
    orphan = storage.root() / "science" / "orphan.fits"
    orphan.write_bytes(b"no row")
    partial = storage.root() / "science" / ".image.fits.77.part"
    partial.write_bytes(b"half")
    found, status = fsck("--repair")
    assert (found["counts"], status) == ({"young": 2}, 0)
    assert orphan.exists() and partial.exists()
    assert troubles("--grace", "0") == {"orphan": 1, "partial": 1}
    assert orphan.exists()
    found, status = fsck("--grace", "0", "--repair")
    assert status == 0 and not orphan.exists() and not partial.exists()


def test_an_old_raw_file_that_was_linked_in_just_now_is_young(ccd, tmp_path):
    raw = tmp_path / "old.fits"
    raw.write_bytes(b"old")
    os.utime(raw, (time.time() - 1e7,) * 2)
    storage.adopt("exposures/demo/old.fits", raw)
    assert troubles() == {"young": 1}


def test_archived_files_without_row_are_deleted_too(archive, ccd):
    (archive / "orphan.fits").write_bytes(b"no row")
    assert troubles("--grace", "0") == {"archive_orphan": 1}
    assert fsck("--grace", "0", "--repair")[1] == 0
    assert not (archive / "orphan.fits").exists()


def test_nothing_is_deleted_when_the_database_is_another_one(ccd):
    for name in range(1 + sum(1 for _ in recorded_files())):
        (storage.root() / f"{name}.fits").write_bytes(b"of another database")
    found, status = fsck("--grace", "0", "--repair")
    assert status == 1 and not any(one["repaired"] for one in found["findings"])
    assert "right database" in found["findings"][0]["detail"]
    assert fsck("--grace", "0", "--repair", "--delete-most")[1] == 0
    assert not (storage.root() / "0.fits").exists()


def test_a_file_whose_row_comes_while_fsck_works_is_kept(ccd, monkeypatch):
    from products.management.commands import fsck as command

    late = storage.root() / "late.fits"
    late.write_bytes(b"its row is about to be saved")
    check = command.check_alerts

    def row_comes(grace):
        Exposure.objects.filter(pk=ccd.exposure.pk).update(filepath="late.fits")
        return check(grace)

    monkeypatch.setattr(command, "check_alerts", row_comes)
    fsck("--grace", "0", "--repair")
    assert late.exists()


def test_a_row_that_names_no_file_or_leads_out_of_the_folder_is_found(ccd):
    Image.objects.filter(pk=ccd.image.pk).update(filepath="../../etc/passwd")
    Image.objects.filter(pk=ccd.difference.pk).update(filepath="")
    found = troubles("--repair")
    assert (found["bad_path"], found["no_path"]) == (1, 1)


def test_badness_that_was_not_handed_on_is_found_and_handed_on(ccd):
    Image.objects.filter(pk=ccd.image.pk).update(badness_own=int(Badness.BANDING))  # behind the back of the service
    found, status = fsck()
    assert status == 1 and set(found["counts"]) == {"badness"}
    assert "should inherit banding" in found["findings"][0]["detail"]
    assert fsck("--repair")[1] == 0
    assert troubles() == {}
    assert all(row.badness == Badness.BANDING for row in Measurement.objects.all())


def test_badness_that_was_cleared_above_only_is_found_too(ccd):
    set_badness(ccd.image, Badness.BANDING)
    assert troubles() == {}
    Image.objects.filter(pk=ccd.image.pk).update(badness_own=0)
    assert troubles()["badness"] >= 1
    assert fsck("--repair")[1] == 0
    assert troubles() == {}
    assert not any(row.badness for row in Measurement.objects.all())


def test_alerts_that_wait_or_were_given_up_are_found(ccd):
    alert = Alert.objects.get()
    Alert.objects.update(state=Alert.State.PENDING)
    assert troubles() == {}
    assert troubles("--grace", "0") == {"alert_waits": 1}
    Alert.objects.update(state=Alert.State.DEAD, error="no such topic", attempts=10)
    found, status = fsck("--repair")
    assert status == 1 and found["counts"] == {"alert_dead": 1}
    assert str(alert.pk) in found["findings"][0]["what"] and "no such topic" in found["findings"][0]["detail"]


def test_people_read_how_many_of_what_and_what_to_do(ccd, capsys):
    path_of(ccd.image).unlink()
    with pytest.raises(CommandError, match="1 problem left"):
        call_command("fsck")
    said = capsys.readouterr().out
    assert "rows without file: 1" in said and "backup" in said and ccd.image.filepath in said


def test_long_lists_are_cut_short_unless_asked_for(ccd, capsys):
    for number in range(30):
        (storage.root() / f"{number}.fits").write_bytes(b"x")
    for verbosity, lines in ((1, 20), (2, 30)):
        with pytest.raises(CommandError):
            call_command("fsck", "--grace", "0", verbosity=verbosity)
        said = capsys.readouterr().out
        assert said.count(".fits: 0.0 MB") == lines
        assert ("and 10 more" in said) == (verbosity == 1)


@pytest.mark.parametrize("options", [("--sample", "0"), ("--grace", "-1"), ("--full", "--sample", "3")])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(CommandError):
        call_command("fsck", *options)
