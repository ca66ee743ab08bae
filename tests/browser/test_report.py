"""The report in a real browser: readable on a phone and at a desk, silent on the console and on the network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from roadworthy.build.package.report import report
from roadworthy.bundle.certificate import FrameworkForm
from roadworthy.core.evidence import Interval
from support.models import certificates

PHONE, DESK = (390, 844), (1280, 900)
HOSTILE = "<img src=http://127.0.0.1:9/x onerror=document.title='pwned'><script>document.title='pwned'</script>"
LONG = "a-name-without-any-place-to-break-" * 6


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    whole = certificates.realistic()
    hostile = replace(
        whole,
        name=HOSTILE + LONG,
        origin=replace(whole.origin, file=HOSTILE + LONG, proofs=(HOSTILE + LONG,)),
        choice=replace(whole.choice, reasons=(HOSTILE + LONG,)),
        rejected=tuple(replace(one, reason=HOSTILE + LONG, detail=LONG * 5) for one in whole.rejected),
        unavailable=(LONG,),
    )
    # Four more of each that passed, in a crowd as runtimes with like kernels and several numbers of threads make one.
    crowd = tuple(
        replace(
            one,
            verified=replace(
                one.verified, candidate=replace(one.verified.candidate, plan=replace(one.verified.candidate.plan, threads=3 + n))
            ),
            timing=replace(one.timing, latency_ms=replace(one.timing.latency_ms, value=one.timing.latency_ms.value * (1.01 + 0.02 * n))),
        )
        for one in whole.measured
        for n in range(4)
    )
    form = FrameworkForm("aotinductor-bf16-t2", Interval(6.16, 6.01, 6.31), True)
    crowded = replace(whole, measured=(*whole.measured, *crowd), choice=replace(whole.choice, framework=form))
    written = {"usual": whole, "hostile": hostile, "crowded": crowded}
    for name, certificate in written.items():
        (folder / f"{name}.html").write_text(report.render(certificate, certificates.CONTRACT))
    return {name: folder / f"{name}.html" for name in written}


def show(browser: webdriver.Chrome, page: Path, size: tuple[int, int], scheme: str = "light") -> None:
    width, height = size
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())


@pytest.mark.parametrize("size", [PHONE, (320, 640), DESK])
@pytest.mark.parametrize("name", ["usual", "hostile", "crowded"])
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
    assert "pwned" not in browser.title or (name == "hostile" and browser.title.startswith("<img"))


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_the_first_screen_holds_the_choice_and_why(browser: webdriver.Chrome, pages: dict[str, Path], size: tuple[int, int]) -> None:
    show(browser, pages["usual"], size)
    for words in ("openvino-bf16-b1-t2", "9.24 times faster", "95 % interval", "80.31 %", "The promise:", "lowest latency of the 12"):
        found = browser.find_elements(By.XPATH, f"//section[@id='choice']//*[contains(., '{words}')]")
        assert found and found[-1].is_displayed() and found[-1].rect["y"] + found[-1].rect["height"] <= size[1], words


@pytest.mark.parametrize(("size", "kind"), [(PHONE, "narrow"), (DESK, "wide")])
def test_the_chart_fits_the_screen_with_letters_of_readable_size(
    browser: webdriver.Chrome, pages: dict[str, Path], size: tuple[int, int], kind: str
) -> None:
    show(browser, pages["usual"], size)
    shown = [one for one in browser.find_elements(By.CSS_SELECTOR, "figure > svg") if one.is_displayed()]
    assert len(shown) == 2, "accuracy over latency, and the course of the race"
    for drawn in shown:
        assert drawn.get_attribute("class") == kind
        heights = browser.execute_script(
            "return [...arguments[0].querySelectorAll('text')].map(one => one.getBoundingClientRect().height)", drawn
        )
        assert len(heights) >= 6 and min(heights) >= 9
        spill = browser.execute_script(
            "const box = arguments[0].getBoundingClientRect();"
            "return [...arguments[0].querySelectorAll('text')].map(one => [one.textContent, one.getBoundingClientRect()])"
            ".filter(([_, at]) => at.left < box.left - 1 || at.right > box.right + 1).map(([text]) => text)",
            drawn,
        )
        assert spill == []


OVERLAPPING = """
const all = [...document.querySelectorAll('figure > svg text.label')].map(one => [one.textContent, one.getBoundingClientRect()]);
const shown = all.filter(([_, at]) => at.width > 0);
const meet = (p, q) => p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3;
return shown.flatMap(([a, p], i) => shown.slice(i + 1).filter(([_, q]) => meet(p, q)).map(([b]) => a + ' / ' + b));
"""


@pytest.mark.parametrize("size", [PHONE, DESK])
@pytest.mark.parametrize("name", ["usual", "crowded"])
def test_labels_do_not_overlap_as_drawn(browser: webdriver.Chrome, pages: dict[str, Path], name: str, size: tuple[int, int]) -> None:
    show(browser, pages[name], size)
    labels = "return [...document.querySelectorAll('figure > svg text.label')].filter(one => one.getBoundingClientRect().width > 0)"
    assert len(browser.execute_script(labels)) >= 5
    assert browser.execute_script(OVERLAPPING) == []


def test_the_headline_holds_the_winner_against_its_framework_on_the_first_screen(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    for size in (PHONE, DESK):
        show(browser, pages["crowded"], size)
        (lead,) = browser.find_elements(By.CSS_SELECTOR, "#choice .lead")
        assert "6.16 times faster" in lead.text and lead.rect["y"] + lead.rect["height"] <= size[1] / 2


def test_dark_is_respected_and_readable(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    def contrast(scheme: str) -> tuple[float, float]:
        show(browser, pages["usual"], DESK, scheme)
        colours = browser.execute_script(
            "const s = getComputedStyle(document.body);"
            "return [s.color, s.backgroundColor, getComputedStyle(document.querySelector('.over')).color]"
        )
        ink, paper, soft = (_luminance([int(part) for part in colour[4:-1].split(",")]) for colour in colours)
        return _ratio(ink, paper), _ratio(soft, paper)

    light, dark = contrast("light"), contrast("dark")
    # WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1.
    assert min(*light, *dark) >= 4.5
    show(browser, pages["usual"], DESK, "dark")
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 18)"


def _luminance(rgb: list[int]) -> float:
    """Relative luminance of an sRGB colour, as WCAG 2.2 defines it."""
    red, green, blue = ((part / 255) / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _ratio(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
