"""Who may do what: every route asks for its right, a token has those it was given, and TLS lets in whom it should."""

from __future__ import annotations

import hashlib
import json
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from roadworthy.core.errors import Forbidden, Unauthenticated, UsageError
from roadworthy.serving.limits import ServerLimits
from roadworthy.serving.transports.http import auth
from roadworthy.serving.transports.http import tls as tls_module
from roadworthy.serving.transports.http.auth import NO_TOKENS, Access
from support.servers.listening import Listening
from support.waiting import eventually

TOKENS = f"""
[tokens.shop]
token = "shop-token"
rights = ["inference"]
[tokens.owner]
sha256 = "{hashlib.sha256(b"owner-token").hexdigest()}"
rights = ["inference", "management"]
[tokens.prometheus]
token = "scrape"
rights = ["metrics"]
"""


@pytest.fixture
def tokens(tmp_path: Path) -> Access:
    return auth.read_tokens(write(tmp_path / "tokens.toml", TOKENS))


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_each_token_has_its_rights_and_no_other(tokens: Access) -> None:
    tokens.allows(None, "open")
    tokens.allows("Bearer shop-token", "inference")
    tokens.allows(b"bearer  owner-token", "management")
    tokens.allows(b"Bearer scrape", "metrics")
    for header in (None, "", b"Bearer", b"Bearer shop", b"Bearer shop-token2", "Basic shop-token", b"shop-token", "Bearer \u1234", b"\xff"):
        with pytest.raises(Unauthenticated):
            tokens.allows(header, "inference")
    for header, right in ((b"Bearer shop-token", "management"), (b"Bearer scrape", "inference"), (b"Bearer owner-token", "metrics")):
        with pytest.raises(Forbidden, match=right):
            tokens.allows(header, right)  # type: ignore[arg-type]
    NO_TOKENS.allows(None, "management")


def test_the_file_in_json_and_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = {"tokens": {"a": {"token": "t", "rights": ["metrics"]}}}
    file = write(tmp_path / "tokens.json", json.dumps(good))
    auth.read_tokens(file).allows(b"Bearer t", "metrics")
    assert capsys.readouterr().err == ""
    file.chmod(0o644)
    auth.read_tokens(file)
    assert "chmod 600" in capsys.readouterr().err
    for text in (
        "", "[", "[1]", '{"tokens": {}}', '{"tokens": {"a": {"rights": []}}}', '{"tokens": {"a": {"token": "t", "rights": ["all"]}}}',
        '{"tokens": {"a": {"token": "t", "sha256": "00", "rights": []}}}', '{"tokens": {"a": {"sha256": "00", "rights": []}}}',
        '{"tokens": {"a": {"sha256": "zz", "rights": []}}}', '{"tokens": {"a": {"token": "", "rights": []}}}',
        '{"tokens": {"a": {"token": "t", "rights": [], "more": 1}}}', '{"tokens": {"a": {"token": "t\\n", "rights": []}}}', "[" * 100_000,
    ):  # fmt: skip
        with pytest.raises(UsageError, match=r"tokens\.json"):
            auth.read_tokens(write(file, text))
    with pytest.raises(UsageError, match="nowhere"):
        auth.read_tokens(tmp_path / "nowhere.toml")
    with pytest.raises(UsageError, match=r"bytes\.toml"):
        (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
        auth.read_tokens(tmp_path / "bytes.toml")


def test_over_http_before_the_body(tokens: Access) -> None:
    def headers(token: str) -> dict[str, str]:
        return {"authorization": f"Bearer {token}"}

    with Listening(access=tokens) as listening, httpx.Client(base_url=listening.url) as client:
        assert client.get("/t/health").status_code == 200
        assert client.post("/t/echo", headers=headers("shop-token"), content=b"x").content == b"x"
        unknown = client.post("/t/echo", content=b"x")
        assert unknown.status_code == 401 and unknown.headers["www-authenticate"] == "Bearer" and "rehearsal" in unknown.text
        assert client.post("/t/manage", headers=headers("shop-token")).status_code == 403
        assert client.post("/t/manage", headers=headers("owner-token")).status_code == 200
        for path in ("/metrics", "/monitoring/prometheus/metrics"):
            assert client.get(path).status_code == 401
            assert client.get(path, headers=headers("owner-token")).status_code == 403
            assert client.get(path, headers=headers("scrape")).status_code == 200
        assert len(listening.protocol.calls) == 3
        answer = listening.talk(b"POST /t/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 401")


def test_a_listener_has_only_the_routes_that_it_is_for() -> None:
    with Listening(rights=frozenset(("open", "inference"))) as main, httpx.Client(base_url=main.url) as client:
        assert [client.post(path).status_code for path in ("/t/health", "/t/echo", "/t/manage", "/metrics")] == [200, 200, 404, 404]
    with Listening(rights=frozenset(("management",))) as side, httpx.Client(base_url=side.url) as client:
        assert [client.post(path).status_code for path in ("/t/health", "/t/echo", "/t/manage", "/metrics")] == [404, 404, 200, 404]


def test_pages_of_another_origin() -> None:
    asks = {"origin": "https://page.example", "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    with Listening() as listening, httpx.Client(base_url=listening.url) as client:
        answer = client.options("/t/echo", headers=asks)
        assert not any(name.startswith("access-control") for name in answer.headers)
    tokens = Access([auth.Token("a", hashlib.sha256(b"t").digest(), frozenset(("inference",)))])
    with Listening(cors=("https://page.example",), access=tokens) as listening, httpx.Client(base_url=listening.url) as client:
        answer = client.options("/t/echo", headers=asks)
        assert answer.status_code == 204 and answer.headers["access-control-allow-origin"] == "https://page.example"
        assert "POST" in answer.headers["access-control-allow-methods"] and answer.headers["access-control-allow-headers"] == "content-type"
        assert client.options("/t/echo", headers=asks | {"origin": "https://other.example"}).status_code == 403
        refused = client.post("/t/echo", headers={"origin": "https://page.example"})
        assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == "https://page.example"
        assert "access-control-allow-origin" not in client.post("/t/echo", headers={"origin": "https://other.example"}).headers
    with Listening(cors=("*",)) as listening:
        assert httpx.get(listening.url + "/t/echo", headers={"origin": "https://x"}).headers["access-control-allow-origin"] == "https://x"


# TLS


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates as an owner would make them: an authority, a server's and a client's of it, and a foreign's."""
    folder = tmp_path_factory.mktemp("papers")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for authority in ("ca", "foreign"):
        openssl("req", "-x509", *key, "-keyout", f"{authority}.key", "-out", f"{authority}.pem", "-subj", f"/CN={authority}", "-days", "2")
    for name in ("server", "client"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem", "-days", "2")
    openssl("ec", "-in", "server.key", "-out", "locked.key", "-aes128", "-passout", "pass:secret")
    return folder


def client_context(papers: Path, *, certificate: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(papers / "ca.pem"))
    if certificate:
        context.load_cert_chain(papers / f"{certificate}.pem", papers / f"{certificate}.key")
    return context


def test_tls(papers: Path) -> None:
    tls = tls_module.tls_context(papers / "server.pem", papers / "server.key")
    limits = ServerLimits(head_seconds=0.5, idle_seconds=0.5, send_seconds=0.5, body_seconds=0.5, body=1 << 20)
    with Listening(tls=tls, limits=limits) as listening:
        with httpx.Client(base_url=listening.url, verify=client_context(papers)) as client:
            body = bytes(900_000)
            assert client.post("/t/echo", content=body).content == body
            assert client.post("/t/echo", content=bytes(8 << 20)).status_code == 413
            assert client.get("/t/echo").status_code == 200
        with pytest.raises(httpx.ConnectError):
            httpx.get(listening.url)
        assert listening.talk(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") in (b"", b"\x15\x03\x01\x00\x02\x02\x46")
        old = client_context(papers)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
        assert httpx.get(listening.url + "/t/echo", verify=old).status_code == 200


def test_a_tls_client_that_never_says_goodbye(papers: Path) -> None:
    tls = tls_module.tls_context(papers / "server.pem", papers / "server.key")
    with Listening(tls=tls, limits=ServerLimits(send_seconds=0.4)) as listening, listening.connect() as connection:
        client = client_context(papers).wrap_socket(connection, server_hostname="127.0.0.1")
        client.sendall(b"GET /t/echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert eventually(lambda: bool(listening.counters.answered))
        assert eventually(lambda: len(listening.connections) == 0)
        client.close()


def test_mutual_tls(papers: Path) -> None:
    tls = tls_module.tls_context(papers / "server.pem", papers / "server.key", papers / "ca.pem")
    with Listening(tls=tls) as listening:
        assert httpx.get(listening.url + "/t/echo", verify=client_context(papers, certificate="client")).status_code == 200
        for certificate in (None, "foreign"):
            with pytest.raises(httpx.TransportError):
                httpx.get(listening.url + "/t/echo", verify=client_context(papers, certificate=certificate))
        assert len(listening.protocol.calls) == 1


@pytest.mark.parametrize(
    ("certificate", "key", "authority", "says"),
    [
        ("nowhere.pem", "server.key", None, "nowhere.pem"),
        ("server.pem", "client.key", None, "server.pem and .*client.key"),
        ("server.key", "server.pem", None, "server.key"),
        ("server.pem", "locked.key", None, "passphrase"),
        ("server.pem", "server.key", "server.key", "server.key does not hold certificates"),
        ("server.pem", "server.key", "nowhere.pem", "nowhere.pem"),
    ],
)
def test_files_that_are_no_papers(papers: Path, certificate: str, key: str, authority: str | None, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        tls_module.tls_context(papers / certificate, papers / key, papers / authority if authority else None)
