"""Requests that a web page causes: every route at every port refuses other origins, and names that do not belong to loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from roadworthy.core.errors import UsageError
from roadworthy.serving import server
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.protocols.messages import Reply, Request
from roadworthy.serving.registry.commands import AnyCommand
from roadworthy.serving.settings import Settings
from roadworthy.serving.transports.http import browser_origin, listeners
from roadworthy.serving.transports.http.app import App
from support.servers.dataplanes import opened
from support.servers.listening import Listening
from support.servers.serving import Server

HOST = b"127.0.0.1:8000"
NAMES = {"model": "linear", "version": "1", "label": "stable", "repository": "here"}
PLANELESS: Any = None
ROUTES = [
    (protocol.error_schema, route.method, route.path.format_map(NAMES))
    for protocol in listeners.http_protocols(PLANELESS)
    for route in protocol.routes
]
# The form of a refusal for a method that a path does not have is that of its first route.
PATHS = [(family, path) for path, family in {path: family for family, _, path in reversed(ROUTES)}.items()]
CHANGING = [route for route in ROUTES if route[1] not in browser_origin.SAFE]
ALLOWED = b"https://app.example.org"
Headers = dict[bytes, bytes]

OTHERS: dict[str, Headers] = {
    "another site": {b"origin": b"https://evil.example"},
    "an opaque origin": {b"origin": b"null"},
    "an empty origin": {b"origin": b""},
    "another port": {b"origin": b"http://127.0.0.1:9000"},
    "another name of loopback": {b"origin": b"http://localhost:8000"},
    "a name that begins alike": {b"origin": b"http://127.0.0.1:8000.evil.example"},
    "a name that ends alike": {b"origin": b"http://evil.example/127.0.0.1:8000"},
    "one that begins like an allowed one": {b"origin": ALLOWED + b".evil.example"},
    "an allowed name by another scheme": {b"origin": ALLOWED.replace(b"https", b"http")},
    "an extension": {b"origin": b"chrome-extension://127.0.0.1:8000"},
    "two origins": {b"origin": b"http://127.0.0.1:8000, https://evil.example"},
    "another site, by Sec-Fetch-Site alone": {b"sec-fetch-site": b"cross-site"},
    "another host of the site, by Sec-Fetch-Site alone": {b"sec-fetch-site": b"same-site"},
    "an unknown value of Sec-Fetch-Site": {b"sec-fetch-site": b"elsewhere"},
    "another site, with its name in X-Forwarded-Host": {b"origin": b"https://evil.example", b"x-forwarded-host": b"evil.example"},
    "another site, in JSON": {b"origin": b"https://evil.example", b"content-type": b"application/json"},
    "another site, in plain text": {b"origin": b"https://evil.example", b"content-type": b"text/plain"},
}
OURS: dict[str, Headers] = {
    "no browser": {},
    "this server's own page": {b"origin": b"http://127.0.0.1:8000", b"sec-fetch-site": b"same-origin"},
    "its own page, in capitals": {b"origin": b"HTTP://127.0.0.1:8000"},
    "its own page, behind a proxy that speaks TLS": {b"origin": b"https://127.0.0.1:8000"},
    "its own page, by Sec-Fetch-Site alone": {b"sec-fetch-site": b"same-origin"},
    "a person": {b"sec-fetch-site": b"none"},
    "an allowed page": {b"origin": ALLOWED, b"sec-fetch-site": b"cross-site"},
}


@dataclass(frozen=True)
class Ports:
    """What answers at the three ports of one server, without their sockets."""

    apps: tuple[App, ...]
    plane: DataPlane
    commands: list[AnyCommand]
    runner: asyncio.Runner

    def refused(self, app: App, method: str, path: str, headers: Headers) -> Reply | None:
        """The refusal that the head alone earns."""
        request = Request(method, path, "", {b"host": HOST} | headers, peer="test")
        app.admit(request)
        return request.reply

    def answer(self, app: App, method: str, path: str) -> Reply:
        """The whole answer."""
        request = Request(method, path, "", {b"host": HOST}, peer="test")
        app.admit(request)
        return request.reply or self.runner.run(app.answer(request))


@pytest.fixture(scope="module")
def ports(null_bundle: Path) -> Iterator[Ports]:
    commands: list[AnyCommand] = []
    settings = Settings(sources=(), management_port=1, metrics_port=2, cors=(ALLOWED.decode(),))

    async def enter() -> DataPlane:
        return held.__enter__()

    with asyncio.Runner() as runner:
        held = opened(null_bundle, commands=commands)
        plane = runner.run(enter())
        yield Ports(listeners.apps(plane, settings, None), plane, commands, runner)
        held.__exit__(None, None, None)


def assert_form(family: str, reply: Reply | None, status: int) -> str:
    """It is a refusal in the form of the protocol; its sentence."""
    assert reply is not None and reply.status == status
    said = json.loads(reply.body)
    if family == "TorchServeError":
        assert said["code"] == status and set(said) == {"code", "type", "message"}
        return str(said["message"])
    assert set(said) == {"error"}
    return str(said["error"])


def test_the_table_has_every_protocol_and_what_changes_something() -> None:
    assert {family for family, *_ in CHANGING} == {"Error", "TorchServeError"}
    assert {method for _, method, _ in CHANGING} == {"POST", "PUT", "DELETE"}


@pytest.mark.parametrize("who", OTHERS)
def test_a_page_of_another_origin_changes_nothing(ports: Ports, who: str) -> None:
    for app in ports.apps:
        for family, method, path in CHANGING:
            sentence = assert_form(family, ports.refused(app, method, path, OTHERS[who]), 403)
            assert "web page" in sentence and method in sentence
            assert b"origin" not in OTHERS[who] or "--cors" in sentence
        for family, path in PATHS:
            for method in ("PATCH", "PROPFIND"):
                assert_form(family, ports.refused(app, method, path, OTHERS[who]), 403)


@pytest.mark.parametrize("who", OURS)
def test_other_clients_and_own_pages_are_admitted(ports: Ports, who: str) -> None:
    for family, method, path in CHANGING:
        admitting = [app for app in ports.apps if ports.refused(app, method, path, OURS[who]) is None]
        assert len(admitting) == 1, (family, method, path)


@pytest.mark.parametrize("who", OTHERS | OURS)
def test_safe_methods_are_admitted_from_any_origin(ports: Ports, who: str) -> None:
    for family, method, path in ROUTES:
        if method in browser_origin.SAFE:
            assert any(ports.refused(app, method, path, (OTHERS | OURS)[who]) is None for app in ports.apps), (family, path)


def test_no_route_changes_anything_by_a_safe_method(ports: Ports) -> None:
    ports.commands.clear()
    for app in ports.apps:
        for _, path in PATHS:
            for method in sorted(browser_origin.SAFE):
                ports.answer(app, method, path)
    counted = ports.plane.counters.of("linear", "1")
    assert not ports.commands and not counted.succeeded.count and not counted.failed.count


@pytest.mark.parametrize(
    "host",
    [
        b"evil.example", b"evil.example:8000", b"localhost.evil.example:8000", b"127.0.0.1.evil.example", b"evil-localhost", b"xlocalhost",
        b"10.0.0.7:8000", b"0.0.0.0:8000", b"128.0.0.1", b"[::2]:8000", b"[::]", b"[fe80::1]", b"[::ffff:10.0.0.7]",
        b"localhost:8000.evil.example",
        b"localhost:80:80", b"evil.example@localhost", b"localhost/evil.example", b"127.1", b"0x7f000001", b"2130706433",
        b"[::1", b"::1", b"", b" ", b"localhost evil.example", b"a" * 5000 + b".localhost", b"\xff\xfe", b"[localhost]", b"127.0.0.256",
    ],
)  # fmt: skip
def test_a_name_that_a_dns_server_can_point_here_gets_no_answer(ports: Ports, host: bytes) -> None:
    for app in ports.apps:
        for family, method, path in ROUTES:
            for more in ({}, {b"origin": b"http://" + host, b"sec-fetch-site": b"same-origin"}, {b"x-forwarded-host": b"localhost"}):
                sentence = assert_form(family, ports.refused(app, method, path, {b"host": host} | more), 421)
                assert "--allowed-host" in sentence and len(sentence) < 400
        assert_form("Error", ports.refused(app, "GET", "/nowhere", {b"host": host}), 421)


@pytest.mark.parametrize(
    "host",
    [
        b"localhost", b"localhost:8000", b"LocalHost:1", b"localhost.", b"localhost:", b"models.localhost:8000", b"127.0.0.1",
        b"127.0.0.1:9", b"127.0.0.1.", b"127.255.3.4:8000", b"[::1]", b"[::1]:8000", b"[0:0:0:0:0:0:0:1]:8000", b"[::ffff:127.0.0.1]:8000",
    ],
)  # fmt: skip
def test_the_names_of_loopback_are_answered_to(ports: Ports, host: bytes) -> None:
    for family, method, path in ROUTES:
        own = {b"host": host, b"origin": b"http://" + host.lower().removesuffix(b":")}
        if not host.endswith((b".", b":")):
            assert any(ports.refused(app, method, path, own) is None for app in ports.apps), (family, path)
        assert any(ports.refused(app, method, path, {b"host": host}) is None for app in ports.apps), (family, path)


def admitted(rules: browser_origin.BrowserRules, **headers: str) -> bool:
    """Whether a POST with these headers, ``_`` for ``-``, is admitted."""
    lines = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    try:
        rules.check_host(lines)
        rules.check_origin("POST", lines)
    except (browser_origin.WrongHost, browser_origin.ForeignOrigin):
        return False
    return True


def test_names_that_the_owner_allows() -> None:
    for address in ("127.0.0.1", "0.0.0.0", "192.0.2.7", "::1", "::"):
        rules = browser_origin.rules(address, ("Models.example.org", "münchen.example", "2001:db8::1", "[2001:db8::2]", "10.1.2.3"))
        for host in (
            "models.example.org",
            "MODELS.example.org:443",
            "xn--mnchen-3ya.example",
            "[2001:db8::1]:8000",
            "[2001:db8::2]",
            "10.1.2.3:80",
        ):
            assert admitted(rules, host=host), host
        for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
            assert admitted(rules, host=host), "the names of loopback are this machine's anyway"
        for host in ("example.org", "x.models.example.org", "models.example.org.evil.test", "10.1.2.4"):
            assert not admitted(rules, host=host), host
        assert admitted(browser_origin.rules(address, ("*",)), host="anything.example")
    for address in ("0.0.0.0", "192.0.2.7", "::", "fe80::1%eth0"):
        assert admitted(browser_origin.rules(address), host="10.244.0.17:8000"), "as a probe or a load balancer asks"
    for address in ("127.0.0.1", "127.0.0.53", "::1", "::ffff:127.0.0.1"):
        assert not admitted(browser_origin.rules(address), host="10.244.0.17:8000")


@pytest.mark.parametrize(
    "name", ["", "http://models.example.org", "models.example.org:8000", "a b", "a/b", "*.example.org/", "[::1", "a" * 64 + ".org"]
)
def test_what_no_host_can_be_named(name: str) -> None:
    with pytest.raises(UsageError, match="--allowed-host takes the name of a host alone"):
        browser_origin.rules("127.0.0.1", (name,))


@pytest.mark.parametrize(
    "origin", ["", "example.org", "https://", "https://example.org/page", "https://a@example.org", "https://x:y", "https://x?a"]
)
def test_what_no_origin_can_be(origin: str) -> None:
    with pytest.raises(UsageError, match="--cors takes an origin"):
        browser_origin.rules("127.0.0.1", (), (origin,))


def test_origins_as_an_owner_writes_them() -> None:
    for written, sent in (
        ("https://Example.org/", "https://example.org"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:8080", "http://example.org:8080"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://münchen.example", "https://xn--mnchen-3ya.example"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("null", "null"),
        ("*", "https://anything.example"),
    ):
        assert admitted(browser_origin.rules("127.0.0.1", (), (written,)), host="localhost", origin=sent), written
    assert not admitted(browser_origin.rules("127.0.0.1", (), ("https://example.org",)), host="localhost", origin="null")


def test_where_tls_is_spoken_here_a_page_in_the_clear_is_another_one() -> None:
    rules = browser_origin.rules("0.0.0.0", secure=True)
    assert admitted(rules, host="example.org", origin="https://example.org")
    assert admitted(rules, host="example.org:443", origin="https://example.org")
    assert not admitted(rules, host="example.org", origin="http://example.org")
    assert not admitted(browser_origin.rules("0.0.0.0"), origin="http://example.org")


def test_on_the_wire(tmp_path: Path) -> None:
    def status(listening: Listening, request: bytes) -> int:
        return int(listening.talk(request + b"connection: close\r\n\r\n").split()[1])

    with Listening(hosts=()) as listening:
        assert status(listening, b"POST /t/echo HTTP/1.0\r\n") == 200, "HTTP/1.0 has no Host"
        assert status(listening, b"POST /t/echo HTTP/1.0\r\nhost: evil.example\r\n") == 421
        assert status(listening, b"POST /t/echo HTTP/1.1\r\nhost: localhost\r\n") == 200
        assert status(listening, b"POST /t/echo HTTP/1.1\r\nhost: evil.example\r\n") == 421
        assert status(listening, b"POST http://evil.example/t/echo HTTP/1.1\r\nhost: localhost\r\n") == 421, "the target names the host"
        assert status(listening, b"POST http://a@localhost/t/echo HTTP/1.1\r\nhost: evil.example\r\n") == 200
        assert status(listening, b"POST /t/echo HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n") == 400
        assert status(listening, b"POST /t/echo HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\norigin: null\r\n") == 403
        assert status(listening, b"GET / HTTP/1.1\r\nhost: evil.example\r\nupgrade: websocket\r\nconnection: upgrade\r\n") == 421
        calls = len(listening.protocol.calls)
        body = b"x" * 100_000
        refused = listening.talk(
            b"POST /t/echo HTTP/1.1\r\nhost: localhost\r\norigin: null\r\ncontent-length: %d\r\n\r\n" % len(body), body
        )
        assert refused.startswith(b"HTTP/1.1 403 ") and len(listening.protocol.calls) == calls
        assert listening.counters.answered["rehearsal", "", "421"] == 3


def test_cors_goes_on(ports: Ports) -> None:
    asks = {b"access-control-request-method": b"PUT", b"access-control-request-headers": b"content-type"}
    for app in ports.apps:
        for family, path in PATHS:
            reply = ports.refused(app, "OPTIONS", path, asks | {b"origin": ALLOWED})
            assert reply is not None and reply.status == 204 and (b"access-control-allow-headers", b"content-type") in reply.headers
            assert "--cors https://evil.example" in assert_form(
                family, ports.refused(app, "OPTIONS", path, asks | {b"origin": b"https://evil.example"}), 403
            )
            assert_form(family, ports.refused(app, "OPTIONS", path, asks | {b"origin": ALLOWED, b"host": b"evil.example"}), 421)


@pytest.mark.parametrize("options", [{"cors": ("example.org",)}, {"allowed_hosts": ("http://example.org",)}])
def test_an_option_that_cannot_be_is_refused_at_the_start(null_bundle: Path, options: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(UsageError, match=r"example\.org"):
        server.serve_as(Settings(sources=(str(null_bundle),), port=0, **options))  # type: ignore[arg-type]


def test_every_port_of_a_real_server(serve: Callable[..., Server], null_bundle: Path) -> None:
    started = serve(null_bundle, host="localhost", workers=1, management_port=0, metrics_port=0, allowed_hosts=["models.example.org"])
    main = started.wait_ready()
    urls = {"": main} | started.ports()
    assert set(urls) == {"", "management", "metrics"}
    unload = "/v2/repository/models/linear/unload"
    for url, path in ((main, "/page/status"), (main, "/"), (urls["management"], "/manage"), (urls["metrics"], "/metrics")):
        assert httpx.get(url + path).status_code == 200
        assert httpx.get(url + path, headers={"host": "models.example.org:1"}).status_code == 200
        refused = httpx.get(url + path, headers={"host": "evil.example"})
        assert refused.status_code == 421 and "--allowed-host evil.example" in refused.json()["error"]
    for url in urls.values():
        refused = httpx.post(url + unload, headers={"origin": "https://evil.example"})
        assert refused.status_code == 403 and "--cors https://evil.example" in refused.json()["error"]
    assert httpx.get(main + "/v2/models/linear/ready").status_code == 200
    assert httpx.post(urls["management"] + unload, headers={"origin": urls["management"]}).status_code == 200
    assert httpx.get(main + "/v2/models/linear/ready").status_code == 404
