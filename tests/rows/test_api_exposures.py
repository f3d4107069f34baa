"""Exposures, images and what was measured on them in the REST API, with their files."""

from __future__ import annotations

import io
from uuid import uuid4

import pytest
from astropy.io import fits
from django.contrib.auth.models import User
from django.test import Client

from products.models import PSF, Exposure, Image, SourceList, WorldCoordinates, ZeroPoint
from products.models.badness import Badness
from products.services.badness import set_badness
from tests import factories
from tests.rows.archive import FAILED, Archive
from tests.rows.people import bearer, drained
from tests.skies_tiny import SHAPE

pytestmark = pytest.mark.django_db
LISTS = ("exposures", "images", "source-lists", "psfs", "world-coordinates", "zero-points", "reports")


@pytest.fixture
def token() -> dict[str, str]:
    return bearer(User.objects.create_user("broker"), "read")


@pytest.fixture
def get(client: Client, token: dict[str, str]):
    """What an address below /api/v1/ answers, with a token that reads."""

    def ask(address: str, status: int = 200):
        answer = client.get(f"/api/v1/{address}", **token)
        assert answer.status_code == status, (address, answer.status_code, answer.content[:300])
        return answer.json()

    return ask


def test_an_exposure_has_what_came_of_it_under_the_tag(site: Archive, get) -> None:
    row = get(f"exposures/{site.name}/")
    progress = row["progress"]
    assert progress["state"] == "partial" and progress["tried"] == 3 and progress["done"] == 2
    assert progress["errors"] == {"photocal: 4 stars found, 10 needed": 1}
    assert progress["detected"] == 12 and progress["kept"] == 8 and progress["limits"] == {"r": 22.4}
    assert progress["seeing"] == pytest.approx(2.6 * factories.SCALE)
    assert get(f"exposures/{site.name}/?tag=trial")["progress"]["state"] == "waiting"
    listed = {row["name"]: row for row in get("exposures/?sort=name")["results"]}
    assert listed[site.name] == row
    factories.exposure("bias_1", kind="bias", filter="")
    assert get("exposures/bias_1/")["progress"]["state"] is None


def test_of_two_exposures_with_one_name_that_of_the_tag_is_meant(site: Archive, get) -> None:
    other = factories.exposure(site.name, provenance=factories.provenance("acquisition", tag="trial", instrument="b"))
    assert get(f"exposures/{site.name}/")["id"] == str(site.ccd.exposure.pk)
    assert get(f"exposures/{site.name}/?tag=trial")["id"] == str(other.pk)
    assert "nobody" in get("exposures/nobody/", 404)["error"]["message"]


def test_the_ccds_of_an_exposure_say_how_far_they_came(site: Archive, get) -> None:
    failed, *others = get(f"exposures/{site.name}/ccds/")
    assert failed["section"] == FAILED and failed["state"] == "failed" and failed["image"] is None
    assert failed["error"] == "photocal: 4 stars found, 10 needed" and failed["steps"]["photocal"] == "failed"
    assert [row["section"] for row in others] == ["N1", "N2"]
    assert others[0]["image"] == str(site.ccd.image.pk) and others[0]["counts"]["zp"] == 27.31
    assert get(f"images/{others[0]['image']}/")["exposure"] == site.name


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kind=science", 3), ("kind=difference", 3), ("kind=warped", 3), ("kind=coadd", 0), ("section=N2", 3),
        ("filter=g", 3), ("kind=science&filter=g", 1), ("instrument=demo", 9), ("start=61368", 3), ("end=61368", 6),
        ("position=35.5 -4.75&kind=science", 2), ("position=120 45", 0), ("exposure=demo_20261124_031500", 3),
    ],
)  # fmt: skip
def test_images_are_found_by_kind_exposure_filter_date_and_position(
    query: str, expected: int, site: Archive, get
) -> None:
    assert len(get(f"images/?{query}")["results"]) == expected


def test_an_image_of_any_tag_is_there_by_its_id(site: Archive, get) -> None:
    coadd = site.ccd.difference.reference.zero_point.image
    row = get(f"images/{coadd.pk}/")
    assert row["kind"] == "coadd" and row["exposure"] is None and len(row["corners"]) == 4
    get(f"images/{uuid4()}/", 404)
    get("images/not-an-id/", 404)
    get(f"images/{'-' * 36}/", 404)


def test_badness_is_told_by_name(site: Archive, get) -> None:
    set_badness(site.ccd.image, Badness.BRIGHT_SKY)
    assert get(f"images/{site.ccd.image.pk}/")["badness"] == ["bright sky"]
    assert get(f"images/{site.ccd.difference.pk}/")["badness"] == ["bright sky"]
    assert get(f"exposures/{site.name}/")["badness"] == []


@pytest.mark.parametrize(
    ("endpoint", "model"),
    [("source-lists", SourceList), ("psfs", PSF), ("world-coordinates", WorldCoordinates), ("zero-points", ZeroPoint)],
)
def test_what_was_measured_is_found_by_its_image(endpoint: str, model: type, site: Archive, get) -> None:
    everything = get(f"{endpoint}/")["results"]
    per_ccd = 2 if endpoint == "source-lists" else 1
    assert len(everything) == 3 * per_ccd
    assert get(f"{endpoint}/?exposure={site.name}&section=N1")["results"][0]["exposure"] == site.name
    for query, expected in (
        (f"exposure={site.name}", 2), ("section=N2", 1), ("filter=g", 1), ("instrument=demo", 3), ("start=61368", 1),
        ("end=61368", 2), ("instrument=other", 0), ("tag=trial", 0),
    ):  # fmt: skip
        assert len(get(f"{endpoint}/?{query}")["results"]) == expected * per_ccd, query
    image = everything[0]["image"]
    assert {row["image"] for row in get(f"{endpoint}/?image={image}")["results"]} == {image}
    row = get(f"{endpoint}/{everything[0]['id']}/")
    assert row == everything[0] and model.objects.filter(pk=row["id"]).exists()
    get(f"{endpoint}/?image=7", 400)


def test_a_zero_point_and_a_solution_have_their_numbers(site: Archive, get) -> None:
    row = get(f"zero-points/{site.ccd.zero_point.pk}/")
    assert row["zp"] == 27.31 and row["limiting_magnitude"] == 22.4 and row["section"] == "N1"
    assert get("zero-points/?min_limit=23")["results"] == []
    assert len(get("zero-points/?catalog=local")["results"]) == 3
    solution = get(f"world-coordinates/{row['world_coordinates']}/")
    assert "CRVAL1" in solution["header"] and solution["n_matches"] == 24


def test_the_rows_of_a_source_list_come_in_pages_with_units(site: Archive, get) -> None:
    row = get("source-lists/?kind=sources&section=N1&filter=r")["results"][0]
    first = get(f"source-lists/{row['id']}/rows/?page_size=20")
    assert first["total"] == row["n_sources"] == 30 and len(first["results"]) == 20 and first["units"]["x"] == "pix"
    second = get(first["next"].split("/api/v1/")[1])
    assert len(second["results"]) == 10 and second["next"] is None
    table = SourceList.objects.get(pk=row["id"]).table
    assert [one["x"] for one in first["results"] + second["results"]] == table["x"].tolist()
    for query, name in (("start_row=-1", "start_row"), ("page_size=0", "page_size"), ("begin=1", "begin")):
        assert list(get(f"source-lists/{row['id']}/rows/?{query}", 400)["error"]["fields"]) == [name]


def test_files_come_with_a_token_and_not_without(site: Archive, client: Client, token: dict[str, str]) -> None:
    image = site.ccd.image
    address = f"/api/v1/images/{image.pk}/file/"
    assert client.get(address).status_code == 401
    plain = drained_bytes(client.get(address, HTTP_ACCEPT="application/fits", **token))
    assert plain == image.path().read_bytes()
    with fits.open(io.BytesIO(drained_bytes(client.get(f"{address}?calibrated=true", **token)))) as hdus:
        assert hdus[0].header["MAGZP"] == 27.31 and hdus["SCI"].shape == SHAPE
    assert client.get(f"{address}?calibrated=perhaps", **token).status_code == 400


def drained_bytes(answer) -> bytes:
    """The whole body of a file that was sent."""
    assert answer.status_code == 200 and answer["Content-Type"] == "application/fits"
    assert "private" in answer["Cache-Control"]
    return b"".join(answer.streaming_content)


def test_every_address_of_a_file_leads_to_it(site: Archive, get, client: Client, token: dict[str, str]) -> None:
    for endpoint in ("images", "source-lists", "psfs"):
        row = get(f"{endpoint}/?section=N1")["results"][0]
        assert drained(client.get(row["file"], **token)).status_code == 200, endpoint
    assert get(f"exposures/{site.name}/")["file"] is None
    get(f"exposures/{site.name}/file/", 404)
    raw = site.ccd.image.filepath
    Exposure.objects.filter(name=site.name).update(filepath=raw, sha256=site.ccd.image.sha256)
    assert drained(client.get(get(f"exposures/{site.name}/")["file"], **token)).status_code == 200


def test_a_file_that_is_gone_is_404_with_the_reason(site: Archive, get) -> None:
    site.ccd.image.path().unlink()
    assert "cannot be sent" in get(f"images/{site.ccd.image.pk}/file/", 404)["error"]["message"]
    sources = SourceList.objects.get(image=site.ccd.image)
    sources.path().unlink()
    assert "cannot be read" in get(f"source-lists/{sources.pk}/rows/", 404)["error"]["message"]


@pytest.mark.parametrize("endpoint", LISTS)
def test_a_list_is_for_those_who_may_read_and_refuses_what_it_does_not_know(
    endpoint: str, site: Archive, get, client: Client
) -> None:
    assert client.get(f"/api/v1/{endpoint}/").status_code == 401
    assert list(get(f"{endpoint}/?sektion=N1", 400)["error"]["fields"]) == ["sektion"]
    assert client.get(f"/api/v1/{endpoint}/", **bearer(User.objects.get(), "claim")).status_code == 403


@pytest.mark.parametrize("endpoint", LISTS)
def test_the_queries_of_a_list_do_not_grow_with_its_rows(
    endpoint: str, site: Archive, get, django_assert_num_queries
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    get(f"{endpoint}/")
    with CaptureQueriesContext(connection) as before:
        get(f"{endpoint}/")
    for number in range(2):
        factories.full_ccd(5 + number, of=factories.exposure(f"more_{number}", mjd=61370.0 + number))
    with django_assert_num_queries(len(before)):
        get(f"{endpoint}/")


@pytest.mark.parametrize("state", ["waiting", "partial", "done"])
def test_exposures_are_found_by_state_in_the_api_as_on_the_page(state: str, site: Archive, get) -> None:
    factories.exposure("untried")
    names = {"waiting": ["untried"], "partial": [site.name], "done": [site.again.exposure.name]}
    assert [row["name"] for row in get(f"exposures/?state={state}")["results"]] == names[state]
    assert list(get("exposures/?state=over", 400)["error"]["fields"]) == ["state"]


def test_no_image_is_lost_between_pages(site: Archive, get) -> None:
    found, address = [], "images/?page_size=4&sort=mjd"
    while address:
        page = get(address)
        found += [row["id"] for row in page["results"]]
        address = page["next"] and page["next"].split("/api/v1/")[1]
    assert len(found) == len(set(found)) == 9
    assert set(found) <= {str(key) for key in Image.objects.values_list("pk", flat=True)}
