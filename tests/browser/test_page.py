"""The server's page in a real browser against a real server: it shows what is served and why something is not, and answers an image."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select

from roadworthy.serving.engine.local import LocalEngine
from support.clients.environments import client_python
from support.files import wav_files
from support.models import bundles, item_bundles
from support.servers.serving import PICTURE, SEES, Server, write_echo
from support.waiting import HANG_SECONDS

pytestmark = pytest.mark.slow

PHONE, NARROW, DESK = (400, 844), (320, 640), (1280, 900)
DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), letter => letter.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], arguments[2], { type: arguments[3] }));
const made = arguments[1] === 'paste'
  ? new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true, cancelable: true })
  : new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true });
document.querySelector('h2').dispatchEvent(made);
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of images, one of numbers, and one whose second version lies."""
    folder = tmp_path_factory.mktemp("models")
    bundles.write_bundle(folder / "picture" / "7", name="picture", version="7", signature=PICTURE, contract=SEES)
    bundles.write_bundle(folder / "linear" / "1", name="linear")
    write_echo(folder / "echo" / "1", "echo")
    write_echo(folder / "echo" / "2", "lying")
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[str]:
    started = Server(models, versions=0, workers=1, grpc_port=0)
    yield started.wait_ready()
    started.kill()


@pytest.fixture
def photo() -> bytes:
    file = BytesIO()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def show(browser: webdriver.Chrome, url: str, size: tuple[int, int] = DESK) -> None:
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(url)
    until(lambda: text(browser, "verdict") != "Asking the server…")


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "the page never says so"
        time.sleep(0.02)


def text(browser: webdriver.Chrome, identifier: str) -> str:
    return browser.find_element(By.ID, identifier).text


def choose(browser: webdriver.Chrome, model: str) -> None:
    Select(browser.find_element(By.ID, "model")).select_by_value(model)


def card(browser: webdriver.Chrome, model: str) -> WebElement:
    return browser.find_element(By.XPATH, f"//article[h3='{model}']")


def ranking(browser: webdriver.Chrome) -> list[tuple[str, str]]:
    until(lambda: browser.find_elements(By.CSS_SELECTOR, "#ranking li") or text(browser, "said") not in ("Asking…", "Nothing sent yet."))
    lines = browser.find_elements(By.CSS_SELECTOR, "#ranking li")
    return [(line.find_element(By.CLASS_NAME, "label").text, line.find_element(By.CLASS_NAME, "share").text) for line in lines]


def expected(models: Path, file: bytes) -> list[tuple[str, str]]:
    with LocalEngine(models / "picture" / "7") as model:
        return [(ranked.label, f"{ranked.score * 100:.1f} %") for ranked in model(file).ranked[0]]


def test_it_is_silent_on_the_console_and_requests_no_other_host(browser: webdriver.Chrome, server: str) -> None:
    show(browser, server)
    time.sleep(2.5)
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"} - {"data:,"}
    assert f"{server}/page/status" in asked and all(url.startswith(f"{server}/") for url in asked)
    assert browser.get_log("browser") == []


def test_it_shows_what_is_served_and_why_something_is_not(browser: webdriver.Chrome, server: str) -> None:
    show(browser, server)
    assert text(browser, "verdict") == "Ready: 3 models, 1 worker, 1 version failed."
    echo = card(browser, "echo")
    assert "golden answers are off" in echo.find_element(By.CLASS_NAME, "reason").text
    assert [badge.text for badge in echo.find_elements(By.CLASS_NAME, "badge")] == ["failed", "ready"]
    rows = [[cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")] for row in echo.find_elements(By.CSS_SELECTOR, "tbody tr")]
    assert [row[:3] for row in rows] == [["2", "failed", "–"], ["1", "ready", "default"]]
    assert not card(browser, "picture").find_elements(By.CLASS_NAME, "reason")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#workers tr")) == 1 and "MiB" in text(browser, "workers")


@pytest.mark.parametrize("way", ["drop", "paste", "choose"])
def test_an_image_is_answered_with_the_models_own_classes(
    browser: webdriver.Chrome, server: str, models: Path, photo: bytes, tmp_path: Path, way: str
) -> None:
    show(browser, server)
    choose(browser, "picture")
    if way == "choose":
        (tmp_path / "photo.png").write_bytes(photo)
        browser.find_element(By.ID, "file").send_keys(str(tmp_path / "photo.png"))
    else:
        browser.execute_script(DROP, base64.b64encode(photo).decode(), way, "photo.png", "image/png")
    assert ranking(browser) == expected(models, photo)
    widths = browser.execute_script("return [...document.querySelectorAll('#ranking i')].map(bar => parseFloat(bar.style.width))")
    assert widths == pytest.approx([float(share.split()[0]) for _, share in expected(models, photo)], abs=0.06)
    assert browser.find_element(By.ID, "preview").is_displayed() and "Version 7 answered" in text(browser, "said")
    until(lambda: card(browser, "picture").find_element(By.TAG_NAME, "dd").text != "0")
    assert browser.get_log("browser") == []


def test_what_is_no_image_gets_the_servers_sentence(browser: webdriver.Chrome, server: str) -> None:
    show(browser, server)
    choose(browser, "picture")
    browser.execute_script(DROP, base64.b64encode(b"<b>no image</b>").decode(), "drop", "it.png", "image/png")
    until(lambda: text(browser, "said").startswith("400: "))
    assert "not a JPEG (or MPO), PNG, WebP, BMP, GIF or TIFF image" in text(browser, "said")
    assert ranking(browser) == []


def test_a_text_is_written_and_a_sound_dropped(browser: webdriver.Chrome, tmp_path: Path) -> None:
    item_bundles.write_text(tmp_path / "models" / "texts" / "1")
    item_bundles.write_audio(tmp_path / "models" / "sounds" / "1")
    started = Server(tmp_path / "models", versions=0, workers=1)
    try:
        show(browser, started.wait_ready())
        choose(browser, "texts")
        assert browser.find_element(By.ID, "write").is_displayed()
        assert not browser.find_element(By.ID, "ask").is_displayed() and not browser.find_element(By.ID, "drop").is_displayed()
        assert "tokenized by tokenizer.json" in text(browser, "write-steps")
        browser.find_element(By.ID, "text").send_keys("a good film")
        browser.find_element(By.CSS_SELECTOR, "#write button").click()
        with LocalEngine(tmp_path / "models" / "texts" / "1") as model:
            assert [label for label, _ in ranking(browser)] == [one.label for one in model("a good film").ranked[0]]
        choose(browser, "sounds")
        assert browser.find_element(By.ID, "drop").is_displayed() and not browser.find_element(By.ID, "write").is_displayed()
        sound = wav_files.wav(wav_files.tone(12))
        browser.execute_script(DROP, base64.b64encode(sound).decode(), "drop", "it.wav", "audio/wav")
        with LocalEngine(tmp_path / "models" / "sounds" / "1") as model:
            assert [label for label, _ in ranking(browser)] == [one.label for one in model(sound).ranked[0]]
        assert not browser.find_element(By.ID, "preview").is_displayed() and browser.get_log("browser") == []
    finally:
        started.kill()


def test_a_model_of_numbers_is_asked_in_json(browser: webdriver.Chrome, server: str, models: Path) -> None:
    show(browser, server)
    choose(browser, "linear")
    assert not browser.find_element(By.ID, "drop").is_displayed()
    browser.find_element(By.CSS_SELECTOR, "#ask button").click()
    until(lambda: browser.find_element(By.ID, "outputs").is_displayed())
    answer = json.loads(text(browser, "outputs"))
    with LocalEngine(models / "linear" / "1") as model:
        want = model(np.zeros((1, 12), np.float32)).outputs["y"]
    np.testing.assert_allclose(answer["outputs"][0]["data"], want.ravel(), rtol=1e-6)
    box = browser.find_element(By.ID, "request")
    box.clear()
    box.send_keys("{}")
    # The figures are drawn anew meanwhile; what the user writes stays.
    time.sleep(2.5)
    assert box.get_attribute("value") == "{}"
    browser.find_element(By.CSS_SELECTOR, "#ask button").click()
    until(lambda: text(browser, "said").startswith("400: "))


def snippets(browser: webdriver.Chrome, model: str) -> dict[str, str]:
    """The requests that the page shows, by the names of their tabs."""
    choose(browser, model)
    browser.find_element(By.ID, "tab-0").click()
    said: dict[str, str] = {}
    while (tab := browser.find_element(By.CSS_SELECTOR, "#tabs [aria-selected=true]")).text not in said:
        said[tab.text] = text(browser, "snippet")
        tab.send_keys(Keys.ARROW_RIGHT)
    return said


@pytest.mark.parametrize("model", ["picture", "linear"])
def test_the_request_is_shown_in_words_that_each_client_understands(
    browser: webdriver.Chrome, server: str, models: Path, photo: bytes, tmp_path: Path, model: str
) -> None:
    show(browser, server)
    shown = snippets(browser, model)
    assert list(shown) == ["curl", "Python", "tritonclient, HTTP", "tritonclient, gRPC", "TF Serving REST", "TorchServe"]
    (tmp_path / "photo.jpg").write_bytes(photo)
    best = expected(models, photo)[0][0]
    for name, words in shown.items():
        match name:
            case "Python":
                command = [sys.executable, "-c", words]
            case "tritonclient, HTTP" | "tritonclient, gRPC":
                kind = name[-4:].lower()
                command = [
                    str(client_python({"http": "triton-http", "grpc": "tritonclient-grpc"}[kind], f"tritonclient[{kind}]==2.73.0")),
                    "-W",
                    "ignore",
                    "-c",
                    words,
                ]
            case _:
                command = ["bash", "-c", words.replace("curl ", "curl -sSf ")]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_SECONDS)
        assert run.returncode == 0, (name, words, run.stderr)
        # TensorFlow Serving has no labels for a prediction.
        assert model != "picture" or name == "TF Serving REST" or best in run.stdout or repr(best.encode())[2:-1] in run.stdout, (
            name,
            run.stdout,
        )


@pytest.mark.parametrize("size", [NARROW, PHONE, DESK])
@pytest.mark.parametrize("model", ["picture", "linear"])
def test_it_never_scrolls_sideways(browser: webdriver.Chrome, server: str, photo: bytes, size: tuple[int, int], model: str) -> None:
    show(browser, server, size)
    choose(browser, model)
    if model == "picture":
        browser.execute_script(DROP, base64.b64encode(photo).decode(), "drop", "photo.png", "image/png")
        ranking(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(browser: webdriver.Chrome, server: str, scheme: str) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    show(browser, server)
    try:
        pairs = browser.execute_script("""
            const behind = element => {
              for (let one = element; one; one = one.parentElement) {
                const colour = getComputedStyle(one).backgroundColor;
                if (colour !== 'rgba(0, 0, 0, 0)') return colour;
              }
            };
            return [...document.querySelectorAll('p, td, th, dt, dd, .badge, .reason, button, h1, h2, h3, a')]
              .filter(one => one.textContent.trim() && one.offsetParent)
              .map(one => [getComputedStyle(one).color, behind(one), one.textContent]);
        """)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert len(pairs) > 50
    weak = [(words, ratio) for ink, paper, words in pairs if (ratio := contrast(ink, paper)) < 4.5]
    assert weak == []


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG 2 has it."""
    lights = sorted(_light([int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def _light(colour: list[int]) -> float:
    linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_everything_to_act_on_has_a_name_and_is_reached_by_tab(browser: webdriver.Chrome, server: str) -> None:
    show(browser, server)
    choose(browser, "linear")
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    acted = [
        node
        for node in nodes
        if node.get("role", {}).get("value") in ("button", "combobox", "textbox", "tab", "tabpanel", "link", "region")
    ]
    assert len(acted) >= 12
    assert [node for node in acted if not node["name"]["value"]] == []
    browser.execute_script("document.activeElement.blur(); window.getSelection().removeAllRanges()")
    reached: list[str] = []
    for _ in range(25):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(browser.execute_script("return document.activeElement.id || document.activeElement.textContent.trim().slice(0, 20)"))
    for name in ("model", "model-version", "request", "Send", "tab-0", "copy"):
        assert name in reached, reached


def test_a_token_is_asked_for_and_never_shown(browser: webdriver.Chrome, models: Path, photo: bytes, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"tokens": {"me": {"token": "a-long-secret", "rights": ["inference"]}}}))
    tokens.chmod(0o600)
    guarded = Server(models / "picture", tokens=str(tokens), workers=1)
    try:
        show(browser, guarded.wait_ready())
        until(lambda: browser.find_element(By.ID, "token").is_displayed())
        assert text(browser, "verdict") == "The server needs a token."
        box = browser.find_element(By.ID, "token")
        box.send_keys("wrong", Keys.ENTER)
        until(lambda: "does not know this token" in text(browser, "access-note"))
        box.send_keys("a-long-secret", Keys.ENTER)
        until(lambda: text(browser, "verdict").startswith("Ready"))
        browser.execute_script(DROP, base64.b64encode(photo).decode(), "drop", "photo.png", "image/png")
        assert ranking(browser) == expected(models, photo)
        assert "$TOKEN" in text(browser, "snippet") and "a-long-secret" not in browser.page_source
    finally:
        guarded.kill()


def test_a_server_that_is_gone_is_said_to_be(browser: webdriver.Chrome, models: Path) -> None:
    short = Server(models / "linear", workers=1)
    try:
        show(browser, short.wait_ready())
        until(lambda: text(browser, "verdict").startswith("Ready"))
        short.kill()
        until(lambda: text(browser, "verdict") == "The server does not answer.")
        assert "cannot be reached" in text(browser, "stale")
    finally:
        short.kill()


def test_names_stay_text(browser: webdriver.Chrome, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=document.title='pwned'>"
    contract = replace(SEES, answer=replace(SEES.answer, labels=(hostile, "b", "c", "d")))
    bundles.write_bundle(tmp_path / "picture", name="picture", version="7", signature=PICTURE, contract=contract)
    started = Server(tmp_path / "picture", workers=1)
    try:
        show(browser, started.wait_ready())
        for seed in range(8):
            file = BytesIO()
            Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(file, "PNG")
            browser.execute_script(DROP, base64.b64encode(file.getvalue()).decode(), "drop", f"{hostile}.png", "image/png")
            if hostile in dict(ranking(browser)):
                break
        assert hostile in dict(ranking(browser)), "no photo gave the class with the hostile name"
        assert browser.title == "Roadworthy" and not browser.find_elements(By.CSS_SELECTOR, "#ranking img")
    finally:
        started.kill()
