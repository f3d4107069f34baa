"""What people do on the site, in a real Chromium."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from products.models import Label
from products.services.tagging import clone
from tests.browser.conftest import Page
from tests.rows.archive import Archive
from tests.skies_tiny import SHAPE

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def saved(page: Page, index: int, word: str) -> bool:
    """Whether a card shows a label (none when empty) and the server has answered."""
    card = page.all(".cand")[index]
    said = card.find_element("css selector", ".said").get_attribute("textContent")
    return said == (f"you: {word}" if word else "") and not card.get_attribute("aria-busy")


def test_one_gets_from_the_night_to_an_object_by_clicking(page: Page, site: Archive) -> None:
    page.open("/?night=2026-11-22")
    page.one(f"a[href='/exposures/{site.name}/']").click()
    page.until(lambda: site.name in page.driver.title)
    page.one("tr[data-ccd=N1] td:nth-child(3)").click()
    page.until(lambda: "N1" in page.driver.title, "a click anywhere in the row opens it")
    page.until(
        lambda: page.script("[...document.images].find(i => i.dataset.picture === 'new').naturalWidth") == SHAPE[1]
    )
    page.one(".facts-side dl a").click()
    page.until(lambda: page.driver.title.startswith("2026"))
    page.until(lambda: page.one("#zoomable canvas").is_displayed())
    page.one(".strip a[href*=point]").click()
    page.until(lambda: "point=" in page.driver.current_url)
    page.one("#chosen a[href*='/exposures/']").click()
    page.until(lambda: "/exposures/" in page.driver.current_url)
    assert page.complaints() == []


def test_a_label_given_by_key_is_kept_and_taken_back(page: Page, site: Archive) -> None:
    page.log_in("ada", "add_label")
    page.open("/candidates/?sort=-score")
    first, second = page.all(".cand")[:2]
    page.until(lambda: "now" in first.get_attribute("class").split(), "the first card is the one that keys are about")
    page.press("r")
    page.until(lambda: saved(page, 0, "real"))
    assert "now" in second.get_attribute("class").split()
    page.press("b")
    page.until(lambda: saved(page, 1, "bogus"))
    page.driver.refresh()
    page.until(lambda: saved(page, 0, "real") and saved(page, 1, "bogus"))
    page.press("j\b")
    page.until(lambda: saved(page, 0, ""))
    page.all(".cand")[2].find_element("css selector", "button[value=unsure]").click()
    page.until(lambda: saved(page, 2, "unsure"))
    labels = Label.objects.order_by("created_at").values_list("verdict", "person__username")
    assert list(labels) == [("bogus", "ada"), ("unsure", "ada")]
    assert page.complaints() == []


def test_the_viewer_zooms_blinks_and_shows_marks_and_masks(page: Page, site: Archive) -> None:
    page.open(f"/exposures/{site.name}/N1/?detection=0")
    zoom = page.until(lambda: page.one("#zoom").text.endswith("%") and page.one("#zoom").text)
    page.press("+")
    page.until(lambda: page.one("#zoom").text != zoom)
    page.press("0")
    page.until(lambda: page.one("#zoom").text == zoom)
    for plane in ("reference", "difference", "score", "new"):
        page.press("z")
        page.until(lambda plane=plane: page.one("#which").text == plane and f"plane={plane}" in page.driver.current_url)
        shown = "document.querySelector(`.pan img[data-picture=${arguments[0]}]`)"
        page.until(lambda plane=plane, shown=shown: page.script(f"{shown}.naturalWidth", plane) == SHAPE[1])
        assert not page.script(f"{shown}.hidden", plane)
    kept = page.all(".pan .l-kept")
    assert len(kept) == 4 and all(mark.is_displayed() for mark in kept)
    page.press("o")
    page.until(lambda: not any(mark.is_displayed() for mark in kept))
    page.press("om")
    page.until(lambda: any(mask.is_displayed() for mask in page.all(".pan img.mask")))
    page.press("i")
    assert "invert" in page.one(".pan").get_attribute("class")
    assert page.complaints() == []


def test_the_position_under_the_pointer_is_that_of_the_source(page: Page, site: Archive) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    row = site.ccd.measurements[0]
    page.open(f"/exposures/{site.name}/N1/?detection=0")
    page.until(lambda: page.one("#zoom").text.endswith("%"))
    ActionChains(page.driver).move_to_element(page.one(".l-kept .frame-of")).perform()
    x, y = page.until(lambda: "," in page.one("#px").text and [float(n) for n in page.one("#px").text.split(", ")])
    ra, dec = (float(number.replace("−", "-")) for number in page.one("#radec").text.split())
    assert abs(x - row.x) < 0.5 and abs(y - row.y) < 0.5
    assert abs(ra - row.ra) < 1e-4 and abs(dec - row.dec) < 1e-4


def test_the_theme_is_switched_and_kept(page: Page) -> None:
    page.open("/")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    before = page.script(ground)
    page.one("#theme-form button").click()
    page.until(lambda: page.script(ground) != before)
    after = page.script(ground)
    page.open("/objects/")
    assert page.script(ground) == after


def test_the_chosen_tag_governs_every_page(page: Page, site: Archive) -> None:
    from selenium.webdriver.support.ui import Select

    page.open("/candidates/")
    assert "12 kept" in page.one("h1").text
    Select(page.one(".tag-form select")).select_by_visible_text("trial")
    page.until(lambda: "0 kept" in page.one("h1").text)
    page.open("/exposures/?sort=name")
    assert "No exposure" in page.one("main").text
    page.until(lambda: page.driver.current_url.endswith("/exposures/?sort=name&tag=trial"), "it can be sent to others")
    page.open("/exposures/?tag=current")
    assert site.name in page.one("main").text and page.driver.current_url.endswith("?tag=current")


def test_keys_move_open_and_find(page: Page, site: Archive) -> None:
    page.open("/exposures/")
    page.press("?")
    page.until(lambda: page.one("#help").is_displayed())
    page.one("#help button").click()
    page.press("j")
    page.until(lambda: page.all("tbody tr")[1].get_attribute("aria-selected") == "true")
    page.press("\n")
    page.until(lambda: f"/exposures/{site.name}/" in page.driver.current_url)
    page.press("h")
    page.until(lambda: page.driver.current_url.endswith("/exposures/"))
    page.press("/")
    page.until(lambda: page.script("document.activeElement.id") == "find")
    page.one("#find").send_keys(site.object + "\n")
    page.until(lambda: f"/objects/{site.object}/" in page.driver.current_url)


def test_no_page_scrolls_sideways_or_complains(page: Page, site: Archive) -> None:
    for width, height in ((390, 844), (1440, 900)):
        page.wide(width, height)
        for name, address in site.addresses().items():
            if name in ("light curve", "labels"):
                continue
            page.open(address)
            assert page.script("document.documentElement.scrollWidth") <= width, (name, width)
            assert page.complaints() == [], (name, width)
    page.wide(390, 844)
    page.open("/")
    page.one("#menu").click()
    page.until(lambda: page.one(".bar nav a[href='/candidates/']").is_displayed())


@pytest.mark.parametrize("width", [1400, 390])
def test_the_stamps_of_a_lost_fake_are_of_one_size(page: Page, site: Archive, width: int) -> None:
    page.log_in("ada")
    page.wide(width)
    page.open("/fakes/lost/")
    stamps = [stamp.rect for stamp in page.all(".news .trio .stamp")[:3]]
    assert len({round(stamp["width"]) for stamp in stamps}) == 1 and stamps[0]["width"] > 40
    assert len({round(stamp["y"]) for stamp in stamps}) == 1


def test_a_long_tag_and_a_name_leave_room_for_logging_out(page: Page, site: Archive) -> None:
    clone("current", "release of the first year")
    page.log_in("henrietta")
    User.objects.filter(username="henrietta").update(is_staff=True, is_superuser=True)
    for width in (820, 1040, 1070, 1170, 1310, 1361, 1430, 1440, 1461, 1641):
        page.wide(width)
        page.open("/exposures/?tag=release of the first year")
        assert page.script("document.documentElement.scrollWidth") <= width, width
        assert page.one(".bar form[action='/logout/'] button").rect["x"] < width - 40
    page.wide(390, 844)
    page.open("/exposures/")
    page.one("#menu").click()
    page.until(lambda: page.one(".bar form[action='/logout/'] button").is_displayed())
    page.one(".bar form[action='/logout/'] button").click()
    page.until(lambda: page.driver.find_elements("css selector", ".bar a[href^='/login/']"))


def test_the_tag_pages_of_the_admin_do_not_complain(page: Page, site: Archive) -> None:
    page.log_in("vera")
    User.objects.filter(username="vera").update(is_staff=True, is_superuser=True)
    for address in ("current/change/", "compare/?a=current&b=trial", "add/", ""):
        page.open(f"/admin/products/provenancetag/{address}")
        assert page.one("#content").is_displayed()
        assert page.complaints() == [], address


def test_the_site_works_without_script(page: Page, site: Archive) -> None:
    page.log_in("grace", "add_label")
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    page.open("/candidates/?sort=-score")
    page.click(".cand button[value=real]")
    page.until(lambda: "you: real" in page.one(".cand").text)
    assert Label.objects.get(person__username="grace").verdict == "real"
    page.click("a[href*='show=cut']")
    page.until(lambda: len(page.all(".cand")) == 6)
    page.open(f"/objects/{site.object}/")
    assert len(page.all("svg.plot .err")) == 2
    page.click("svg.plot a[href*=point]")
    page.until(lambda: "point=" in page.driver.current_url)
    page.open("/exposures/")
    page.one("input[name=name]").send_keys("042219\n")
    page.until(lambda: len(page.all("tbody tr")) == 1)
    page.open(f"/exposures/{site.name}/N1/")
    page.click("a[data-plane=difference]")
    page.until(lambda: "plane=difference" in page.driver.current_url)
    page.click("#theme-form button")
    page.until(lambda: page.one("html").get_attribute("data-theme") in {"dark", "light"})
