"""A headless Chromium; without one the tests are skipped, with the reason."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    # A name as an attacker's DNS server would answer for it (DNS rebinding).
    rebound = "--host-resolver-rules=MAP evil.test 127.0.0.1"
    for argument in ("--headless=new", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", rebound):
        options.add_argument(argument)
    if os.geteuid() == 0:
        # Chromium's sandbox does not start as root, and containers run tests as root.
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # The driver ends the browser before it has removed the folder of its socket.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t-") as folder:
        opened = webdriver.Chrome(options=options, service=Service(driver, env=os.environ | {"TMPDIR": folder}))
        yield opened
        opened.quit()
