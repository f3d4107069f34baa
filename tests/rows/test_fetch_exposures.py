"""From an archive to the table of exposures: listed, downloaded, taken in; by hand, by a watch and by a launcher."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from conductor.models import KnownExposure, Watch
from conductor.watching import look
from products.models import Exposure
from tests.instruments.archive_server import serving
from tests.instruments.decam_files import instcal_files, raw_file

pytestmark = pytest.mark.django_db
RAW = "c4d_130213_090140_ori.fits.fz"


@pytest.fixture
def archive(settings, tmp_path):
    """An archive with one raw exposure and one reduced one."""
    with serving() as found:
        settings.SEECHANGE_NOIRLAB = found.address
        settings.SEECHANGE_NOIRLAB_TOKEN = ""
        found.add(RAW, raw_file(tmp_path / "made.fits").read_bytes(), **{"MJD-OBS": 56336.3761686})
        products = {"ooi": "image", "oow": "wtmap", "ood": "dqmask"}
        for name, path in instcal_files(tmp_path).items():
            about = {"prod_type": products[name], "ifilter": "VR DECam c0007 6300.0 2600.0", "MJD-OBS": 58575.2}
            found.add(path.name, path.read_bytes(), proc_type="instcal", **about)
            path.unlink()
        yield found


def run(*arguments, **options):
    given = [word for text in arguments for word in ("--argument", text)]
    call_command("fetch_exposures", "--instrument", "decam", *given, **options)


def test_a_list_downloads_nothing(archive, capsys, tmp_path):
    run("start=2023-08-04", "end=2023-08-05", "filters=[g]")
    out = capsys.readouterr().out
    assert f"{RAW}: science, g, MJD 56336.37617, 60 s, COSMOS-1" in out and "1 exposures" in out
    assert not any("retrieve" in path for path, *_ in archive.asked)


def test_raw_and_reduced_exposures_are_brought_and_taken_in(archive, capsys, tmp_path):
    run(into=tmp_path / "raw", ingest=True)
    run("proc_type=instcal", into=tmp_path / "raw", ingest=True)
    run(into=tmp_path / "raw", ingest=True)  # nothing twice
    raw, reduced = Exposure.objects.order_by("mjd")
    assert (raw.name, raw.origin, raw.filter) == ("c4d_130213_090140_ori", RAW, "g")
    assert (reduced.filter, set(reduced.companions)) == ("VR", {"weight", "flags"})
    assert sum("retrieve" in path for path, *_ in archive.asked) == 4


def test_one_that_cannot_be_had_keeps_no_other_from_coming(archive, capsys, tmp_path):
    archive.add("c4d_130213_080000_ori.fits.fz", b"no FITS file " * 100, **{"MJD-OBS": 56336.3})
    with pytest.raises(CommandError, match="1 of 2 exposures"):
        run(into=tmp_path / "raw", ingest=True)
    assert "c4d_130213_080000_ori.fits.fz: it is not a FITS file" in capsys.readouterr().err
    assert Exposure.objects.count() == 1


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (["start"], {}, "NAME=VALUE"), (["begin=2023-08-04"], {}, "there are: folder, pattern"), (["radius=wide"], {}, "radius"),
        ([], {"ingest": True}, "--into"), (["start=never"], {}, "2026-11-22"),
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_named(archive, arguments, options, said):
    with pytest.raises(CommandError, match=said):
        run(*arguments, **options)
    assert archive.asked == []


def test_a_watch_makes_what_the_archive_has_known_once(archive):
    call_command("watch", "noirlab", "--create", "--instrument", "decam", "--argument", "start=2023-08-04")
    watch = Watch.objects.get()
    assert watch.arguments == {"start": "2023-08-04"}
    assert look(watch).new == [RAW]
    assert look(watch).new == []
    row = KnownExposure.objects.get()
    assert (row.filter, row.project, row.ra) == ("g", "2023A-716082", 150.0)
    archive.trouble += [400]
    assert "the archive answers 400" in look(watch).error


def test_the_page_of_a_watch_offers_the_search_of_the_archive(client, django_user_model):
    person = django_user_model.objects.create_superuser("ada", password="x")
    client.force_login(person)
    Watch.objects.create(name="noirlab", instrument="decam", arguments={"proc_type": "instcal", "filters": ["g"]})
    page = client.get(f"/conductor/watches/{Watch.objects.get().pk}/").content.decode()
    assert 'name="argument-proc_type"' in page and '<option value="instcal" selected>' in page
