"""Whatever stands in an address or a cookie, the answer is a page."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.rows.archive import archive

pytestmark = pytest.mark.django_db

HOSTILE = (
    "nan", "inf", "-inf", "1e400", "-1", "0", "9" * 30, "9" * 5000, "1e308", "%s", "not-a-uuid", "\0", "a\0b", "٣", "²",
    "2026-13-45", "0001-01-01", "9999-12-31", "9999-12-31T23:59:59-23:59", "nan nan", "inf 0", "0 91", "1e400 1e400",
    "99:99:99 +99:99:99", "'; drop table products_image; --", '"><script>alert(1)</script>', "x" * 3000, "{}", "[]", " ",
    "../../etc/passwd", "\ud800".encode("utf-8", "replace").decode(), "😀",
)  # fmt: skip
PARAMETERS = {
    "home": ("night", "tag"),
    "find": ("q", "tag"),
    "exposures": ("name", "start", "end", "position", "target", "filter", "kind", "sort", "page", "size", "tag"),
    "exposure": ("by", "tag"),
    "ccd": ("plane", "stretch", "detection", "tag"),
    "report": ("attempt",),
    "candidates": (
        "show", "failed", "filter", "exposure", "section", "night", "start", "end", "min_score", "max_score", "min_snr",
        "max_snr", "min_magnitude", "max_magnitude", "position", "ra", "dec", "radius", "object", "negative", "label",
        "by", "alert", "sort", "page", "size",
    ),
    "labels": ("show", "failed", "position", "min_score", "by", "label"),
    "trace": ("position", "radius", "night", "start", "end", "image", "tag"),
    "objects": ("name", "position", "ra", "dec", "radius", "min_count", "start", "end", "show", "bad", "sort", "page", "size"),
    "object": ("point", "y", "off", "from"),
    "light curve": ("tag",),
    "provenances": ("process", "page", "size"),
    "compare": ("a", "b"),
}  # fmt: skip


@pytest.mark.parametrize("page", PARAMETERS)
def test_no_value_of_a_parameter_breaks_a_page(page: str, client: Client) -> None:
    address = archive().addresses()[page].split("?")[0]
    for name in PARAMETERS[page]:
        for value in HOSTILE:
            answer = client.get(address, {"size": 1, name: value})
            assert answer.status_code in {200, 302, 400, 404}, (name, value[:40])
            assert b"<script>alert(1)" not in answer.content, (name, value[:40])


def test_no_name_in_an_address_breaks_a_page(client: Client) -> None:
    archive()
    for folder in (
        "exposures",
        "objects",
        "provenance",
        "provenance/tags",
        "pipeline/steps",
        "docs",
        "images",
        "files",
    ):
        for value in (
            "%00",
            "a%00b",
            "..%2f..%2fetc%2fpasswd",
            "%ff%fe",
            "x" * 3000,
            "%22%3E%3Cscript%3E",
            "%F0%9F%98%80",
        ):
            assert client.get(f"/{folder}/{value}/").status_code in {200, 302, 400, 404}, (folder, value[:20])


def test_a_damaged_cookie_breaks_nothing(client: Client) -> None:
    archive()
    for name in ("tag", "theme", "sessionid", "csrftoken"):
        for value in ('"\\000"', "x" * 3000, "<script>", "%00"):
            client.cookies.clear()
            client.cookies[name] = value
            assert client.get("/").status_code == 200
