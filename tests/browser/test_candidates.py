"""Scanning many candidates at once, limits by slider, the light curve that zooms, in a real Chromium."""

from __future__ import annotations

import pytest

from processing import tasks
from products.models import ForcedRequest, Label, Object
from tests.browser.conftest import Page
from tests.rows.archive import Archive

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_many_are_chosen_and_labelled_by_keys(page: Page, site: Archive) -> None:
    page.log_in("ada", "add_label")
    page.open("/candidates/?sort=-score")
    page.until(lambda: "now" in page.one(".cand").get_attribute("class"))
    assert not page.one("#bulk").is_displayed()
    page.press("xx")
    page.until(lambda: "2 chosen" in page.one("#bulk").text)
    page.press("B")
    page.until(lambda: Label.objects.filter(verdict="bogus", person__username="ada").count() == 2)
    page.until(lambda: not page.one("#bulk").is_displayed() and page.one("[data-done]").text == "2")
    page.press("xx")
    page.one("#bulk button[value=real]").click()
    page.until(lambda: Label.objects.filter(verdict="real").count() == 2)
    assert page.complaints() == []


def test_the_trace_is_one_key_away(page: Page, site: Archive) -> None:
    page.log_in("ada", "add_label")
    page.open("/candidates/?sort=-score")
    page.until(lambda: "now" in page.one(".cand").get_attribute("class"))
    page.press("t")
    page.until(lambda: "/trace/" in page.driver.current_url)
    assert page.one(".verdict h2").text.startswith("Detected") and page.complaints() == []


def test_a_slider_asks_for_its_number(page: Page, site: Archive) -> None:
    page.open("/candidates/?show=all")
    assert len(page.all(".cand")) == 18
    slider = "document.querySelector('[data-for=min_score]')"
    page.driver.execute_script(
        f"{slider}.value = 0.9; {slider}.dispatchEvent(new Event('input')); {slider}.dispatchEvent(new Event('change'));"
    )
    page.until(lambda: "min_score=0.9" in page.driver.current_url and len(page.all(".cand")) == 6)
    assert "show=all" in page.driver.current_url and "6 of 18" in page.one("h1").text
    page.driver.execute_script(
        f"{slider}.value = 0; {slider}.dispatchEvent(new Event('input')); {slider}.dispatchEvent(new Event('change'));"
    )
    page.until(lambda: "min_score" not in page.driver.current_url and len(page.all(".cand")) == 18)
    assert page.complaints() == []


def test_the_light_curve_zooms_switches_and_opens_a_point(page: Page, site: Archive) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.open(f"/objects/{site.object}/")
    page.until(lambda: page.one("#zoomable canvas").is_displayed())
    assert not page.one("#drawn").is_displayed()
    page.one("[data-y=flux]").click()
    page.until(lambda: "y=flux" in page.driver.current_url)
    page.one("[data-switch=g]").click()
    page.until(lambda: "off=g" in page.driver.current_url)
    assert page.one("[data-switch=g]").get_attribute("aria-current") is None
    page.one("[data-switch=g]").click()
    page.one("[data-y=mag]").click()
    page.until(lambda: "y=" not in page.driver.current_url and "off" not in page.driver.current_url)
    over = page.one("#zoomable .u-over")
    width = over.rect["width"]
    ActionChains(page.driver).move_to_element(over).click_and_hold().move_by_offset(
        int(width / 4), 0
    ).release().perform()
    page.until(lambda: "from=" in page.driver.current_url and "to=" in page.driver.current_url)
    ActionChains(page.driver).move_to_element(over).double_click().perform()
    page.until(lambda: "from=" not in page.driver.current_url)
    first = site.ccd.measurements[0]
    _click_on(page, over, first)
    page.until(lambda: f"point={first.pk}" in page.driver.current_url)
    assert page.complaints() == []


def _click_on(page: Page, over: object, row: object) -> None:
    """Click where the first point of the light curve is: the plot begins 6 % before it."""
    from selenium.webdriver.common.action_chains import ActionChains

    width, height = over.rect["width"], over.rect["height"]
    left = width * (0.06 / 1.12) - width / 2
    for step in range(-20, 21):
        ActionChains(page.driver).move_to_element_with_offset(over, int(left), int(step * height / 42)).perform()
        if str(over.get_attribute("title")).startswith(f"{row.filter} {row.magnitude:.2f}"):
            ActionChains(page.driver).click().perform()
            return
    raise AssertionError("there is no point where it should be")


def test_somebody_with_the_permission_says_that_nothing_is_there(page: Page, site: Archive) -> None:
    page.log_in("ada", "change_object")
    page.open(f"/objects/{site.object}/")
    page.one("#mark summary").click()
    page.one("#mark input[name=reason]").send_keys("a ghost")
    page.one("#mark .btn.main").click()
    page.until(lambda: "a ghost" in page.one("main").text)
    assert Object.objects.get(name=site.object).is_bad and page.complaints() == []


def test_an_object_is_measured_on_all_images_while_its_page_waits(page: Page, site: Archive) -> None:
    page.log_in("grace", "add_forcedrequest")
    page.open(f"/objects/{site.object}/")
    page.click("form[action$='/forced/'] button")
    page.until(lambda: "in the queue since" in page.one("#forced").text)
    tasks.forced_photometry(str(ForcedRequest.objects.get().pk))
    page.until(lambda: "in 2 of 2 images, 2 of them new" in page.one("#forced").text)
    assert len(page.all("#forced tbody tr")) == 2
    page.until(lambda: page.one("#zoomable").is_displayed())
    page.script("scrollTo(0, 0)")
    page.click("[data-switch=forced]")
    page.until(lambda: "off=forced" in page.driver.current_url)
    page.click("[data-y=flux]")
    page.until(lambda: "y=flux" in page.driver.current_url)
    assert page.complaints() == []
