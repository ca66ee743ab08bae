"""The gRPC transport: rights, certificates, clients that are slow, silent, broken or gone, and what is counted."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest

from roadworthy.serving.protocols import proto
from roadworthy.serving.protocols.proto import inference
from support.servers.serving import Server
from support.waiting import HANG_SECONDS

OIP, HEALTH = "inference.GRPCInferenceService", "grpc.health.v1.Health"
SERVICES = (
    OIP,
    HEALTH,
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
    "org.pytorch.serve.grpc.inference.InferenceAPIsService",
    "org.pytorch.serve.grpc.management.ManagementAPIsService",
)
OPEN = {"ServerLive", "ServerReady", "Check", "Watch", "Ping"}
MANAGEMENT = {
    "RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload", "TraceSetting", "LogSettings", "HandleReloadConfigRequest",
    *(name for name in proto.rpcs(OIP) if "SharedMemory" in name), *proto.rpcs("org.pytorch.serve.grpc.management.ManagementAPIsService"),
}  # fmt: skip
NOT_SERVED = {"StreamPredictions2"}
Serve = Callable[..., Server]


def started(serve: Serve, *bundles: Path, **options: Any) -> str:
    """Where a new server listens for gRPC."""
    server = serve(*bundles, grpc_port=0, **options)
    server.wait_ready()
    return server.grpc_address


def live(channel: grpc.Channel, **options: Any) -> bool:
    """Whether the server answers."""
    answer = channel.unary_unary(f"/{OIP}/ServerLive")(b"", **{"timeout": HANG_SECONDS, "wait_for_ready": True} | options)
    return bool(inference.ServerLiveResponse.FromString(answer).live)


def code_of(channel: grpc.Channel, service: str, rpc: str, token: str | None = None) -> str:
    """How a call of ``rpc`` without content ends."""
    described = proto.rpcs(service)[rpc]
    kind = f"{'stream' if described.client_streams else 'unary'}_{'stream' if described.server_streams else 'unary'}"
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    call = getattr(channel, kind)(f"/{service}/{rpc}")
    try:
        answer = call(iter(()) if described.client_streams else b"", timeout=HANG_SECONDS, metadata=metadata)
        if described.server_streams:
            next(answer, None)
            answer.cancel()
    except grpc.RpcError as problem:
        return str(problem.code().name)
    return "OK"


@pytest.fixture
def guarded(serve: Serve, echo_bundle: Path, tmp_path: Path) -> Iterator[grpc.Channel]:
    """A server that wants tokens: ``looks`` may infer, ``rules`` manage."""
    tokens = {"tokens": {"looks": {"token": "looks", "rights": ["inference"]}, "rules": {"token": "rules", "rights": ["management"]}}}
    (file := tmp_path / "tokens.json").write_text(json.dumps(tokens))
    file.chmod(0o600)
    with grpc.insecure_channel(started(serve, echo_bundle, tokens=str(file))) as channel:
        yield channel


def test_every_method_wants_its_right(guarded: grpc.Channel) -> None:
    for service in SERVICES:
        for rpc in proto.rpcs(service):
            without, wrong = code_of(guarded, service, rpc), code_of(guarded, service, rpc, "guess")
            looks, rules = code_of(guarded, service, rpc, "looks"), code_of(guarded, service, rpc, "rules")
            if rpc in NOT_SERVED:
                assert {without, wrong, looks, rules} == {"UNIMPLEMENTED"}
                continue
            if rpc in OPEN:
                assert {without, wrong, looks, rules}.isdisjoint({"UNAUTHENTICATED", "PERMISSION_DENIED"}), rpc
                continue
            assert (without, wrong) == ("UNAUTHENTICATED", "UNAUTHENTICATED"), f"{service}/{rpc}"
            allowed, refused = (rules, looks) if rpc in MANAGEMENT else (looks, rules)
            assert refused == "PERMISSION_DENIED", f"{service}/{rpc}"
            assert allowed not in ("UNAUTHENTICATED", "PERMISSION_DENIED"), f"{service}/{rpc}"


def test_certificates_on_both_sides(serve: Serve, echo_bundle: Path, tmp_path: Path) -> None:
    key, certificate = self_signed(tmp_path, "server")
    their_key, theirs = self_signed(tmp_path, "client")
    address = started(serve, echo_bundle, certificate=str(certificate), key=str(key), client_ca=str(theirs)).replace(
        "127.0.0.1", "localhost"
    )
    server, client = certificate.read_bytes(), theirs.read_bytes()
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(server, their_key.read_bytes(), client)) as channel:
        assert live(channel)
    for refused in (grpc.ssl_channel_credentials(server), grpc.ssl_channel_credentials(server, key.read_bytes(), server)):
        with grpc.secure_channel(address, refused) as channel, pytest.raises(grpc.RpcError) as problem:
            live(channel, wait_for_ready=False)
        assert problem.value.code().name == "UNAVAILABLE"
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError):
        live(channel, wait_for_ready=False)


def self_signed(folder: Path, name: str) -> tuple[Path, Path]:
    """A key and a certificate for localhost that is its own authority."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl here to make certificates")
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(["openssl", "req", "-x509", *kind, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    return key, certificate


LIMITS = {"head_seconds": 1.0, "body_seconds": 0.5, "idle_seconds": 1.0, "send_seconds": 1.0, "connections": 20}


def test_a_request_that_does_not_come_is_given_up(serve: Serve, echo_bundle: Path) -> None:
    with grpc.insecure_channel(started(serve, echo_bundle, limits=LIMITS)) as channel:
        silent = channel.stream_unary(f"/{OIP}/ModelInfer").future(silence(done := threading.Event()))
        assert silent.code().name == "DEADLINE_EXCEEDED" and "0.5" in silent.details()
        assert live(channel)
        done.set()


def test_silent_broken_and_stopped_connections_are_closed(serve: Serve, echo_bundle: Path) -> None:
    address = started(serve, echo_bundle, limits=LIMITS, workers=1)
    host, port = address.split(":")
    for start in (b"", b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(range(200))):
        with socket.create_connection((host, int(port)), timeout=HANG_SECONDS) as silent:
            silent.sendall(start)
            assert ended(silent)
    stopped = subprocess.Popen([sys.executable, "-c", WATCHER, address], stdout=subprocess.PIPE)
    try:
        assert stopped.stdout and stopped.stdout.readline() == b"watching\n"
        stopped.send_signal(signal.SIGSTOP)
        # Who reads nothing of an answer is found out in the same way: pings go unanswered.
        wait_for_none(int(port))
    finally:
        stopped.kill()
        stopped.communicate()
    with grpc.insecure_channel(address) as channel:
        assert live(channel)
        wait_for_none(int(port))
        assert live(channel)


WATCHER = """
import sys, grpc
call = grpc.insecure_channel(sys.argv[1]).unary_stream("/grpc.health.v1.Health/Watch")(b"")
next(call)
print("watching", flush=True)
next(call)
"""


def test_connections_are_bounded(serve: Serve, echo_bundle: Path) -> None:
    address = started(serve, echo_bundle, limits=LIMITS | {"head_seconds": 30.0}, workers=1)
    host, port = address.split(":")
    sockets = [socket.create_connection((host, int(port))) for _ in range(60)]
    deadline = time.monotonic() + HANG_SECONDS
    while connected(int(port)) > LIMITS["connections"]:
        assert time.monotonic() < deadline, "more connections than allowed stay open"
        time.sleep(0.05)
    for each in sockets:
        each.close()
    with grpc.insecure_channel(address) as channel:
        assert live(channel)


def test_all_workers_listen_and_what_they_answer_is_counted_together(serve: Serve, echo_bundle: Path) -> None:
    server = serve(echo_bundle, grpc_port=0, workers=2)
    url = server.wait_ready()
    request = inference.ModelInferRequest(model_name="echo", raw_input_contents=[bytes(8)])
    request.inputs.add(name="x", datatype="FP32", shape=(1, 2))
    listening = {each.pid for each in psutil.net_connections("tcp") if each.status == "LISTEN" and each.laddr.port == port_of(server)}
    assert len(listening) == 2
    for _ in range(10):
        # A channel of its own connects anew, and the kernel chooses who gets it.
        with grpc.insecure_channel(server.grpc_address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            channel.unary_unary(f"/{OIP}/ModelInfer")(request.SerializeToString(), timeout=HANG_SECONDS)
            with pytest.raises(grpc.RpcError):
                channel.unary_unary(f"/{OIP}/ModelInfer")(b"", timeout=HANG_SECONDS)
    counted = httpx.get(f"{url}/metrics").text
    assert 'model="echo"' in counted
    assert sample(counted, "roadworthy_requests_total", 'model="echo"', 'code="OK"') == 10
    assert sample(counted, "roadworthy_requests_total", 'model=""', 'code="NOT_FOUND"') == 10


def test_a_failure_of_our_own_is_one_sentence_and_a_line_in_the_log() -> None:
    answered, errors = alone("", """
    try:
        await client.unary_unary("/inference.GRPCInferenceService/ModelStatistics")(b"")
    except grpc.RpcError as problem:
        print(problem.code().name, problem.details())
""")  # fmt: skip
    assert answered == "INTERNAL the server failed on this request; its log says how\n"
    assert "ZeroDivisionError: a secret" in errors


def test_without_grpcio_the_remedy_is_named() -> None:
    program = """
import asyncio
from roadworthy.core.errors import BackendMissing
from roadworthy.serving.transports import grpc
grpc.find_spec = lambda name: None
try:
    asyncio.run(grpc.start(None, 0, None))
except BackendMissing as problem:
    print(problem.message)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert "pip install 'roadworthy[grpc]'" in run.stdout, run.stderr


def test_management_that_has_a_port_of_its_own_is_not_answered_at_this_one(serve: Serve, echo_bundle: Path) -> None:
    with grpc.insecure_channel(started(serve, echo_bundle, management_port=0)) as channel:
        assert code_of(channel, OIP, "RepositoryIndex") == "UNIMPLEMENTED"
        assert live(channel)


def test_one_line_a_request() -> None:
    answered, errors = alone("log_requests=True", """
    print((await client.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"", metadata=(("x-request-id", "seven"),))).hex())
""")  # fmt: skip
    assert answered == "0801\n"
    (line,) = map(json.loads, errors.splitlines())
    assert (line["id"], line["path"], line["status"]) == ("seven", f"/{OIP}/ServerLive", "OK")


ALONE = """
import asyncio
import grpc
from roadworthy.serving.observability import logs
from roadworthy.serving.transports import grpc as transport
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.settings import Settings

async def fails(command=None):
    raise ZeroDivisionError("a secret")

async def ask(client):%s

async def main():
    logs.configure()
    server = await transport.start(Settings(sources=(), %s), 0, DataPlane(manage=fails, totals=fails, counters=Counters()))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as client:
        await ask(client)
    await server.stop(1)

asyncio.run(main())
"""


def alone(settings: str, ask: str) -> tuple[str, str]:
    """What a process prints that serves nothing by these settings, and asks itself; and what it logs."""
    run = subprocess.run([sys.executable, "-c", ALONE % (ask, settings)], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert run.returncode == 0, run.stderr
    return run.stdout, run.stderr


def silence(done: threading.Event) -> Iterator[bytes]:
    """A client that opens a call and says nothing."""
    done.wait(HANG_SECONDS)
    yield from ()


def ended(connection: socket.socket) -> bool:
    """Whether the other side ends it before the socket's time-out, whatever it says before."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def port_of(server: Server) -> int:
    """Its port for gRPC."""
    return int(server.grpc_address.rpartition(":")[2])


def connected(port: int) -> int:
    """Connections that are open at the server's side."""
    return sum(each.status == "ESTABLISHED" and each.laddr.port == port for each in psutil.net_connections("tcp"))


def wait_for_none(port: int) -> None:
    """Wait until the server has closed every connection."""
    deadline = time.monotonic() + HANG_SECONDS
    while connected(port):
        assert time.monotonic() < deadline, "the connection stays open"
        time.sleep(0.05)


def sample(exposition: str, name: str, *labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    lines = [line for line in exposition.splitlines() if line.startswith(name + "{") and all(label in line for label in labels)]
    return sum(float(line.rpartition(" ")[2]) for line in lines)
