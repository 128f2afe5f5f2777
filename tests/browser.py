"""A real browser for pages: Debian's Chromium, driven by selenium. Tests that need it are skipped without it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

FLAGS = (  # nothing is shown, nobody is called
    *("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-quic", "no-first-run"),
    *("disable-background-networking", "disable-component-update", "disable-sync", "disable-default-apps"),
    *("window-size=1600,1000", "hide-scrollbars", "force-device-scale-factor=1"),
)
PATIENCE = 120  # seconds for a page; a machine may be busy


@contextmanager
def open_browser(profile: Path, *flags: str) -> Iterator[Chrome]:
    """Open a browser with a new profile in the folder `profile`, and close it.

    Console and network are logged: `get_log("browser")`, `get_log("performance")`.
    """
    # Looked for here: without a path selenium would ask the internet for a browser.
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("There is no chromium, or no chromedriver, here: Debian's packages chromium and chromium-driver.")
    options = ChromeOptions()
    options.binary_location = binary
    for flag in (*FLAGS, f"user-data-dir={profile}", *flags):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options, Service(driver))
    try:
        browser.set_page_load_timeout(PATIENCE)
        yield browser
    finally:
        browser.quit()


def complaints(browser: Chrome) -> list[str]:
    """Errors that the console has had since it was last asked."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
