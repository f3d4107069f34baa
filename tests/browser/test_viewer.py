"""Looking at an image in a real Chromium: values, further marks, and a view that an address brings back."""

from __future__ import annotations

import re

import pytest
from selenium.webdriver.common.action_chains import ActionChains

from products import rendering
from products.models import Badness, Image, Measurement
from tests.browser.conftest import Page
from tests.rows.archive import Archive

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_value_under_the_pointer_is_that_of_the_plane_that_is_shown(page: Page, site: Archive) -> None:
    row = site.ccd.measurements[0]
    page.open(f"/exposures/{site.name}/N1/?detection=0")
    page.until(lambda: page.one("#zoom").text.endswith("%"))
    for plane, image, unit in (("new", site.ccd.image, "e⁻"), ("difference", site.ccd.difference, "e⁻")):
        page.until(lambda plane=plane: page.one("#which").text == plane)
        ActionChains(page.driver).move_to_element(page.one("#zoom")).perform()
        ActionChains(page.driver).move_to_element(page.one(".l-kept .frame-of")).perform()
        said = page.until(lambda: page.one("#value").text not in ("", "–") and page.one("#value").text)
        x, y = (round(float(number)) for number in page.one("#px").text.split(", "))
        stored = Image.objects.get(pk=image.pk).as_kind()
        assert float(said.replace("−", "-")) == pytest.approx(float(stored.data[y, x]), rel=1e-3), plane
        assert page.one("#value-unit").text == unit and page.one("#flags").text == "none"
        assert abs(x - row.x) < 1 and abs(y - row.y) < 1
        page.press("zz")
    assert page.complaints() == []


def test_stars_and_fakes_come_when_they_are_asked_for(page: Page, site: Archive) -> None:
    page.open(f"/exposures/{site.name}/N1/?marks=stars")
    page.until(lambda: len(page.all(".pan .l-stars use")) == 30)
    assert not page.all(".pan .l-fakes") and not any(mark.is_displayed() for mark in page.all(".pan .l-kept"))
    page.one(".marks input[name=fakes]").click()
    page.until(lambda: len(page.all(".pan .l-fakes use")) == 40)
    assert page.all(".pan .l-fakes .dashed"), "some were missed"
    page.until(lambda: "marks=stars%2Cfakes" in page.driver.current_url)
    assert page.complaints() == []


def test_an_address_brings_back_the_view(page: Page, site: Archive) -> None:
    page.open(f"/exposures/{site.name}/N1/")
    assert not page.one(".map").is_displayed()
    page.press("++i")
    page.until(lambda: "zoom=" in page.driver.current_url and "invert=1" in page.driver.current_url)
    page.until(lambda: page.one(".map").is_displayed())

    def place() -> list[float]:
        """Left, top and scale of the picture."""
        return [
            float(n) for n in re.findall(r"-?[\d.]+", page.script("document.querySelector('.pan').style.transform"))
        ]

    before, address = place(), page.driver.current_url.removeprefix(page.root)
    page.open("/")
    page.open(address)
    page.until(lambda: place() == pytest.approx(before, abs=2), "to about a tenth of a pixel of the image")
    assert "invert" in page.one(".pan").get_attribute("class")
    hits = [
        hit
        for hit in page.all(".pan .l-cut .hit, .pan .l-kept .hit")
        if 300 < hit.rect["x"] < 1000 and 150 < hit.rect["y"] < 700
    ]
    hits[0].click()
    page.until(lambda: "detection=" in page.driver.current_url)
    assert "zoom=" in page.driver.current_url and "invert=1" in page.driver.current_url
    page.press("0")
    page.until(lambda: "zoom=" not in page.driver.current_url)


def test_a_large_image_is_shown_at_full_resolution_when_one_is_near(page: Page, site: Archive, monkeypatch) -> None:
    monkeypatch.setattr(rendering, "LARGEST_SIDE", 64)
    page.open(f"/exposures/{site.name}/N1/")
    shown = "document.querySelector('.pan img[data-picture=new]').naturalWidth"
    page.until(lambda: page.script(shown) == 64)
    page.press("++")
    page.until(lambda: page.script("document.querySelector('#tiles img')?.naturalWidth") == 128)
    page.press("z")
    page.until(lambda: "/reference" in page.driver.current_url or page.one("#which").text == "reference")
    page.until(lambda: page.script("document.querySelector('#tiles img')?.naturalWidth") == 128)
    assert page.complaints() == []


def test_an_operator_marks_the_difference_as_bad_and_takes_it_back(page: Page, site: Archive) -> None:
    page.log_in("olga", "change_image")
    page.open(f"/exposures/{site.name}/N1/")
    address = page.one(f".side a[href*='{site.ccd.difference.pk}/badness/']").get_attribute("href")
    page.driver.get(address)
    page.one(f".bits input[value='{int(Badness.BAD_SUBTRACTION)}']").click()
    page.one("input[name=reason]").send_keys("the grid slipped")
    page.one("main form button.main").click()
    page.until(lambda: "Marked as bad subtraction" in page.one(".note").text)
    assert page.one("#which").text == "difference"
    page.driver.get(page.one(".note a").get_attribute("href"))
    assert "the grid slipped" in page.one("main").text and not page.all(".bits input:checked")
    page.one("input[name=reason]").send_keys("it did not")
    page.one("main form button.main").click()
    page.until(lambda: "Its mark is cleared" in page.one(".note").text)
    assert Image.objects.get(pk=site.ccd.difference.pk).badness_own == 0
    assert page.complaints() == []


def test_words_of_cut_detections_do_not_lie_on_each_other(page: Page, site: Archive) -> None:
    for index, row in enumerate(site.ccd.measurement_set.measurements.all()):
        Measurement.objects.filter(pk=row.pk).update(is_bad=True, failed_cuts=["narrow"], x=40 + index, y=40)
    page.open(f"/exposures/{site.name}/N1/")
    every = len(page.all(".l-cut text"))
    page.until(lambda: len([one for one in page.all(".l-cut text") if one.is_displayed()]) == 1)
    assert every > 2
    page.open(f"/exposures/{site.name}/N1/?at=42,40&zoom=30")
    page.until(lambda: len([one for one in page.all(".l-cut text") if one.is_displayed()]) > 1, "there is room now")
    assert page.complaints() == []


def test_two_fingers_zoom_on_a_phone(page: Page, site: Archive) -> None:
    page.wide(390, 844)
    page.open(f"/exposures/{site.name}/N1/")

    def percent() -> int:
        return int(re.sub(r"\D", "", page.one("#zoom").text) or 0)

    def touch(kind: str, *places: tuple[int, int]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        page.command("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    before = page.until(percent)
    touch("touchStart", (150, 250), (230, 250))
    touch("touchMove", (110, 250), (270, 250))
    touch("touchEnd")
    page.until(lambda: 1.8 * before < percent() < 2.2 * before, "twice as large")
    assert page.complaints() == []
