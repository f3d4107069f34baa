"""What the pages send besides pages: pictures, FITS files, tables."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from django.test import Client
from django.urls import reverse
from PIL import Image as Picture

from products.calibrated_fits import calibrated_copy
from products.models import WorldCoordinates
from tests import factories
from tests.rows.archive import Archive

pytestmark = pytest.mark.django_db


def test_a_light_curve_is_downloaded_with_its_limits(site: Archive, text) -> None:
    rows = list(csv.DictReader(io.StringIO(text(f"/objects/{site.object}/light_curve.csv"))))
    points = [row for row in rows if row["is_limit"] == "0"]
    assert [row["filter"] for row in points] == ["r", "g"] and {row["exposure"] for row in points} >= {site.name}
    assert all(abs(float(row["magnitude"]) - site.ccd.measurements[0].magnitude) < 5 for row in points)


def test_pictures_and_files_are_sent(site: Archive, client: Client) -> None:
    ccd = site.ccd
    for plane in ("new", "reference", "difference"):
        answer = client.get(reverse("stamp", args=[ccd.measurements[0].pk, plane]))
        assert Picture.open(io.BytesIO(answer.content)).size == (21, 21) and "immutable" in answer["Cache-Control"]
    for row, plane in ((ccd.image, "data"), (ccd.image, "weight"), (ccd.difference, "score"), (ccd.image, "mask-bad")):
        answer = client.get(reverse("preview", args=[row.pk, plane]))
        picture = Picture.open(io.BytesIO(b"".join(answer.streaming_content)))
        assert picture.size == (row.width, row.height), plane
    for row in (ccd.image, ccd.difference, ccd.measurement_set.cutouts, ccd.measurement_set.cutouts.sources):
        answer = client.get(reverse("fits", args=[row.pk]))
        assert b"".join(answer.streaming_content)[:9] == b"SIMPLE  =" and "attachment" in answer["Content-Disposition"]


def test_a_stamp_has_the_source_in_its_middle(site: Archive, client: Client) -> None:
    answer = client.get(reverse("stamp", args=[site.ccd.measurements[0].pk, "difference"]))
    picture = Picture.open(io.BytesIO(answer.content))
    brightest = max(((x, y) for x in range(21) for y in range(21)), key=picture.getpixel)
    assert abs(brightest[0] - 10) <= 1 and abs(brightest[1] - 10) <= 1


def test_a_missing_file_is_a_404_and_its_page_still_answers(site: Archive, client: Client, text) -> None:
    site.ccd.image.path().unlink()
    assert client.get(reverse("fits", args=[site.ccd.image.pk])).status_code == 404
    assert client.get(reverse("preview", args=[site.ccd.image.pk, "data"])).status_code == 404
    assert "27.310" in text(f"/exposures/{site.name}/N1/")


def test_the_fits_of_new_has_the_calibration_that_its_file_is_too_old_for(site: Archive, client: Client) -> None:
    zero_point, image = site.ccd.zero_point, site.ccd.image
    solution = factories.tangent_plane(image.ra + 0.01, image.dec)
    WorldCoordinates.objects.filter(pk=zero_point.world_coordinates_id).update(header=factories.cards(solution))
    answer = client.get(f"/files/{image.pk}/?calibrated=1")
    with fits.open(io.BytesIO(b"".join(answer.streaming_content)), checksum=True) as hdus:
        header = hdus[0].header
        assert header["MAGZP"] == zero_point.zp and header["CALID"] == zero_point.provenance_id
        corner = header["MAGZP"] + header["MAGZP01"] * -1 + header["MAGZP10"] * 1
        assert corner == pytest.approx(float(zero_point.at(image.width - 1, 0))) and "MAGZP00" not in header
        for hdu in hdus[1:]:
            assert WCS(hdu.header).wcs.crval == pytest.approx(solution.wcs.crval)
        assert np.array_equal(hdus["SCI"].data, fits.getdata(image.path(), "SCI"))
    raw = client.get(f"/files/{image.pk}/")
    assert b"".join(raw.streaming_content) == image.path().read_bytes()


def test_nothing_of_the_rough_wcs_is_left_in_a_calibrated_copy(site: Archive, tmp_path: Path) -> None:
    rough = tmp_path / "rough.fits"
    with fits.open(site.ccd.image.path(), disable_image_compression=True) as hdus:
        for hdu in hdus[1:]:
            hdu.header.update({"PV1_1": 1.5, "A_ORDER": 2, "A_2_0": 1e-3, "CROTA2": 30.0})
        hdus.writeto(rough)
    with fits.open(calibrated_copy(rough, site.ccd.zero_point)) as hdus:
        for hdu in hdus[1:]:
            assert not {"PV1_1", "A_ORDER", "A_2_0", "CROTA2"} & set(hdu.header)


def test_a_stamp_in_the_stretch_of_a_series_ignores_what_is_no_noise(site: Archive, client: Client) -> None:
    address = f"/stamps/{site.ccd.measurements[0].pk}/difference.png"
    usual = client.get(address).content
    assert client.get(f"{address}?noise=50").content != usual
    for asked in ("0", "-5", "nan", "inf", "1e300", "much", ""):
        answer = client.get(f"{address}?noise={asked}")
        assert answer.status_code == 200 and answer.content == usual, asked
