"""Looking at an image in a real Chromium: values, further marks, and a view that an address brings back."""

from __future__ import annotations

import re

import pytest
from selenium.webdriver.common.action_chains import ActionChains

from products import rendering
from products.models import Image
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
