"""Operators say on a page that a product is bad: what follows is told before, and who said so, and why, is kept."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from products.models import Alert, Badness, Measurement, MeasurementSet
from tests import factories
from tests.rows.people import client_of, person

pytestmark = pytest.mark.django_db
SHAKING, BANDING = int(Badness.SHAKING), int(Badness.BANDING)


@pytest.fixture
def ccd():
    return factories.full_ccd()


@pytest.fixture
def operator() -> Client:
    return client_of(person("operator"))


def form_of(row, kind: str = "image") -> str:
    return reverse("mark_product", args=[kind, row.pk])


def own(row) -> int:
    row.refresh_from_db()
    return row.badness_own


def test_an_operator_marks_an_image_with_a_reason_and_what_was_made_of_it_follows(ccd, operator):
    answer = operator.post(form_of(ccd.image), {"bits": [SHAKING, BANDING], "reason": "a gust of wind"}, follow=True)
    text = answer.content.decode()
    assert answer.redirect_chain[-1][0] == f"/exposures/{ccd.exposure.name}/N1/"
    assert "Marked as banding, shaking" in text and "a gust of wind" in text
    assert own(ccd.image) == SHAKING | BANDING
    assert MeasurementSet.objects.get(pk=ccd.measurement_set.pk).badness_upstream == SHAKING | BANDING
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id) == ("operator", str(ccd.image.pk))
    assert entry.change_message == "no badness → banding, shaking: a gust of wind"


def test_the_way_back_is_offered_with_what_was_set_before(ccd, operator):
    operator.post(form_of(ccd.image), {"bits": [BANDING], "reason": "stripes"})
    text = operator.post(form_of(ccd.image), {"reason": "no stripes"}, follow=True).content.decode()
    assert own(ccd.image) == 0 and "Its mark is cleared" in text and f"?bits={BANDING}" in text
    page = operator.get(f"{form_of(ccd.image)}?bits={BANDING}").content.decode()
    assert f'value="{BANDING}" id="id_bits_0" checked' in page
    assert "stripes" in page and "no stripes" in page, "the history"
    assert MeasurementSet.objects.get(pk=ccd.measurement_set.pk).badness_upstream == 0
    for asked in ("nonsense", "9" * 30, "0"):
        assert "checked" not in operator.get(f"{form_of(ccd.image)}?bits={asked}").content.decode()


def test_what_will_follow_is_told_before(ccd, operator):
    Alert.objects.update(state="pending")
    page = operator.get(form_of(ccd.image)).content.decode()
    told = dict(re.findall(r"<dt>([a-z ]+)</dt><dd>(\d+)</dd>", page))
    assert (told["measurements"], told["zero points"]) == (str(Measurement.objects.count()), "1"), told
    assert f"withheld as long as it is bad</dt><dd>{Alert.objects.count()}</dd>" in page
    one = operator.get(form_of(ccd.measurements[0], "measurement")).content.decode()
    assert "withheld as long as it is bad</dt><dd>1</dd>" in one
    assert "cosmic ray" in one and "shaking" not in one, "only what such a product can have"


@pytest.mark.parametrize(
    "data", [{"bits": [SHAKING]}, {"bits": [SHAKING], "reason": "  "}, {"bits": [int(Badness.GHOST)], "reason": "x"},
             {"bits": ["moon"], "reason": "x"}, {"bits": [SHAKING], "reason": "x" * 501}]
)  # fmt: skip
def test_without_a_reason_and_with_what_an_image_cannot_have_nothing_is_changed(data, ccd, operator):
    answer = operator.post(form_of(ccd.image), data)
    assert answer.status_code == 400 and 'class="bad' in answer.content.decode()
    assert own(ccd.image) == 0 and not LogEntry.objects.exists()


def test_others_are_refused_and_are_not_shown_the_way(ccd, client):
    pages = (f"/exposures/{ccd.exposure.name}/N1/", f"/exposures/{ccd.exposure.name}/", f"/provenance/product/image/{ccd.image.pk}/", f"/references/{ccd.difference.reference.pk}/")  # fmt: skip
    assert client.get(form_of(ccd.image)).url.startswith("/login/")
    for role in ("viewer", "scanner"):
        other = client_of(person(role))
        assert other.get(form_of(ccd.image)).status_code == 403
        assert other.post(form_of(ccd.image), {"bits": [SHAKING], "reason": "x"}).status_code == 403
        assert not any("as bad…" in other.get(page).content.decode() for page in pages)
    assert own(ccd.image) == 0
    someone = client_of(person("operator"))
    assert all("as bad…" in someone.get(page).content.decode() for page in pages)


def test_what_does_not_exist_is_said(ccd, operator):
    assert operator.get(reverse("mark_product", args=["moon", ccd.image.pk])).status_code == 404
    assert operator.get(reverse("mark_product", args=["exposure", ccd.image.pk])).status_code == 404


def test_hostile_reasons_are_shown_harmlessly(ccd, operator):
    hostile = "<script>alert(1)</script>"
    operator.post(form_of(ccd.exposure, "exposure"), {"bits": [SHAKING], "reason": hostile})
    for address in (form_of(ccd.exposure, "exposure"), f"/exposures/{ccd.exposure.name}/"):
        assert hostile not in operator.get(address).content.decode()
