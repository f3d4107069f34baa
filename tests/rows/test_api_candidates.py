"""Measurements, scores, labels, objects and cones in the REST API."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from django.contrib.auth.models import Permission, User
from django.test import Client
from PIL import Image as Picture

from products.models import DeepScore, Label, Measurement, Object
from seechange_site.models import ApiToken
from tests.rows.archive import Archive
from tests.rows.test_api import bearer, error

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture
def ada(client: Client) -> User:
    """Somebody who may read, logged in."""
    person = User.objects.create_user("ada")
    client.force_login(person)
    return person


def scanner(name: str = "kso") -> User:
    """Somebody who may label."""
    person = User.objects.create_user(name)
    person.user_permissions.add(Permission.objects.get(codename="add_label"))
    return person


@pytest.fixture
def get(client: Client, ada: User):
    """The JSON of an endpoint that must answer 200."""

    def found(address: str, **query: object) -> dict:
        answer = client.get(f"{API}{address}", query)
        assert answer.status_code == 200, (address, query, answer.content[:300])
        return answer.json()

    return found


def test_a_measurement_says_all_that_the_row_says(site: Archive, get) -> None:
    row = site.ccd.measurements[4]
    found = get(f"/measurements/{row.pk}/")
    for name in ("ra", "dec", "x", "y", "flux", "flux_error", "snr", "magnitude", "magnitude_error", "mjd"):
        assert found[name] == pytest.approx(getattr(row, name), rel=1e-12), name
    assert found["zero_point"] - 2.5 * np.log10(abs(row.flux)) == pytest.approx(row.magnitude, abs=1e-6)
    assert (found["object"], found["exposure"], found["section"]) == (row.object.name, site.name, "N1")
    assert found["score"] == row.scores.get().score == 0.12 and found["threshold"] == 0.5
    assert found["failed_cuts"] == ["negative_flux"] and found["is_bad"]
    cut = next(cut for cut in found["cuts"] if cut["name"] == "negative_flux")
    assert cut == {"name": "negative_flux", "value": 0.46, "threshold": 0.4, "passed": False}
    assert found["provenance"] == site.ccd.measurement_set.provenance_id and found["diagnostics"]["narrow"] == 0.97


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ({}, 18), ({"show": "kept"}, 12), ({"show": "cut"}, 6), ({"failed": "elongation"}, 3), ({"failed": "elong"}, 0),
        ({"filter": "g"}, 6), ({"section": "N2"}, 6), ({"night": "2026-11-22"}, 12), ({"night": "2026-11-21"}, 0),
        ({"min_score": 0.9}, 6), ({"max_score": 0.2}, 6), ({"min_score": 0.8, "max_score": 0.95}, 6),
        ({"min_snr": 1e9}, 0), ({"negative": "yes"}, 3), ({"negative": "no"}, 15), ({"alert": "yes"}, 3),
        ({"label": "none"}, 18), ({"label": "real"}, 0), ({"start": 61368}, 6), ({"end": "2026-11-23"}, 12),
    ],
)  # fmt: skip
def test_measurements_are_filtered(site: Archive, get, query: dict, number: int) -> None:
    Measurement.objects.update(flux=100.0)
    Measurement.objects.filter(index_in_sources=2).update(flux=-100.0)
    assert len(get("/measurements/", **query)["results"]) == number


def test_a_cone_is_exact_at_its_edge_and_takes_any_notation(site: Archive, get) -> None:
    row = site.ccd.measurements[1]
    near = {"radius": 3.0}
    one = get("/measurements/", position=f"{row.ra} {row.dec}", **near)["results"]
    two = get("/measurements/", ra=row.ra, dec=row.dec, **near)["results"]
    three = get("/measurements/", position=row.object.name, **near)["results"]
    assert {r["object"] for r in one} == {row.object.name} and [r["id"] for r in one] == [r["id"] for r in two]
    assert {r["id"] for r in three} == {r["id"] for r in one}
    north = row.dec + 2.0 / 3600
    assert get("/measurements/", ra=row.ra, dec=north, radius=1.99)["results"] == []
    assert len(get("/measurements/", ra=row.ra, dec=north, radius=2.01)["results"]) == len(one)


def test_pages_of_measurements_repeat_and_miss_nothing(site: Archive, client: Client, ada: User) -> None:
    for sort in ("mjd", "-snr", "ra", "-dec"):
        found, address = [], f"{API}/measurements/?page_size=5&sort={sort}"
        while address:
            page = client.get(address).json()
            found += [(row[sort.lstrip("-")], row["id"]) for row in page["results"]]
            address = page["next"]
        assert len(set(found)) == len(found) == 18, sort
        values = [value for value, _ in found]
        assert values == sorted(values, reverse=sort.startswith("-")), sort


def test_another_tag_shows_other_measurements(site: Archive, get, client: Client) -> None:
    assert get("/measurements/", tag="trial")["results"] == []
    assert list(error(client.get(f"{API}/measurements/?tag=nobody"))["fields"]) == ["tag"]


@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("/measurements/?min_score=2", "min_score"), ("/measurements/?show=good", "show"),
        ("/measurements/?position=here", "position"), ("/measurements/?ra=10", "dec"),
        ("/measurements/?ra=10&dec=100", "dec"), ("/measurements/?radius=1e9", "radius"),
        ("/measurements/?min_snr=nan", "min_snr"), ("/measurements/?label=maybe", "label"),
        ("/measurements/?sort=score", "sort"), ("/objects/?min_count=x", "min_count"), ("/scores/?measurement=1", "measurement"),
        ("/labels/?verdict=x", "verdict"), ("/cone-search/", "position"), ("/cone-search/?ra=1", "dec"),
        ("/cone-search/?position=1+1&radius=0", "radius"), ("/objects/?nane=x", "nane"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(site: Archive, client: Client, ada: User, address: str, field: str) -> None:
    answer = client.get(f"{API}{address}")
    assert answer.status_code == 400 and field in error(answer)["fields"], answer.content[:300]


def test_stamps_come_as_pictures_and_as_fits_with_their_place_on_the_sky(
    site: Archive, client: Client, ada: User
) -> None:
    row = site.ccd.measurements[0]
    for plane in ("new", "ref", "diff"):
        answer = client.get(f"{API}/measurements/{row.pk}/stamps/{plane}.png")
        assert Picture.open(io.BytesIO(answer.content)).size == (21, 21), plane
    answer = client.get(f"{API}/measurements/{row.pk}/stamps/diff.fits")
    with fits.open(io.BytesIO(answer.content)) as file:
        header, data = file[0].header, file[0].data
    x, y = WCS(header).all_world2pix(row.ra, row.dec, 0)
    assert np.hypot(x - 10, y - 10) < 1, "it is in the middle"
    stored = site.ccd.measurement_set.cutouts.difference[0]
    assert np.allclose(data[np.isfinite(data)], stored[np.isfinite(data)]) and header["BUNIT"] == "electron"
    for wrong in ("sum.png", "diff.gif"):
        assert client.get(f"{API}/measurements/{row.pk}/stamps/{wrong}").status_code == 404


def test_stamps_of_a_series_share_one_stretch(site: Archive, client: Client) -> None:
    row = site.ccd.measurements[0]

    def sky(query: str) -> float:
        content = client.get(f"/stamps/{row.pk}/new.png{query}").content
        return float(np.median(np.asarray(Picture.open(io.BytesIO(content)))))

    zero_point, noise = site.ccd.zero_point.at(row.x, row.y), site.ccd.difference.background_noise
    assert sky(f"?noise={noise * 10 ** (0.4 * (23.9 - zero_point))}") == sky("")
    assert sky("?noise=1e5") != sky("") and sky("?noise=nan") == sky("?noise=x") == sky("")


def test_scores_are_those_of_the_tag(site: Archive, get) -> None:
    found = get("/scores/", min_score=0.9)["results"]
    assert [row["score"] for row in found] == sorted((row["score"] for row in found), reverse=True)
    assert len(found) == 6 and {row["algorithm"] for row in found} == {"trees"}
    assert {row["scorer"] for row in found} == set(DeepScore.objects.values_list("score_set__provenance", flat=True))
    row = site.ccd.measurements[3]
    (own,) = get("/scores/", measurement=str(row.pk))["results"]
    assert own["score"] == row.scores.get().score and own["threshold"] == 0.5


# Labels --------------------------------------------------------------------------------------------------


def test_labels_are_given_and_taken_back_with_a_token(site: Archive, client: Client) -> None:
    person = scanner()
    token = bearer(person, "ingest", "read")
    keys = [str(row.pk) for row in site.ccd.measurements[:3]]
    body = {"measurements": keys, "verdict": "real", "remark": "rises"}
    answer = client.post(f"{API}/labels/", body, content_type="application/json", **token)
    assert answer.status_code == 201 and answer.json() == {"labelled": 3}
    again = {"measurements": keys[:1], "verdict": "bogus"}
    client.post(f"{API}/labels/", again, content_type="application/json", **token)
    found = client.get(f"{API}/labels/", **token).json()["results"]
    assert sorted(row["verdict"] for row in found) == ["bogus", "real", "real"]
    assert found[0]["verdict"] == "bogus" and found[0]["changed_at"] > found[0]["created_at"]
    assert {row["provenance"] for row in found} == {site.ccd.measurement_set.provenance_id}
    assert {row["person"] for row in found} == {"kso"}
    assert client.delete(f"{API}/labels/{found[0]['id']}/", **token).status_code == 204
    assert Label.objects.count() == 2


def test_who_may_not_label_does_not(site: Archive, client: Client, ada: User) -> None:
    row = site.ccd.measurements[0]
    body = {"measurements": [str(row.pk)], "verdict": "real"}

    def post(**header: str) -> int:
        return client.post(f"{API}/labels/", body, content_type="application/json", **header).status_code

    assert post() == 403, "a person without the permission"
    assert post(**bearer(ada, "ingest")) == 403, "a token does not give what its owner lacks"
    client.logout()
    assert post() == 401
    person = scanner()
    assert post(**bearer(person, "read")) == 403, "a scope that is too narrow"
    assert post(**bearer(person, "ingest")) == 201
    other = scanner("mhopper")
    key = Label.objects.get().pk
    assert client.delete(f"{API}/labels/{key}/", **bearer(other, "ingest")).status_code == 403
    assert Label.objects.filter(pk=key).exists() and ApiToken.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "measurements"), ({"measurements": [], "verdict": "real"}, "measurements"),
        ({"measurements": ["x"], "verdict": "real"}, "measurements.0"),
        ({"measurements": ["00000000-0000-0000-0000-000000000000"], "verdict": "real"}, "measurements"),
        ({"measurements": ["00000000-0000-0000-0000-000000000000"], "verdict": "maybe"}, "verdict"),
    ],
)  # fmt: skip
def test_a_wrong_label_is_refused_by_name(client: Client, body: dict, field: str) -> None:
    client.force_login(scanner())
    answer = client.post(f"{API}/labels/", body, content_type="application/json")
    assert answer.status_code == 400 and field in error(answer)["fields"], answer.content


# Objects -------------------------------------------------------------------------------------------------


def test_objects_are_found_by_name_cone_and_number(site: Archive, get) -> None:
    row = Object.objects.get(name=site.object)
    assert [found["name"] for found in get("/objects/", name=row.name)["results"]] == [row.name]
    assert row.name in [found["name"] for found in get("/objects/", ra=row.ra, dec=row.dec, radius=1)["results"]]
    assert len(get("/objects/")["results"]) == 12 and get("/objects/", min_count=2)["results"] == []
    assert get(f"/objects/{row.name}/")["ra"] == row.ra


def test_a_light_curve_has_points_limits_units_and_no_nan(site: Archive, get) -> None:
    found = get(f"/objects/{site.object}/light-curve/")
    points = [row for row in found["rows"] if not row["is_limit"]]
    rows = [site.ccd.measurements[0], site.again.measurements[0]]
    assert [row["measurement"] for row in points] == [str(row.pk) for row in rows]
    scale = 10 ** (0.4 * (23.9 - site.ccd.zero_point.at(rows[0].x, rows[0].y)))
    assert points[0]["flux_ujy"] == pytest.approx(rows[0].flux * scale) and found["units"]["flux_ujy"] == "uJy"
    assert found["units"]["mjd"] == "d" and "5σ" in found["descriptions"]["magnitude"]


def test_the_measurements_of_an_object_are_paged_and_filtered(site: Archive, get, client: Client) -> None:
    found = get(f"/objects/{site.object}/measurements/")
    assert {row["object"] for row in found["results"]} == {site.object} and len(found["results"]) == 2
    assert len(get(f"/objects/{site.object}/measurements/", filter="g")["results"]) == 1
    page = get(f"/objects/{site.object}/measurements/", page_size=1)
    assert len(page["results"]) == 1 and page["next"]
    assert client.get(f"{API}/objects/nothing/measurements/").status_code == 404
    assert client.get(f"{API}/objects/nothing/light-curve/").status_code == 404


def test_a_cone_search_gives_objects_measurements_and_images(site: Archive, get, monkeypatch) -> None:
    row = site.ccd.measurements[0]
    found = get("/cone-search/", ra=row.ra, dec=row.dec, radius=1.5)
    assert found["objects"][0]["name"] == row.object.name and found["objects"][0]["separation_arcsec"] < 0.01
    assert str(row.pk) in {one["id"] for one in found["measurements"]} and not found["truncated"]
    assert {(one["kind"], one["exposure"]) for one in found["images"]} >= {
        ("science", site.name),
        ("difference", site.name),
    }
    monkeypatch.setattr("products.api.objects.MOST_IN_CONE", 1)
    short = get("/cone-search/", ra=row.ra, dec=row.dec, radius=600)
    assert short["truncated"] and [len(short[kind]) for kind in ("objects", "measurements", "images")] == [1, 1, 1]
    assert short["objects"][0]["name"] == row.object.name
    nothing = get("/cone-search/", position="120 45")
    assert nothing["objects"] == nothing["measurements"] == nothing["images"] == []
