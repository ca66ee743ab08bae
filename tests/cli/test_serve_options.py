"""Options of ``roadworthy serve`` that cannot be: one sentence, the documented exit code, no traceback."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from roadworthy.cli import serve
from roadworthy.core.errors import RoadworthyError, UsageError
from roadworthy.serving import server
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers import sockets

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, null_bundle: Path) -> Callable[..., Settings | str]:
    """The settings that options lead to, or what is said of them."""
    seen: list[Settings] = []
    monkeypatch.setattr(server, "serve_as", seen.append)

    def ask(*options: str) -> Settings | str:
        seen.clear()
        result = CliRunner().invoke(serve.command, [str(null_bundle), *options])
        assert result.exit_code == (0 if seen else 2), result.output
        return seen[0] if seen else result.output

    return ask


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2ms", 0.002),
        ("0.5ms", 0.0005),
        ("1500ms", 1.5),
        ("3s", 3),
        ("3", 3),
        ("0.25", 0.25),
        ("2m", 120),
        ("1h", 3600),
        ("0s", 0),
        ("0", 0),
    ],
)
def test_durations(asked: Callable[..., Settings | str], text: str, seconds: float) -> None:
    for option in ("delay", "watch"):
        settings = asked(f"--{option}", text)
        assert isinstance(settings, Settings)
        assert getattr(settings, option) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "-1s", "2 ms", "ms", "1d", "1e3", "nan", "inf", "1h30m", "٣s\n", "2ms\n"])
def test_what_is_no_duration(asked: Callable[..., Settings | str], text: str) -> None:
    for option in ("delay", "watch"):
        said = asked(f"--{option}", text)
        assert isinstance(said, str) and "is not a duration such as" in said


def test_limits(asked: Callable[..., Settings | str]) -> None:
    settings = asked("--limit", "body=33554432", "--limit", "wait_seconds=0.5", "--limit", "depth=8")
    assert isinstance(settings, Settings)
    assert (settings.limits.body, settings.limits.wait_seconds, settings.limits.depth) == (33554432, 0.5, 8)
    assert settings.limits.pixels == 25_000_000, "others keep their defaults"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("size=3", "is not a limit; there are"),
        ("body", "takes a whole number"),
        ("body=", "takes a whole number"),
        ("body=1.5", "takes a whole number"),
        ("body=16MiB", "takes a whole number"),
        ("body=0", "a number above 0"),
        ("body=-1", "a number above 0"),
        ("wait_seconds=soon", "takes a number"),
        ("wait_seconds=nan", "a number above 0"),
        ("wait_seconds=inf", "a number above 0"),
        ("wait_seconds=-0.5", "a number above 0"),
        ("=3", "is not a limit"),
        ("body=" + "9" * 5000, "takes a whole number"),
    ],
)
def test_what_is_no_limit(asked: Callable[..., Settings | str], text: str, says: str) -> None:
    said = asked("--limit", text)
    assert isinstance(said, str) and says in " ".join(said.split())


@pytest.mark.parametrize(
    "options",
    [
        ("--port", "65536"), ("--port", "-1"), ("--port", "http"), ("--grpc-port", "70000"), ("--workers", "-1"), ("--threads", "0"),
        ("--batch", "0"), ("--versions", "-1"), ("--tokens", "/nowhere/tokens.toml"), ("--tls-certificate", "/nowhere/c.pem"),
        ("--tls-key", "/"), ("--nonsense",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_is_no_option(asked: Callable[..., Settings | str], options: tuple[str, ...]) -> None:
    said = asked(*options)
    assert isinstance(said, str) and "Error: " in said


def test_defaults(asked: Callable[..., Settings | str], null_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = asked()
    assert settings == Settings(sources=(str(null_bundle),)), "the command's defaults are those of the settings"
    assert settings.host == "127.0.0.1"
    monkeypatch.setattr("roadworthy.serving.settings.usable_cores", lambda: 64)
    assert settings.processes == 8
    said = asked("--workers", "3")
    assert isinstance(said, Settings) and said.processes == 3


def test_names_and_origins_are_repeated(asked: Callable[..., Settings | str]) -> None:
    settings = asked("--allowed-host", "a.example", "--allowed-host", "b.example", "--cors", "https://c.example")
    assert isinstance(settings, Settings)
    assert settings.allowed_hosts == ("a.example", "b.example") and settings.cors == ("https://c.example",)


def test_every_setting_has_its_option() -> None:
    options = {option.name for option in serve.command.params if isinstance(option, click.Option)}
    assert {name for name in Settings.__dataclass_fields__ if name != "sources"} <= options


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    """A port that another socket listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def refused(*sources: Path, **options: object) -> RoadworthyError:
    """The error that ``serve_as`` begins and ends with."""
    with pytest.raises(RoadworthyError) as caught:
        server.serve_as(Settings(sources=tuple(map(str, sources)), **({"port": 0} | options)))  # type: ignore[arg-type]
    assert caught.value.message and "\n" not in caught.value.message and "Traceback" not in caught.value.message
    return caught.value


def test_what_only_the_machine_can_tell(null_bundle: Path, tmp_path: Path, taken: int) -> None:
    certificate = tmp_path / "c.pem"
    certificate.write_text("no certificate")
    tokens = tmp_path / "tokens.toml"
    tokens.write_text("[tokens")
    tokens.chmod(0o600)
    cases: tuple[tuple[dict[str, object], str], ...] = (
        ({"port": taken}, f"port {taken} at 127.0.0.1 is in use"),
        ({"management_port": taken}, "is in use"),
        ({"metrics_port": taken}, "is in use"),
        ({"grpc_port": taken}, "cannot be used for gRPC"),
        ({"host": "no.such.host.invalid"}, "not an address to listen at"),
        ({"certificate": str(certificate)}, "needs its private key"),
        ({"certificate": str(certificate), "key": str(certificate)}, "c.pem"),
        ({"key": str(certificate)}, "of no use without a certificate"),
        ({"client_ca": str(certificate)}, "of no use without a certificate"),
        ({"allowed_hosts": ("http://a.example",)}, "--allowed-host takes the name of a host alone"),
        ({"cors": ("a.example",)}, "--cors takes an origin"),
        ({"tokens": str(tokens)}, "is not a valid file of tokens"),
        ({"tokens": str(tmp_path / "none.toml")}, "the tokens cannot be read"),
    )
    for options, says in cases:
        problem = refused(null_bundle, **options)
        assert isinstance(problem, UsageError) and says in problem.message, options


def test_the_port_of_another_server_is_not_shared_with_it(null_bundle: Path) -> None:
    with sockets.reserve("127.0.0.1", 0) as holder:
        port = holder.getsockname()[1]
        assert "cannot be used for gRPC" in refused(null_bundle, grpc_port=port).message
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("127.0.0.1", port))
            worker.listen()
    with sockets.reserve("127.0.0.1", port):
        pass


def test_what_cannot_be_served(tmp_path: Path, null_bundle: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nowhere").message
    assert "nothing to serve" in refused().message
    assert isinstance(refused(), UsageError)


def test_a_real_process_says_one_sentence(cli: Cli, null_bundle: Path, taken: int, tmp_path: Path) -> None:
    for arguments, says in (
        ((null_bundle, "--port", str(taken)), "is in use"),
        ((null_bundle, "--port", "0", "--tls-client-ca", null_bundle / "manifest.json"), "of no use without a certificate"),
        ((tmp_path / "nowhere",), "nowhere"),
    ):
        done = cli("serve", *arguments, cwd=tmp_path)
        assert done.returncode == 2 and says in done.stderr, done.stderr
        assert not done.stdout and "Traceback" not in done.stderr
