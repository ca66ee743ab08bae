"""The comparison in a real browser: readable on a phone and at a desk, silent on the console and on the network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from roadworthy.build.package.report import comparison
from support.models import comparisons

PHONE, SMALL, DESK = (390, 844), (320, 640), (1280, 900)
HOSTILE = (
    "<img src=http://127.0.0.1:9/x onerror=document.title='pwned'><script>document.title='pwned'</script>" + "without-a-place-to-break-" * 8
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("comparisons")
    comparison.write(comparisons.realistic(), folder / "usual.html")
    comparison.write(comparisons.realistic(HOSTILE, HOSTILE), folder / "hostile.html")
    return {name: folder / f"{name}.html" for name in ("usual", "hostile")}


def show(browser: webdriver.Chrome, page: Path, size: tuple[int, int]) -> None:
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())


@pytest.mark.parametrize("size", [PHONE, SMALL, DESK])
@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_the_page_never_scrolls_sideways(browser: webdriver.Chrome, pages: dict[str, Path], name: str, size: tuple[int, int]) -> None:
    show(browser, pages[name], size)
    browser.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_it_asks_the_network_for_nothing_and_the_console_is_silent(browser: webdriver.Chrome, pages: dict[str, Path], name: str) -> None:
    show(browser, pages[name], DESK)
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert set(asked) - {"data:,"} == {pages[name].as_uri()}
    assert browser.get_log("browser") == []
    assert browser.title != "pwned"


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_the_first_screen_says_whether_they_are_one_function_and_why_not(
    browser: webdriver.Chrome, pages: dict[str, Path], size: tuple[int, int]
) -> None:
    show(browser, pages["usual"], size)
    for words in ("Not the same function.", "0.53 of the output", "flatten order: dense1"):
        found = browser.find_elements(By.XPATH, f"//section[@id='verdict']//*[contains(., '{words}')]")
        assert found and found[-1].is_displayed() and found[-1].rect["y"] + found[-1].rect["height"] <= size[1], words


@pytest.mark.parametrize(("size", "kind"), [(PHONE, "narrow"), (DESK, "wide")])
def test_the_charts_fit_the_screen_with_letters_of_readable_size(
    browser: webdriver.Chrome, pages: dict[str, Path], size: tuple[int, int], kind: str
) -> None:
    show(browser, pages["usual"], size)
    drawn = [one for one in browser.find_elements(By.CSS_SELECTOR, "figure > svg") if one.is_displayed()]
    assert [one.get_attribute("class") for one in drawn] == [kind] * 3
    for chart in drawn:
        boxes = browser.execute_script(
            "const box = arguments[0].getBoundingClientRect();"
            "return [...arguments[0].querySelectorAll('text')].map(one => [one.textContent, one.getBoundingClientRect()])"
            ".map(([text, at]) => [text, at.height, at.left >= box.left - 1 && at.right <= box.right + 1])",
            chart,
        )
        assert len(boxes) >= 18 and min(height for _, height, _ in boxes) >= 9
        assert [text for text, _, inside in boxes if not inside] == []


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_names_of_forms_are_not_broken_to_pieces(browser: webdriver.Chrome, pages: dict[str, Path], size: tuple[int, int]) -> None:
    show(browser, pages["usual"], size)
    widths = browser.execute_script("return [...document.querySelectorAll('tbody td:first-child')].map(one => one.clientWidth)")
    assert len(widths) >= 9 and min(widths) >= 149


def test_every_form_stands_in_every_chart_and_bars_are_in_proportion(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["usual"], DESK)
    speed, start, throughput = (one for one in browser.find_elements(By.CSS_SELECTOR, "figure > svg.wide"))
    assert len(speed.find_elements(By.CSS_SELECTOR, "circle")) == len(throughput.find_elements(By.CSS_SELECTOR, "circle")) == 9
    widths = {
        bar.get_attribute("class").split()[0]: float(bar.get_attribute("width"))
        for bar in start.find_elements(By.XPATH, ".//*[local-name()='g'][contains(*[local-name()='title'], 'pytorch compile')]/*[@width]")
    }
    # 1.5 s to import, 9 s for the first call.
    assert widths["bar-first"] / widths["bar-import"] == pytest.approx(9.001 / 1.5, rel=0.02)
