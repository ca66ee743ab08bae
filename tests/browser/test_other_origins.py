"""Pages of other origins in a real browser against a real server: they change nothing on any route and port, and read nothing by a name
that was made to lead here (DNS rebinding)."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from roadworthy.serving.transports.http import listeners
from roadworthy.serving.transports.http.browser_origin import SAFE
from support.models import bundles
from support.servers.serving import Server, json_request

REBOUND = "evil.test"
"""A name that the browser of these tests takes for 127.0.0.1."""
NAMES = {"model": "linear", "version": "1", "label": "stable", "repository": "here"}
PLANELESS: Any = None
ROUTES = [route for protocol in listeners.http_protocols(PLANELESS) for route in protocol.routes]
CHANGING = sorted({(route.method, route.path.format_map(NAMES)) for route in ROUTES if route.method not in SAFE})
INFER = json.dumps(json_request({"x": np.zeros((1, 12), np.float32)}))
UNLOAD = json.dumps({"type": "Unload", "name": "linear"})

FETCH = """
const [url, options, done] = arguments;
fetch(url, options).then(async answer => done([answer.type, answer.status, await answer.text()]), problem => done([problem.name, 0, '']));
"""
FORM = """
const [url, value, target] = arguments;
const frame = document.createElement('iframe');
frame.name = target;
document.body.append(frame);
const form = document.body.appendChild(document.createElement('form'));
Object.assign(form, { action: url, method: 'post', enctype: 'text/plain', target });
const field = form.appendChild(document.createElement('input'));
[field.name, field.value] = [value.slice(0, -1) + ',"x":"', '"}'];
form.submit();
"""
OPAQUE = """
const frame = document.body.appendChild(document.createElement('iframe'));
frame.sandbox = 'allow-scripts allow-forms';
frame.srcdoc = `<script>fetch(${JSON.stringify(arguments[0])}, {method: 'POST', mode: 'no-cors', body: arguments[1]})</script>`
  .replace('arguments[1]', JSON.stringify(arguments[1]));
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Blank(BaseHTTPRequestHandler):
    """An empty page for every path."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another origin</title><body></body>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """An origin of other pages: the same machine at another port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Blank) as other:
        serving = threading.Thread(target=other.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{other.server_port}"
        other.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    bundles.write_bundle(folder / "linear" / "1", name="linear")
    return folder


@pytest.fixture
def started(models: Path) -> Iterator[Server]:
    """A server at its defaults, but for ports of their own for management and metrics, that says what it answers."""
    server = Server(models, workers=1, management_port=0, metrics_port=0, log_requests=True)
    server.wait_ready()
    yield server
    server.kill()


def answers(server: Server, count: int) -> Counter[tuple[str, int]]:
    """Method and status of every request but GET, once there are ``count`` of them."""
    deadline = time.monotonic() + 20
    found: list[tuple[str, int]] = []
    while len(found) < count and time.monotonic() < deadline:
        time.sleep(0.05)
        lines = [json.loads(line) for line in server.said() if line.startswith("{")]
        found = [(line["method"], int(line["status"])) for line in lines if line.get("message") == "answered" and line["method"] != "GET"]
    return Counter(found)


def is_served(server: Server) -> bool:
    return httpx.get(f"{server.urls[0]}/v2/models/linear/ready").status_code == 200


def fetch(browser: webdriver.Chrome, url: str, **options: object) -> tuple[str, int, str]:
    kind, status, text = browser.execute_async_script(FETCH, url, options)
    return kind, status, text


def test_no_route_at_any_port_obeys_a_page_of_another_origin(browser: webdriver.Chrome, elsewhere: str, started: Server) -> None:
    browser.get(elsewhere)
    urls = [started.urls[0], *started.ports().values()]
    simple = preflighted = 0
    for url in urls:
        for method, path in CHANGING:
            if method == "POST":
                for body in ("", UNLOAD, INFER):
                    assert fetch(browser, url + path, method=method, mode="no-cors", body=body)[0] == "opaque"
                    simple += 1
            assert fetch(browser, url + path, method=method, headers={"content-type": "application/json"}, body=UNLOAD)[0] == "TypeError"
            preflighted += 1
    found = answers(started, simple + preflighted)
    assert found["POST", 403] == simple and {status for method, status in found if method != "OPTIONS"} == {403}
    assert is_served(started)


def test_forms_beacons_and_opaque_origins_change_nothing(browser: webdriver.Chrome, elsewhere: str, started: Server) -> None:
    main, management = started.urls[0], started.ports()["management"]
    browser.get(elsewhere)
    commanded = (f"{management}/manage", f"{management}/v2/repository/models/linear/unload", f"{main}/v2/models/linear/infer")
    for number, url in enumerate(commanded):
        browser.execute_script(FORM, url, UNLOAD, f"frame{number}")
        browser.execute_script("navigator.sendBeacon(arguments[0], arguments[1])", url, UNLOAD)
        browser.execute_script(OPAQUE, url, UNLOAD)
    assert answers(started, 9) == {("POST", 403): 9}
    assert is_served(started)
    assert len(browser.window_handles) == 1, "a form opened a window, which would hide the other tests' pages"


def test_a_name_that_was_made_to_lead_here_reads_nothing(browser: webdriver.Chrome, started: Server) -> None:
    for url in (started.urls[0], *started.ports().values()):
        rebound = url.replace("127.0.0.1", REBOUND)
        for path in (
            "/",
            "/page/status",
            "/manage",
            "/metrics",
            "/openapi.json",
            "/v2",
            "/v2/health/ready",
            "/ping",
            "/v1/models/linear",
            "/none",
        ):
            browser.get(rebound + path)
            said = browser.find_element(By.TAG_NAME, "body").text
            assert f"does not accept the Host {REBOUND}" in said and f"--allowed-host {REBOUND}" in said, (path, said)
        # The page's own origin is the server's, so that the browser lets it read whatever comes.
        for method, path in [*CHANGING, ("GET", "/page/status"), ("GET", "/manage"), ("GET", "/metrics")]:
            kind, status, text = fetch(browser, rebound + path, method=method)
            assert (kind, status) == ("basic", 421) and "linear version" not in text, path
    assert is_served(started)


def test_the_page_works_by_every_name_that_is_allowed(browser: webdriver.Chrome, models: Path) -> None:
    server = Server(models, workers=1, allowed_hosts=[REBOUND])
    try:
        url = server.wait_ready()
        port = url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "models.localhost", REBOUND):
            browser.get(f"http://{host}:{port}/")
            deadline = time.monotonic() + 20
            while not (ready := browser.find_element(By.ID, "verdict").text.startswith("Ready")) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert ready, host
            browser.find_element(By.CSS_SELECTOR, "#ask button").click()
            while not (shown := browser.find_element(By.ID, "outputs").text) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert json.loads(shown)["model_name"] == "linear", host
    finally:
        server.kill()


def test_an_allowed_origin_may_call_and_read(browser: webdriver.Chrome, elsewhere: str, models: Path) -> None:
    server = Server(models, workers=1, cors=[elsewhere])
    try:
        url = server.wait_ready()
        browser.get(elsewhere)
        kind, status, text = fetch(
            browser, f"{url}/v2/models/linear/infer", method="POST", headers={"content-type": "application/json"}, body=INFER
        )
        assert (kind, status) == ("cors", 200) and json.loads(text)["model_name"] == "linear"
        assert fetch(browser, f"{url}/models/linear?min_worker=1", method="PUT")[:2] == ("cors", 202)
        browser.get(elsewhere.replace("127.0.0.1", "localhost"))
        assert fetch(browser, f"{url}/manage", method="POST", headers={"content-type": "text/plain"}, body=UNLOAD)[0] == "TypeError"
        assert is_served(server)
    finally:
        server.kill()
