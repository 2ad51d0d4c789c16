# Copyright: (c) 2026, mobius.dhash contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A headless Chromium, and hands on its keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync")
WIDE, NARROW = (1440, 900), (360, 740)
PATIENCE = 20  # seconds


Outcome = TypeVar("Outcome")


class Browser:
    """One Chromium with a profile of its own: what a person sees, and the keys that a person presses."""

    def __init__(self, profile: Path, downloads: Path) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM or ""
        for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.add_experimental_option("prefs", {
            "download.default_directory": str(downloads), "download.prompt_for_download": False})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.downloads = downloads
        self.driver = webdriver.Chrome(options=options, service=Service(CHROMEDRIVER))
        self.look_like()

    def look_like(self, size: tuple[int, int] = WIDE, scheme: str = "light") -> None:
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def open(self, page: Path) -> None:
        self.driver.get(page.as_uri())

    def reopen(self, page: Path) -> None:
        """Close the tab, and open the page in another one."""
        old = self.driver.current_window_handle
        self.driver.switch_to.new_window("tab")
        new = self.driver.current_window_handle
        self.driver.switch_to.window(old)
        self.driver.close()
        self.driver.switch_to.window(new)
        self.look_like()
        self.open(page)

    def press(self, *keys: str) -> None:
        """Press ``keys`` one after the other; ``Shift+a`` and ``Ctrl+z`` hold the first one down."""
        for key in keys:
            held, plus, letter = key.rpartition("+")
            actions = ActionChains(self.driver)
            modifier = {"Shift": Keys.SHIFT, "Ctrl": Keys.CONTROL}.get(held) if plus else None
            if modifier:
                actions.key_down(modifier).send_keys(letter).key_up(modifier)
            else:
                actions.send_keys(key)
            actions.perform()
            if key == Keys.ESCAPE:  # the browser closes a dialog some time later
                self.wait(lambda: not self.all("dialog[open]"), "a closed dialog")

    def script(self, text: str, *arguments: Any) -> Any:
        return self.driver.execute_script(text, *arguments)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return str(self.script("return document.querySelector(arguments[0]).textContent", selector))

    def wait(self, condition: Callable[[], Outcome], what: str) -> Outcome:
        return WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda driver: condition(), what)

    def wait_for_text(self, selector: str, part: str) -> None:
        self.wait(lambda: part in self.text(selector), f"{part!r} in {selector}, which says {self.text(selector)!r}")

    def exported(self) -> str:
        """The text of the file that e, Enter downloads."""
        before = set(self.downloads.iterdir())
        self.press("e", Keys.ENTER)
        new = self.wait(lambda: set(self.downloads.glob("*.json")) - before, "a downloaded file")
        return new.pop().read_text(encoding="utf-8")

    def complaints(self) -> list[str]:
        """What the console says since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call] # selenium has types for all else

    def quit(self) -> None:
        self.driver.quit()
