"""What the viewer of an image loads while one looks: values, tiles, marks."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io import fits as astropy_fits
from astropy.wcs import WCS
from django.contrib.auth.models import User
from django.test import Client
from PIL import Image as Picture

from products import pixels, rendering
from products.models import CatalogExcerpt, Image, MeasurementSet
from products.pixel_flags import PixelFlag
from products.views.images import sky_grid
from tests import factories
from tests.rows.archive import Archive
from tests.skies_tiny import SHAPE

pytestmark = pytest.mark.django_db


def values(client: Client, image, x: int, y: int, plane: str = "data", status: int = 200) -> dict:
    """The block of a pixel."""
    answer = client.get(f"/images/{image.pk}/pixels/", {"x": x, "y": y, "plane": plane})
    assert answer.status_code == status, answer.content[:200]
    return answer.json()


def marks(client: Client, image, kind: str, **query: str) -> list[list]:
    """The marks of a kind."""
    answer = client.get(f"/images/{image.pk}/marks/{kind}/", query)
    assert answer.status_code == 200
    return answer.json()["marks"]


def test_the_limit_of_a_place_is_told_and_nothing_where_it_is_masked(site: Archive, client: Client) -> None:
    difference = site.ccd.difference
    difference.free()
    found = values(client, difference, 30, 12, "limit")
    assert found["unit"] == "AB mag"
    assert found["values"][12 - found["y"]][30 - found["x"]] == pytest.approx(
        float(difference.limit_at(30, 12)), abs=1e-3
    )
    column = [line[50 - found["x"]] for line in found["values"]]
    assert None in column  # the bad column
    assert client.get(f"/images/{difference.pk}/limit.png").status_code == 200
    assert client.get(f"/images/{site.ccd.image.pk}/limit.png").status_code == 404


@pytest.mark.parametrize(("x", "y"), [(0, 0), (70, 20), (SHAPE[1] - 1, SHAPE[0] - 1)])
def test_the_value_under_the_pointer_is_that_of_the_file(x: int, y: int, site: Archive, client: Client) -> None:
    image = site.ccd.image
    image.free()
    found = values(client, image, x, y)
    line, column = y - found["y"], x - found["x"]
    assert found["unit"] == "electrons" and 0 <= line < pixels.BLOCK and 0 <= column < pixels.BLOCK
    assert found["values"][line][column] == pytest.approx(float(image.data[y, x]), rel=1e-4)
    assert found["weights"][line][column] == pytest.approx(float(image.weight[y, x]), rel=1e-4)
    assert found["flags"][line][column] == image.flags[y, x]


def test_flags_are_told_by_name_and_the_score_has_its_own_values(site: Archive, client: Client) -> None:
    found = values(client, site.ccd.image, 50, 10)  # the bad column
    bits = found["flags"][10 - found["y"]][50 - found["x"]]
    assert bits & PixelFlag.BAD and "bad" in found["names"][str(bits)]
    assert found["weights"][10 - found["y"]][50 - found["x"]] == 0
    difference = site.ccd.difference
    difference.free()
    score = values(client, difference, 5, 6, "score")
    assert score["unit"] == "S/N" and score["values"][6][5] == pytest.approx(float(difference.score[6, 5]), rel=1e-3)


def test_beyond_the_image_and_without_numbers_there_is_no_value(site: Archive, client: Client) -> None:
    image = site.ccd.image
    assert "128 × 96" in values(client, image, 128, 0, status=404)["error"]
    for x in ("-1", "1.5", "nan", "x", "", "9" * 400, "٣"):
        answer = client.get(f"/images/{image.pk}/pixels/", {"x": x, "y": 0})
        assert answer.status_code == 400, x
    for plane in ("score", "psf_stamps", "objects", "pk", "x" * 300):
        assert client.get(f"/images/{image.pk}/pixels/", {"x": 0, "y": 0, "plane": plane}).status_code == 404, plane
    image.path().unlink()
    assert values(client, image, 0, 0, status=404)["error"]


def test_the_tiles_put_together_are_the_preview(site: Archive, client: Client, monkeypatch) -> None:
    monkeypatch.setattr(pixels, "TILE", 64)
    image = site.ccd.image
    image.free()  # what is stored is a little coarser than what was made
    whole = np.zeros(SHAPE, np.uint8)
    for column in range(2):
        for row in range(2):
            answer = client.get(f"/images/{image.pk}/data/{column}/{row}.png?stretch=asinh")
            assert answer.status_code == 200 and "private" in answer["Cache-Control"]
            tile = np.flipud(np.asarray(Picture.open(io.BytesIO(answer.content))))
            whole[row * 64 : row * 64 + tile.shape[0], column * 64 : column * 64 + tile.shape[1]] = tile
    preview = np.asarray(Picture.open(rendering.preview(image, "data")))
    assert np.array_equal(np.flipud(whole), preview)
    for address in (
        "data/2/0.png",
        "data/0/2.png",
        "data/99999999999/0.png",
        "weight/0/0.png",
        "data/0/0.png?stretch=x",
    ):
        assert client.get(f"/images/{image.pk}/{address}").status_code == 404, address


def test_what_lies_beyond_the_reference_is_hatched_in_the_preview_and_in_its_tiles(
    site: Archive, client: Client, monkeypatch
) -> None:
    monkeypatch.setattr(pixels, "TILE", 64)
    image = Image.objects.get(pk=site.ccd.difference.pk).as_kind()
    assert image.data is not None and image.weight is not None and image.score is not None, "they are written again"
    beyond = np.zeros(SHAPE, bool)
    beyond[:, 50:] = True
    image.flags = np.where(beyond, int(PixelFlag.OUT_OF_BOUNDS), 0).astype(np.uint16)
    image.write_file()
    image.save()
    image.free()  # what is stored is a little coarser than what was made
    for plane in ("data", "score"):
        preview = np.flipud(np.asarray(Picture.open(rendering.preview(image, plane))))
        assert set(np.unique(preview[beyond])) == {48, 96} and len(np.unique(preview[~beyond])) > 20
        tile = client.get(f"/images/{image.pk}/{plane}/0/0.png")
        assert np.array_equal(np.flipud(np.asarray(Picture.open(io.BytesIO(tile.content)))), preview[:64, :64])
        right = client.get(f"/images/{image.pk}/{plane}/1/0.png")
        shown = np.flipud(np.asarray(Picture.open(io.BytesIO(right.content))))
        assert np.array_equal(shown, preview[:64, 64:128])


def test_north_and_east_point_where_they_do_on_the_sky(site: Archive) -> None:
    image, header = site.ccd.image, site.ccd.zero_point.world_coordinates.header
    wcs = WCS(astropy_fits.Header.fromstring(header, sep="\n")).celestial
    x, y = 60.0, 40.0
    ra, dec = (float(value) for value in wcs.all_pix2world(x, y, 0))
    found = sky_grid(image, header)
    for name, there in (("north", (ra, dec + 0.001)), ("east", (ra + 0.001, dec))):
        to_x, to_y = wcs.all_world2pix(*there, 0)
        clockwise = np.degrees(np.arctan2(to_x - x, to_y - y))
        assert abs((found[name] - clockwise + 180) % 360 - 180) < 1, name


def test_stars_and_fakes_are_marked_where_they_are(site: Archive, client: Client) -> None:
    image, table = site.ccd.image, site.ccd.zero_point.world_coordinates.sources.table
    stars = marks(client, image, "stars")
    assert sorted(mark[0] for mark in stars) == sorted(round(x, 2) for x in table["x"].tolist())
    assert "star of the PSF, S/N" in stars[0][2]
    analysis = site.ccd.measurement_set.score_sets.get().fake_analyses.get()
    fakes = marks(client, image, "fakes")
    assert len(fakes) == analysis.fake_set.n_fakes
    assert sum(mark[3] == "" for mark in fakes) == sum(mark[2].endswith(": kept") for mark in fakes) == analysis.n_kept
    missed = len(fakes) - analysis.n_detected
    assert sum(mark[2].endswith(": missed") for mark in fakes) == missed


def test_stars_of_the_catalogue_say_whether_a_source_is_there(site: Archive, client: Client) -> None:
    image, solution = site.ccd.image, site.ccd.zero_point.world_coordinates
    assert marks(client, image, "catalog") == []
    x, y = solution.sources.table["x"][:3], solution.sources.table["y"][:3]
    ra, dec = solution.wcs.all_pix2world([*x, 2.0, 900.0], [*y, 90.0, 50.0], 0)
    table = np.zeros(5, [("ra", "f8"), ("dec", "f8"), ("mag_r", "f4"), ("is_star", "?")])
    table["ra"], table["dec"], table["mag_r"] = ra, dec, [15, 16, np.nan, 18, 14]
    excerpt = CatalogExcerpt(
        origin=solution.catalog, epoch=2016.0, n_stars=5, contents_sha256="0" * 64, table=table,
        provenance=factories.provenance("catalog import", tag="", catalog="local"),
    )  # fmt: skip
    excerpt.set_footprint(np.array(image.corners)).write_file()
    excerpt.save(force_insert=True)
    found = marks(client, image, "catalog")
    assert len(found) == 4, "the fifth lies beyond the CCD"
    assert [mark[3] for mark in found] == ["", "", "dashed", ""], "sorted by brightness, unknown last"
    assert found[2][2] == "local 18.00 mag, no source there" and found[0][:2] == [round(x[0], 2), round(y[0], 2)]


def test_detections_of_which_nothing_was_saved_are_marked(site: Archive, client: Client) -> None:
    assert marks(client, site.ccd.image, "unsaved") == []
    assert "detected, not saved" not in client.get(f"/exposures/{site.name}/N1/").content.decode()
    gone = site.ccd.measurements[5]
    gone.scores.all().delete()
    gone.delete()
    MeasurementSet.objects.filter(pk=site.ccd.measurement_set.pk).update(n_saved=5)
    (mark,) = marks(client, site.ccd.image, "unsaved")
    assert mark[:2] == [round(gone.x, 2), round(gone.y, 2)] and "not saved" in mark[2]
    assert "detected, not saved" in client.get(f"/exposures/{site.name}/N1/").content.decode()


def test_unknown_marks_and_damaged_tables_are_errors_of_the_marks_alone(site: Archive, client: Client) -> None:
    image = site.ccd.image
    assert client.get(f"/images/{image.pk}/marks/planets/").status_code == 404
    site.ccd.zero_point.world_coordinates.sources.path().unlink()
    assert "error" in client.get(f"/images/{image.pk}/marks/stars/").json()
    assert client.get(f"/exposures/{site.name}/N1/").status_code == 200


def test_the_view_of_an_address_is_the_view_of_the_page(site: Archive, client: Client) -> None:
    page = client.get(
        f"/exposures/{site.name}/N1/?marks=stars,kept&masks=bad&stretch=log&plane=difference"
    ).content.decode()
    for name, on in (
        ("kept", True),
        ("cut", False),
        ("stars", True),
        ("fakes", False),
        ("bad", True),
        ("saturated", False),
    ):
        box = page.split(f'<input type="checkbox" name="{name}"')[1].split(">")[0]
        assert ("checked" in box) is on, name
    assert '<input type="hidden" name="marks" value="stars,kept">' in page
    assert page.split('data-picture="difference"')[1].lstrip().startswith("src=")


def test_what_is_seen_of_an_image_is_not_for_strangers(site: Archive, client: Client, settings) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    key = site.ccd.image.pk
    addresses = (
        f"/files/{key}/", f"/images/{key}/pixels/?x=0&y=0", f"/images/{key}/data/0/0.png", f"/images/{key}/data.png",
        f"/images/{key}/marks/stars/", f"/stamps/{site.ccd.measurements[0].pk}/new.png", "/reports/",
    )  # fmt: skip
    for address in addresses:
        assert client.get(address).status_code == 302, address
    client.force_login(User.objects.create_user("ada"))
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200 and "public" not in answer.get("Cache-Control", ""), address
        if answer.streaming:
            list(answer.streaming_content)
