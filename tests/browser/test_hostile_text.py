"""Whatever a header, an account or a file's name says is shown as text and does nothing, in a real Chromium."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db.models import CharField, Model, TextField

from conductor.models import KnownExposure
from conductor.services.moving import move
from products.models import Alert, Exposure, Label, Object, Report
from tests.browser.conftest import Page
from tests.rows.archive import Archive

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

TEXT = '"><img src=x onerror=document.title="taken"><script>document.title="taken"</script>{{7*7}}$\\frac{'
KEPT = ("sha256", "filepath", "section", "instrument", "cluster", "stream")


NAME = '"><img src=x onerror=document.title=1>'  # without a slash, which no file's name has


def poison(model: type[Model], **values: object) -> None:
    """Write the hostile text into the free texts of every row, and into its name something that stays its own."""
    texts = [
        field
        for field in model._meta.concrete_fields
        if type(field) in (CharField, TextField) and not field.choices and field.name not in (*KEPT, *values)
    ]
    for row in model.objects.all():
        own = {name: f"{str(row.pk)[-6:]}{NAME}" for name in ("name", "identifier") if hasattr(row, name)}
        rest = {field.name: TEXT[: field.max_length] for field in texts if field.name not in own}
        model.objects.filter(pk=row.pk).update(**rest, **own, **values)


@pytest.fixture
def poisoned(page: Page, site: Archive) -> Archive:
    """An archive in which every free text is hostile; the person who looks at it may see everything."""
    page.log_in("ada")
    User.objects.filter(username="ada").update(is_superuser=True, is_staff=True, first_name=TEXT[:100])
    Label.objects.create(measurement=site.ccd.measurements[0], person=User.objects.get(), verdict="real", remark=TEXT)
    move("hold", [KnownExposure.objects.filter(state="ready").first().pk], actor=TEXT[:90], reason=TEXT)
    poison(Exposure, header={TEXT: TEXT, "OBJECT": TEXT}, filters={"N1": TEXT[:20], "N2": TEXT[:20]})
    steps = [{"name": TEXT, "seconds": 1.0, "warnings": [TEXT], "counts": {TEXT: 1}}]
    poison(Report, error_details={TEXT: TEXT}, steps=steps, tag="current")
    for model in (Object, Alert, KnownExposure):
        poison(model)
    return site


def test_hostile_text_in_every_field_is_shown_and_does_nothing(page: Page, poisoned: Archive) -> None:
    from urllib.parse import quote

    exposure = quote(Exposure.objects.get(pk=poisoned.ccd.exposure.pk).name, safe="")
    thing = quote(Object.objects.get(pk=poisoned.ccd.measurements[0].object_id).name, safe="")
    known = KnownExposure.objects.first().pk
    shown = 0
    for address in (
        "/?night=2026-11-22", "/exposures/", f"/exposures/{exposure}/", f"/exposures/{exposure}/N1/",
        f"/exposures/{exposure}/N1/report/", "/reports/", "/candidates/?show=all", "/objects/", f"/objects/{thing}/",
        f"/trace/?position={poisoned.ccd.measurements[0].ra}+{poisoned.ccd.measurements[0].dec}", "/alerts/",
        f"/alerts/{Alert.objects.first().pk}/", "/conductor/", f"/conductor/{known}/", "/conductor/events/",
        "/references/", "/calibrators/", "/fakes/", "/people/", f"/find/?q={quote(TEXT)}", "/admin/products/exposure/",
        "/admin/products/report/",
    ):  # fmt: skip
        page.open(address)
        page.until(lambda: page.script("document.readyState") == "complete")
        assert page.driver.title not in ("", "taken"), address
        assert "Server Error" not in page.driver.title and "cannot be read" not in page.driver.title, address
        assert page.all("img[src='x'], script:not([src]):not([type])") == [], address
        assert [line for line in page.complaints() if "Refused" in line or "SyntaxError" in line] == [], address
        assert "49$" not in page.one("body").text, address
        shown += "onerror" in page.one("body").text
    assert shown > 12  # it is there to be read
