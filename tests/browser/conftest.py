"""A headless Chromium for tests marked `browser`; `tests/install_browser.sh` installs it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connections

from tests.rows.archive import Archive, archive

WAIT = 15  # seconds


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """SQLite in a file, as a site has it: the threads of the server do not lock each other's tables as in memory."""
    chosen = connections["default"].settings_dict
    if chosen["ENGINE"].endswith("sqlite3"):
        chosen["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "browser.sqlite3")


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """The driver of one Chromium for all tests."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    binary, driver = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("Chromium is not installed; tests/install_browser.sh installs it")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1440,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running = webdriver.Chrome(options=options, service=Service(driver))
    yield running
    running.quit()


class Page:
    """The browser on the site, with waits in place of sleeps."""

    def __init__(self, driver: object, root: str) -> None:
        self.driver, self.root = driver, root

    def open(self, address: str) -> None:
        """Go to an address of the site."""
        self.driver.get(self.root + address)

    def until(self, condition: Callable[[], object], what: str = "") -> object:
        """Wait until `condition()` is true; what it gave. What is asked of a page that goes away is asked again."""
        from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        def tried(_: object) -> object:
            try:
                return condition()
            except StaleElementReferenceException:
                return None
            except WebDriverException as error:
                if "does not belong to the document" in str(error):
                    return None
                raise

        return WebDriverWait(self.driver, WAIT, poll_frequency=0.05).until(tried, what)

    def all(self, selector: str) -> list:
        """Every element of a CSS selector."""
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str):
        """The first element of a CSS selector, waited for."""
        return self.until(lambda: next(iter(self.all(selector)), None), selector)

    def click(self, selector: str) -> None:
        """Click the first element of a CSS selector, also where the page before is still going away."""
        self.until(lambda: [element.click() for element in self.all(selector)[:1]], selector)

    def press(self, keys: str) -> None:
        """Type keys on the page."""
        self.one("body").send_keys(keys)

    def script(self, text: str, *arguments: object) -> object:
        """What an expression of JavaScript gives."""
        return self.driver.execute_script(f"return {text}", *arguments)

    def command(self, name: str, **options: object) -> None:
        """A command of the Chrome DevTools protocol."""
        self.driver.execute_cdp_cmd(name, options)

    def wide(self, width: int, height: int = 900) -> None:
        """Give the window a size."""
        options = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.command("Emulation.setDeviceMetricsOverride", **options)

    def log_in(self, name: str, *permissions: str) -> None:
        """Make an account with these permissions (by codename) and log in through the form."""
        person = User.objects.create_user(name, password="a long password")
        person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        self.open("/login/")
        self.one("input[name=username]").send_keys(name)
        self.one("input[name=password]").send_keys("a long password")
        self.one("main form button").click()
        self.until(lambda: name in self.one(".bar").text)

    def complaints(self) -> list[str]:
        """What the console said since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture
def page(chromium, live_server) -> Iterator[Page]:
    """The browser with no cookies, at the width of a desk."""
    found = Page(chromium, live_server.url)
    found.wide(1440)
    chromium.get_log("browser")
    yield found
    found.command("Emulation.setScriptExecutionDisabled", value=False)
    chromium.get("about:blank")
    found.command("Network.clearBrowserCookies")
    found.command("Network.clearBrowserCache")  # archives of several tests have the same ids


@pytest.fixture
def site(page: Page) -> Archive:
    """A small archive on the live server."""
    return archive()
