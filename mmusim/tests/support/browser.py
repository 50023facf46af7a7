"""Pages in headless Chromium: looked at in any width, light and dark, with the console."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="chromium or chromedriver is not installed; install the packages chromium and "
    "chromium-driver",
)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
LOOK = (Path(__file__).parent / "browser.js").read_text(encoding="utf-8")


@contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """Start Chromium with a new profile; stop it whatever happens."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        driver.set_page_load_timeout(60)
        driver.set_script_timeout(60)
        yield driver
    finally:
        driver.quit()


def show(driver: Any, page: Path, width: int, scheme: str = "light") -> None:
    """Open a page as it is on a screen of some width, where light or dark is preferred."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    driver.get(page.as_uri())


def problems(driver: Any, page: Path, width: int, scheme: str = "light") -> list[str]:
    """Return what is wrong with a page, the errors on its console included."""
    driver.get_log("browser")  # of the page before
    show(driver, page, width, scheme)
    assert driver.execute_script("return innerWidth") == width
    found: list[str] = driver.execute_script(LOOK)
    return found + [f"console: {e['message']}" for e in driver.get_log("browser")]
