"""What becomes of files that are not let in: nothing is half done, and everybody is told the code."""

from __future__ import annotations

import io
import json
import os
import shutil
import uuid
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from django.core.management import CommandError, call_command

from conductor.launcher import Launcher, Plan
from conductor.models import KnownExposure
from conductor.services.claiming import start
from conductor.services.finishing import finish
from conductor.watching import look
from processing.admission import quarantine
from processing.admission.codes import TOLERABLE, Code
from processing.admission.rules import AdmissionRules
from processing.datastore import DataStore
from processing.errors import BadExposureFile, is_passing
from processing.exposures import ingest
from processing.instruments.base import Instrument
from processing.instruments.demo import Demo
from processing.instruments.generic import Generic
from processing.providers import raw_section
from products import storage
from products.models import Exposure
from tests.admission.corpus import CASES
from tests.admission.files import KINDS, card, changed, compressed, noise, plain, put, written
from tests.instruments.test_instruments import demo_file, sdss_file
from tests.night.same import stored
from tests.rows.test_watching import raw, watch
from tests.rows.waiting import claimed, known

pytestmark = pytest.mark.django_db
GOOD = Generic(read_noise=3.0)


def file(folder: Path, content: bytes, name: str = "field_1.fits") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refused(path: Path, instrument: Instrument = GOOD) -> BadExposureFile:
    """Why a file is not taken in; it stays where it is, and nothing is kept of it."""
    before = path.read_bytes()
    with pytest.raises(BadExposureFile) as caught:
        ingest(path, instrument)
    assert path.read_bytes() == before
    assert not Exposure.objects.exists() and not stored()
    assert not storage.quarantine_path("x").parent.exists()
    return caught.value


@pytest.mark.parametrize(
    "name", ["gzip bomb", "HCOMPRESS", "A_ORDER = 9000", "NAXIS1 = 4294967296", "TFIELDS = 4611686018427387904"]
)
def test_what_harms_astropy_is_not_taken_in_and_stays_where_its_owner_put_it(name, tmp_path):
    assert refused(file(tmp_path, CASES[name].make())).code is CASES[name].code


def test_what_is_odd_is_taken_in_and_told_in_the_header_of_its_row(tmp_path):
    content = put(plain(), card("OBSERVER", "'Rene'", "Ren\xe9"), card("Observer", "'Tycho'"))
    row = ingest(file(tmp_path, content), GOOD)
    said = Exposure.objects.get(pk=row.pk).header["admission"]
    assert [text.rpartition("[")[2] for text in said] == ["bad-characters]", "lower-case]"]
    assert ingest(tmp_path / "field_1.fits", GOOD) == row  # the same file again is no other reading
    assert "admission" not in ingest(file(tmp_path, plain(), "field_2.fits"), GOOD).header


@pytest.mark.parametrize("role", ["weight", "flags"])
def test_a_companion_is_looked_through_too(role, tmp_path):
    path = file(tmp_path, plain())
    beside = file(tmp_path, compressed("HCOMPRESS_1"), f"field_1.{role}.fits")
    error = refused(path)
    assert (error.code, error.path) == (Code.UNSAFE_COMPRESSION, str(beside))
    file(tmp_path, written(fits.PrimaryHDU(noise(np.float32))), beside.name)
    assert list(ingest(path, GOOD).companions) == [role]


@pytest.mark.parametrize("name", ["psField-006377-4-0399.fit", "fpM-006377-r4-0399.fit"])
def test_the_gains_and_masks_of_an_sdss_frame_are_looked_through_too(name, tmp_path):
    path = sdss_file(tmp_path / "fpC-006377-r4-0399.fit")
    beside = file(tmp_path, CASES["arrays that lie on one another"].make(), name)
    error = refused(path, Instrument.member("sdss")())
    assert (error.code, error.path) == (Code.BAD_HEAP, str(beside))


def test_what_is_odd_in_a_companion_is_told_with_its_role(tmp_path):
    path = file(tmp_path, plain())
    file(tmp_path, written(fits.PrimaryHDU(noise(np.float32))) + bytes(10), "field_1.weight.fits")
    assert ingest(path, GOOD).header["admission"] == ["weight: 10 bytes follow the last extension [trailing-bytes]"]


def test_a_place_that_is_told_makes_a_wrong_one_in_the_header_a_warning(tmp_path):
    path = file(tmp_path, changed(plain(), "CRVAL1", "NaN"))
    assert "--set instrument.ra" in str(refused(path))
    row = ingest(path, Generic(read_noise=3.0, ra=10.0, dec=5.0, pixel_scale=1.0))
    assert "[bad-wcs]" in row.header["admission"][0] and row.ra == pytest.approx(10.0, abs=0.01)


def test_rules_are_one_class_variable_of_an_instrument(tmp_path, monkeypatch):
    path = file(tmp_path, put(plain(), card("Observer", "'Tycho'")))
    monkeypatch.setattr(Generic, "admission", AdmissionRules().refusing(Code.LOWER_CASE))
    assert refused(path).code is Code.LOWER_CASE
    with pytest.raises(ValueError, match="gzip-bomb can never be tolerated"):
        AdmissionRules(tolerated=TOLERABLE | {Code.GZIP_BOMB})


@pytest.mark.parametrize(("keyword", "value", "code"), [("RA", 170.0, Code.BAD_WCS), ("RA", 150.5, None)])
def test_a_ccd_that_is_not_where_the_telescope_pointed_is_refused_when_it_is_read(keyword, value, code, tmp_path):
    demo_file(tmp_path / "one.fits")
    path = file(tmp_path, changed((tmp_path / "one.fits").read_bytes(), keyword, value), "two.fits")
    data = DataStore(ingest(path, Demo()), section="N1")
    if code is None:
        assert raw_section(data, None).data.shape == (40, 68)
    else:
        with pytest.raises(BadExposureFile) as caught:
            raw_section(data, None)
        assert caught.value.code is code and str(caught.value).startswith("two N1: ")


# Watches and launchers -----------------------------------------------------------------------------------------


def test_a_watch_names_the_code_and_leaves_the_folder_as_it_is(tmp_path):
    folder = tmp_path / "raw"
    raw(folder)
    poison = file(folder, CASES["HCOMPRESS"].make(), "a_poison.fits")
    odd = file(folder, (folder / "one.fits").read_bytes() + bytes(10), "b_odd.fits")  # only this camera minds
    for path in (poison, odd):
        os.utime(path, (0, 0))
    found = look(watch(folder))
    assert found.new == ["one.fits"]
    first, second = found.unreadable
    assert (first.identifier, second.identifier) == ("a_poison.fits", "b_odd.fits")
    assert "[unsafe-compression]" in first.reason and "[trailing-bytes]" in second.reason
    assert sorted(path.name for path in folder.iterdir()) == ["a_poison.fits", "b_odd.fits", "one.fits"]
    assert not storage.quarantine_path("x").parent.exists()


def taken_in(spoil: bytes, monkeypatch, name: str = "one.fits") -> tuple[BadExposureFile, list[str], Path]:
    """A launcher fetches such a file into its own folder: its error, what it said, and that folder."""
    said: list[str] = []
    launcher = Launcher(None, Plan(cluster="here"), said.append)
    monkeypatch.setattr(Demo, "fetch", lambda camera, identifier, params, into: file(into, spoil, name))
    facts = {"id": str(uuid.uuid4()), "instrument": "demo", "identifier": name, "params": {}, "exposure": ""}
    with pytest.raises(BadExposureFile) as caught:
        launcher._exposure(facts)
    return caught.value, said, storage.root().parent / "incoming" / facts["id"]


def test_a_fetched_file_goes_into_quarantine_with_the_reason_beside_it(monkeypatch):
    spoiled = CASES["HCOMPRESS"].make()
    error, said, folder = taken_in(spoiled, monkeypatch, "näh <b>.fits")
    assert error.code is Code.UNSAFE_COMPRESSION and not folder.exists()
    (kept,) = [path for path in storage.quarantine_path("x").parent.rglob("*") if path.suffix == ".fits"]
    assert kept.read_bytes() == spoiled and kept.name.isascii() and "<" not in kept.name
    facts = json.loads(kept.with_name(f"{kept.name}.json").read_text())
    assert (facts["code"], facts["original_name"]) == ("unsafe-compression", "näh <b>.fits")
    assert facts["sha256"] == storage.sha256(kept) and facts["size"] == len(spoiled) and facts["detail"] == error.detail
    assert any(str(kept) in line for line in said)
    taken_in(spoiled, monkeypatch, "näh <b>.fits")
    assert len(list(kept.parent.iterdir())) == 2  # the same again is there once


def test_a_file_that_cannot_be_put_away_is_refused_for_its_own_reason(monkeypatch):
    monkeypatch.setattr(shutil, "copyfile", None)
    monkeypatch.setattr(quarantine.storage, "sha256", lambda path: (_ for _ in ()).throw(OSError("no room")))
    error, said, folder = taken_in(b"no FITS", monkeypatch)
    assert error.code is Code.NOT_FITS and not folder.exists()
    assert any("could not be put into quarantine: no room" in line for line in said)


def test_a_file_that_a_launcher_reads_where_it_lies_is_not_moved(tmp_path, monkeypatch):
    path = file(tmp_path, CASES["HCOMPRESS"].make(), "theirs.fits")
    facts = {"id": "1", "instrument": "demo", "identifier": path.name, "params": {"path": str(path)}, "exposure": ""}
    with pytest.raises(BadExposureFile):
        Launcher(None, Plan(cluster="here"), print)._exposure(facts)
    assert path.is_file() and not storage.quarantine_path("x").parent.exists()


def test_a_known_exposure_that_is_not_let_in_has_failed_with_the_code_and_is_not_tried_again():
    known()
    error = BadExposureFile(Code.BAD_CHECKSUM, "HDU 3 (N1): its CHECKSUM does not fit", "one.fits")
    token = claimed().token
    start(token, sections=[])
    row = finish(token, {}, error=str(error), transient=is_passing(type(error).__name__))
    assert row.state == KnownExposure.State.FAILED and "[bad-checksum]" in row.last_error


# The command ---------------------------------------------------------------------------------------------------


def checked(*arguments: object, **options: object) -> tuple[str, str]:
    """What `check_file` writes, and its error."""
    out = io.StringIO()
    try:
        call_command("check_file", *arguments, stdout=out, **options)
    except CommandError as error:
        assert error.returncode == 1
        return out.getvalue(), str(error)
    return out.getvalue(), ""


def test_check_file_says_what_the_guard_says(tmp_path):
    demo_file(tmp_path / "good.fits")
    odd = file(tmp_path, put(plain(), card("Observer", "'Tycho'")), "odd.fits")
    bad = file(tmp_path, CASES["HCOMPRESS"].make(), "bad.fits")
    said, error = checked(tmp_path / "good.fits", instrument="demo")
    assert error == "" and said.startswith("OK ") and "images: N1, N2" in said and "warning" not in said
    said, error = checked(odd, bad)
    assert "warning: HDU 0: the keyword 'Observer' [lower-case]" in said
    assert "refused" in said and "[unsafe-compression]" in said
    assert error == "1 of 2 files would be refused"


def test_check_file_writes_json_and_knows_companions(tmp_path):
    table, bad = file(tmp_path, KINDS["tables"]()), file(tmp_path, b"no FITS", "bad.fits")
    assert checked(table)[1] and not checked(table, companion=True)[1]
    said, error = checked(table, bad, companion=True, as_json=True)
    good, wrong = json.loads(said)
    assert good["is_admitted"] and good["hdus"] == 3 and good["warnings"] == []
    assert not wrong["is_admitted"] and wrong["code"] == "not-fits" and wrong["advice"] and error
