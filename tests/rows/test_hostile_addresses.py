"""Whatever stands in an address or a cookie, the answer is a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import parse_qsl, urlsplit

import pytest
from django.contrib.auth.models import User
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
    "exposures": (
        "name", "start", "end", "position", "target", "project", "instrument", "filter", "kind", "max_airmass",
        "max_seeing", "min_limit", "state", "sort", "page", "size", "tag",
    ),
    "reports": (
        "exposure", "section", "instrument", "start", "end", "node", "step", "error_type", "text", "state", "attempts",
        "tags", "sort", "page", "size", "tag",
    ),
    "exposure": ("by", "tag"),
    "ccd": ("plane", "stretch", "detection", "tag", "marks", "masks", "at", "zoom", "invert"),
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
    "alerts": (
        "stream", "state", "night", "exposure", "section", "object", "topic", "start", "end", "wanted_by", "sort", "page",
        "size",
    ),
    "light curve": ("tag",),
    "provenances": ("process", "id", "held_by", "is_bad", "is_outdated", "is_testing", "sort", "page", "size"),
    "compare": ("a", "b", "start", "end", "project"),
    "references": (
        "refset", "instrument", "filter", "section", "target", "position", "every_tag", "sort", "page", "size", "tag",
    ),
    "calibrators": (
        "kind", "calibrator_set", "instrument", "section", "filter", "valid_at", "sort", "page", "size",
    ),
    "fakes": (
        "exposure", "section", "filter", "instrument", "start", "end", "x", "sort", "page", "size", "tag", "kind", "by",
        "from_limit",
    ),
    "lost fakes": ("exposure", "section", "start", "end", "page", "size", "tag", "kind", "reason"),
}  # fmt: skip


def short(values: dict[str, str]) -> dict[str, str]:
    """For a message."""
    return {name: value[:40] for name, value in values.items()}


def hostile(names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Values for all parameters at once, until each had each value; a NUL, which is refused for all, by itself."""
    usual = [value for value in HOSTILE if "\0" not in value]
    for shift in range(len(usual)):
        yield {name: usual[(shift + place) % len(usual)] for place, name in enumerate(names)}
    for value in HOSTILE:
        if "\0" in value:
            yield from ({name: value} for name in names)


@pytest.mark.parametrize("page", PARAMETERS)
def test_no_value_of_a_parameter_breaks_a_page(page: str, client: Client) -> None:
    address = archive().addresses()[page].split("?")[0]
    for values in hostile(PARAMETERS[page]):
        answer = client.get(address, {"size": 1, **values})
        assert answer.status_code in {200, 302, 400, 404}, short(values)
        assert b"<script>alert(1)" not in answer.content, short(values)


CONDUCTOR = {
    "conductor": (
        "q", "state", "nights", "start", "end", "instrument", "identifier", "target", "project", "filter", "kind",
        "min_exposure_time", "position", "radius", "cluster", "watch", "error", "sort", "page", "size", "part", "tag",
    ),
    "events": ("known_exposure", "instrument", "identifier", "what", "actor", "since", "until", "page", "size"),
    "move": ("action", "id", "next", "part"), "undo": ("event", "next"), "policy": ("do", "next"),
    "add exposures": ("instrument", "paths", "priority"), "new watch": ("instrument",), "move of a watch": ("do",),
    "worker": ("next",), "queue": ("name", "state", "page"),
}  # fmt: skip


@pytest.mark.parametrize("page", CONDUCTOR)
def test_no_value_of_a_parameter_breaks_a_page_of_the_conductor(page: str, client: Client) -> None:
    address = archive().conductor_addresses()[page]
    client.force_login(User.objects.create_superuser("root"))
    usual = dict(parse_qsl(urlsplit(address).query)) | {"size": 1}
    for values in hostile(CONDUCTOR[page]):
        answer = client.get(urlsplit(address).path, usual | values)
        assert answer.status_code in {200, 302, 400, 404}, short(values)
        assert b"<script>alert(1)" not in answer.content, short(values)


def test_no_field_that_is_sent_breaks_the_conductor(client: Client) -> None:
    pages = archive().conductor_addresses()
    client.force_login(User.objects.create_superuser("root"))
    for page, usual, names in (
        ("move", {"action": "hold"}, ("action", "id", "reason", "next", "step")),
        ("move", {"action": "priority", "reason": "x"}, ("priority",)),
        ("move", {"action": "not_before", "reason": "x"}, ("not_before",)),
        ("move", {"action": "through_step", "reason": "x"}, ("through_step",)),
        ("move", {"action": "release", "reason": "x"}, ("counts",)),
        ("undo", {}, ("event", "reason")), ("policy", {"do": "through_step"}, ("do", "reason", "through_step")),
        ("worker", {}, ("reason",)), ("add exposures", {"instrument": "demo"}, ("paths", "priority", "through_step", "file")),
        ("new watch", {"name": "w"}, ("name", "interval", "priority", "reason", "argument-folder", "argument-settle")),
    ):  # fmt: skip
        asked = dict(parse_qsl(urlsplit(pages[page]).query)) | usual
        for name in names:
            for value in HOSTILE:
                answer = client.post(pages[page], {**asked, "step": "do", name: value})
                assert answer.status_code in {200, 302, 400, 404}, (page, name, value[:40])
                assert b"<script>alert(1)" not in answer.content, (page, name, value[:40])


def test_no_name_in_an_address_breaks_a_page(client: Client) -> None:
    archive()
    client.force_login(User.objects.create_superuser("root"))
    for folder in (
        "conductor",
        "conductor/watches",
        "conductor/workers",
        "exposures",
        "objects",
        "provenance",
        "provenance/tags",
        "provenance/product/image",
        "references",
        "calibrators",
        "fakes",
        "pipeline/steps",
        "docs",
        "images",
        "files",
        "alerts",
        "alerts/schema",
        "measurements",
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
