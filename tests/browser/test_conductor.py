"""The conductor's page in a real Chromium: choosing, asking, taking back, refreshing, and without script."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from conductor.models import ClaimEvent, KnownExposure
from conductor.services.claiming import start
from tests.browser.conftest import Page
from tests.rows.waiting import claimed, known

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def operator(page: Page) -> Page:
    """Somebody who may do everything, logged in."""
    page.log_in("ada")
    User.objects.filter(username="ada").update(is_superuser=True)
    return page


def states() -> list[str]:
    return list(KnownExposure.objects.order_by("mjd").values_list("state", flat=True))


def chosen(page: Page) -> list[str]:
    """The rows that are chosen, by key."""
    return page.script("[...document.querySelectorAll('#rows td :checked')].map(box => box.value)")


def test_rows_are_chosen_by_key_held_with_a_reason_and_taken_back(operator: Page) -> None:
    known(3)
    operator.open("/conductor/")
    assert not operator.one(".bulk").is_displayed()
    operator.press("xjjx")
    operator.until(lambda: len(chosen(operator)) == 2)
    assert operator.one("[data-chosen]").text == "2 chosen" and operator.one(".bulk").is_displayed()
    operator.one(".bulk button[value=hold]").click()
    reason = operator.one("dialog[open] input[name=reason]")
    operator.until(lambda: operator.driver.switch_to.active_element == reason, "one may type at once")
    assert states() == ["ready", "ready", "ready"]
    reason.send_keys("clouds, <b>thick</b>\n")
    operator.until(lambda: "Held: " in operator.one("[role=status]").text)
    assert states() == ["held", "ready", "held"]
    assert "held by ada: clouds, <b>thick</b>" in operator.one("#rows").text
    operator.one("#side a[href*=undo]").click()
    operator.one("dialog[open] input[name=reason]").send_keys("a mistake\n")
    operator.until(lambda: states() == ["ready", "ready", "ready"])
    assert ClaimEvent.objects.filter(what="undone", reason="a mistake").count() == 2
    assert operator.complaints() == []


def test_a_dialog_that_is_cancelled_changes_nothing(operator: Page) -> None:
    known(1)
    operator.open("/conductor/")
    operator.one("a[href*='do=pause']").click()
    operator.one("dialog[open] [data-close]").click()
    operator.until(lambda: not operator.all("dialog[open]"))
    assert not ClaimEvent.objects.filter(what="paused").exists()


def test_all_rows_of_a_page_are_chosen_and_let_go_at_once(operator: Page) -> None:
    known(3)
    operator.open("/conductor/")
    operator.one("[data-all]").click()
    assert len(chosen(operator)) == 3
    operator.one("[data-all]").click()
    assert chosen(operator) == []


def test_rows_refresh_themselves_and_what_was_chosen_stays_chosen(operator: Page) -> None:
    rows = known(3)
    operator.open("/conductor/")
    operator.one(f"input[value='{rows[2].pk}']").click()
    token = claimed("lasilla").token
    start(token, sections=["N1"])
    operator.script("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")
    operator.until(lambda: operator.all("#rows .chip.running"))
    assert chosen(operator) == [str(rows[2].pk)] and operator.one("[data-chosen]").text == "1 chosen"
    assert "lasilla" in operator.one("#side").text and "running\n1" in operator.one("#pills").text
    operator.press("j")
    operator.until(lambda: operator.all("#rows tr[aria-selected]"), "keys know the new rows")
    operator.one("#pills label:nth-of-type(4)").click()
    operator.until(lambda: "state=running" in operator.driver.current_url, "the new pills apply at once")
    assert len(operator.all("#rows tbody tr")) == 1 and operator.complaints() == []


def test_without_script_a_page_asks_in_place_of_the_dialog(operator: Page) -> None:
    rows = known(2)
    operator.command("Emulation.setScriptExecutionDisabled", value=True)
    operator.open("/conductor/?state=ready")
    operator.one(f"input[value='{rows[0].pk}']").click()
    operator.one(".bulk button[value=priority]").click()
    operator.one("input[name=priority]").clear()
    operator.one("input[name=priority]").send_keys("90")
    operator.one("input[name=reason]").send_keys("ToO\n")
    operator.until(lambda: "Changed: raw_0000.fits." in operator.one("[role=status]").text)
    assert "/conductor/?state=ready" in operator.driver.current_url
    assert KnownExposure.objects.get(pk=rows[0].pk).priority == 90


def test_the_page_fits_a_phone(operator: Page) -> None:
    known(3)
    claimed("perlmutter", node="nid001842")
    for width in (390, 1280, 1440):
        operator.wide(width)
        operator.open("/conductor/")
        operator.one("#rows tbody tr")
        assert operator.script("document.documentElement.scrollWidth") <= width, width
