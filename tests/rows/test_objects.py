"""Objects: lists, other tags, tables in every format, marks of people."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from products.models import Object, ProvenanceTag
from products.services.tagging import clone
from tests import factories
from tests.rows.archive import Archive

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client):
    """The text of a page that must answer 200."""

    def text(address: str) -> str:
        answer = client.get(address)
        assert answer.status_code == 200, address
        return answer.content.decode()

    return text


def test_what_was_only_ever_cut_is_listed_when_asked_for(site: Archive, page) -> None:
    Object.objects.filter(name=site.object).update(n_measurements=0)
    assert site.object not in page("/objects/") and site.object in page("/objects/?show=all")


def test_objects_are_those_that_were_measured_under_the_tag(site: Archive, page) -> None:
    assert site.object in page("/objects/?tag=current")
    assert "data-href" not in page("/objects/?tag=trial&show=all")


def test_a_cone_lists_the_nearest_first_and_can_be_sorted_otherwise(site: Archive, page) -> None:
    row = Object.objects.get(name=site.object)
    text = page(f"/objects/?ra={row.ra}&dec={row.dec}&radius=300")
    names = [part.split("/")[0] for part in text.split('data-href="/objects/')[1:]]
    rows = {thing.name: thing for thing in Object.objects.near(row.ra, row.dec, 300)}
    distances = [rows[name].separation_arcsec for name in names]
    assert names[0] == row.name and distances == sorted(distances) and len(names) > 2
    by_name = page(f"/objects/?ra={row.ra}&dec={row.dec}&radius=300&sort=name")
    assert sorted(names) == [part.split("/")[0] for part in by_name.split('data-href="/objects/')[1:]]


@pytest.mark.filterwarnings("ignore")
def test_a_light_curve_comes_in_every_format_with_the_same_numbers(site: Archive, client: Client) -> None:
    def content(ending: str) -> bytes:
        answer = client.get(f"/objects/{site.object}/light_curve.{ending}")
        assert answer.status_code == 200 and f'.{ending}"' in answer["Content-Disposition"]
        return answer.content

    expected = [site.ccd.measurements[0].magnitude, site.again.measurements[0].magnitude]
    tables = {
        "csv": Table.read(content("csv").decode(), format="ascii.csv"),
        "ecsv": Table.read(content("ecsv").decode(), format="ascii.ecsv"),
        "vot": Table.read(io.BytesIO(content("vot")), format="votable"),
        "fits": Table(fits.open(io.BytesIO(content("fits")))[1].data),
        "json": Table(rows=json.loads(content("json"))["rows"]),
    }
    for ending, table in tables.items():
        points = table[np.asarray(table["is_limit"]) == 0]
        assert np.allclose(np.asarray(points["magnitude"], float), expected), ending
    assert str(tables["vot"]["flux_ujy"].unit) == str(tables["ecsv"]["flux_ujy"].unit) == "uJy"


def test_limits_and_filters_are_switched_off_by_the_address(site: Archive, page) -> None:
    factories.full_ccd(3, of=factories.exposure("demo_20261125_030000", mjd=61369.125), objects=[])
    text = page(f"/objects/{site.object}/")
    assert text.count('class="err"') == 2 and 'class="lim"' in text
    assert 'class="lim"' not in page(f"/objects/{site.object}/?off=limits")
    assert page(f"/objects/{site.object}/?off=g").count('class="err"') == 1
    assert 'class="lim"' in page(f"/objects/{site.object}/?y=flux"), "a limit is one in flux too"


def test_an_object_leads_to_the_other_tags_that_know_it(site: Archive, page) -> None:
    clone("current", "spring")
    ProvenanceTag.objects.filter(tag="trial").delete()
    factories.provenance("measuring", tag="autumn", other=1)
    text = page(f"/objects/{site.object}/")
    assert '?tag=spring">spring</a></dt><dd>2 measurements' in text
    assert '?tag=spring">spring</a> (2)' in page(f"/objects/{site.object}/?tag=autumn")


def test_neighbours_stand_beside_an_object(site: Archive, page) -> None:
    row = Object.objects.get(name=site.object)
    beside = factories.sky_object(row.ra, row.dec + 10 / 3600)
    assert f"{beside.name}</a></dt><dd>10.0″" in page(f"/objects/{row.name}/")


def test_saying_that_nothing_is_there_takes_the_permission_and_is_logged(site: Archive, client: Client, page) -> None:
    address = f"/objects/{site.object}/mark/"
    asked = {"is_bad": "1", "reason": "a ghost of a bright star"}
    assert client.post(address, asked).url.startswith("/login/")
    person = User.objects.create_user("ada")
    client.force_login(person)
    assert client.post(address, asked).status_code == 403 and not Object.objects.filter(is_bad=True).exists()
    assert 'id="mark"' not in page(f"/objects/{site.object}/")
    person.user_permissions.add(Permission.objects.get(codename="change_object"))
    assert client.get(address).status_code == 405
    assert client.post(address, asked).url == f"/objects/{site.object}/"
    text = page(f"/objects/{site.object}/")
    assert "a ghost of a bright star" in text and "Something is there" in text
    entry = LogEntry.objects.get()
    assert entry.user == person and "a ghost of a bright star" in entry.change_message
    client.post(address, {"is_bad": "0", "reason": "it moved"})
    assert not Object.objects.get(name=site.object).is_bad and LogEntry.objects.count() == 2
    assert site.object not in page("/objects/?bad=yes") and site.object in page("/objects/?bad=no")
