"""gRPC: reads a call within its limits, gives it to a protocol's service, maps errors to codes, counts the answer.

Every method is registered with grpc.aio as a streaming one, which is the same on the wire. So this module reads the request itself:
after it has checked the caller's right, with a time limit, and with INVALID_ARGUMENT for bytes that are not the message, where grpc
would answer INTERNAL. An idle server uses no CPU, and HTTP on the same event loop is not slowed down.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roadworthy.core.errors import BackendMissing, InvalidRequest, RequestError, Unavailable, UsageError
from roadworthy.serving.engine.dataplane import DataPlane, InferenceFailed
from roadworthy.serving.limits import ServerLimits
from roadworthy.serving.observability.logs import REQUESTS
from roadworthy.serving.protocols import proto
from roadworthy.serving.protocols.grpc_health import HealthService
from roadworthy.serving.protocols.messages import NotOffered, Right, TooSlow
from roadworthy.serving.protocols.oip.grpc import InferenceService
from roadworthy.serving.protocols.proto.grpc_service import Caller, Method, Service
from roadworthy.serving.protocols.tfserving.grpc import ModelService, PredictionService
from roadworthy.serving.protocols.torchserve import grpc as torchserve_grpc
from roadworthy.serving.settings import Settings
from roadworthy.serving.transports.http import auth, listeners

if TYPE_CHECKING:
    from roadworthy.serving.observability.traces import Traces

LOG = logging.getLogger(__name__)

CODES = {
    401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 405: "UNIMPLEMENTED", 408: "DEADLINE_EXCEEDED",
    409: "FAILED_PRECONDITION", 413: "RESOURCE_EXHAUSTED", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
"""gRPC's codes by the HTTP status of a RequestError; INVALID_ARGUMENT for any other."""

SENTENCE = 2000
"""Bytes of a refusal's message. It is sent in headers, where a byte that is not ASCII takes three, and clients accept 8 KiB of headers. A
message may repeat a long name that a client sent."""


@dataclass(frozen=True)
class GrpcServer:
    """A server that listens at ``port``."""

    port: int
    _server: Any
    _stopping: asyncio.Event

    async def stop(self, grace: float) -> None:
        """Accept nothing new and answer what was accepted; what is not answered after ``grace`` seconds is aborted."""
        self._stopping.set()
        await self._server.stop(grace)


def check() -> None:
    """Raises BackendMissing without the packages that gRPC needs; it does not import them."""
    if not all(map(find_spec, ("grpc", "google"))) or find_spec("google.protobuf") is None:
        raise BackendMissing("gRPC needs grpcio and protobuf; install them with: pip install 'roadworthy[grpc]'")


async def start(settings: Settings, port: int, plane: DataPlane, traces: Traces | None = None) -> GrpcServer:
    """Serve every gRPC protocol at ``settings.host`` on the running event loop; several processes may share a port that is not 0.

    Raises BackendMissing as ``check`` does, UsageError for an address or certificates that cannot be used.
    """
    check()
    import grpc
    import grpc.aio

    stopping = asyncio.Event()
    server = grpc.aio.server(options=_options(plane.limits))
    tokens = auth.read_tokens(Path(settings.tokens)) if settings.tokens else auth.NO_TOKENS
    rights = listeners.listeners_of(settings)[0].rights
    for service in services(plane):
        known = proto.rpcs(service.name)
        methods = {
            name: _Answering(service, known[name], method, plane, tokens, rights, settings.log_requests, traces, stopping).handler()
            for name, method in service.methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.name, methods),))
    address = f"[{settings.host}]:{port}" if ":" in settings.host else f"{settings.host}:{port}"
    try:
        credentials = _credentials(settings)
        bound = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    except RuntimeError as problem:
        raise UsageError(f"gRPC cannot listen at {address}: the address is in use, or the certificates cannot be used") from problem
    await server.start()
    return GrpcServer(bound, server, stopping)


def services(plane: DataPlane) -> Iterator[Service]:
    """Every service, over one dataplane."""
    yield InferenceService(plane).service()
    yield PredictionService(plane).service()
    yield ModelService(plane).service()
    yield from torchserve_grpc.services(plane)
    yield HealthService(plane).service()


def _options(limits: ServerLimits) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", limits.body),
        ("grpc.max_send_message_length", -1),
        ("grpc.absolute_max_metadata_size", limits.head),
        ("grpc.max_metadata_size", limits.head),
        ("grpc.max_concurrent_streams", limits.pending),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", round(limits.head_seconds * 1000)),
        ("grpc.max_connection_idle_ms", round(limits.idle_seconds * 1000)),
        # A client that is gone, or reads nothing, does not answer pings either.
        ("grpc.keepalive_time_ms", round(limits.send_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", round(limits.send_seconds * 1000)),
        ("grpc.http2.ping_timeout_ms", round(limits.send_seconds * 1000)),
        # Clients may ping too; grpc's default would cut them off after three in five minutes.
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _credentials(settings: Settings) -> Any:
    """grpc's own form of the certificates; ``None`` without any."""
    import grpc

    if settings.certificate is None or settings.key is None:
        return None
    try:
        pair = Path(settings.key).read_bytes(), Path(settings.certificate).read_bytes()
        clients = Path(settings.client_ca).read_bytes() if settings.client_ca else None
    except OSError as problem:
        raise UsageError(f"TLS needs {problem.filename}, which cannot be read: {problem.strerror}") from problem
    return grpc.ssl_server_credentials([pair], root_certificates=clients, require_client_auth=clients is not None)


@dataclass(frozen=True)
class _Refusal:
    """How a call ends that is refused."""

    code: str
    sentence: str
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Answering:
    """One RPC, as grpc.aio calls it."""

    service: Service
    rpc: proto.Rpc
    method: Method
    plane: DataPlane
    tokens: auth.Access
    rights: frozenset[Right]
    log_requests: bool
    traces: Traces | None
    stopping: asyncio.Event

    def handler(self) -> Any:
        """For grpc's table of methods."""
        import grpc

        if self.rpc.server_streams:
            return grpc.stream_stream_rpc_method_handler(self._streamed)
        return grpc.stream_unary_rpc_method_handler(self._single)

    async def _single(self, _: Any, context: Any) -> bytes:
        caller = _caller(context)
        return await self._finished(self._answer(caller, context), caller, context) or b""

    async def _streamed(self, _: Any, context: Any) -> None:
        caller = _caller(context)
        await self._finished(self._stream(caller, context), caller, context)

    async def _finished(self, work: Coroutine[Any, Any, bytes | None], caller: Caller, context: Any) -> bytes | None:
        """The result of ``work``. Its failure ends the call with a code and one sentence. Both are counted."""
        import grpc

        begun = time.perf_counter()
        code = "OK"
        try:
            return await work
        except asyncio.CancelledError:
            # The client is gone or its deadline is over: grpc cancels the call in both cases.
            code = "DEADLINE_EXCEEDED" if caller.deadline is not None and time.monotonic() >= caller.deadline else "CANCELLED"
            raise
        except Exception as problem:
            refusal = _refusal(problem, self.rpc)
            code = refusal.code
        finally:
            self._count(caller, code, time.perf_counter() - begun, context)
        return await context.abort(grpc.StatusCode[refusal.code], refusal.sentence, refusal.metadata)  # type: ignore[no-any-return]

    def _count(self, caller: Caller, code: str, seconds: float, context: Any) -> None:
        model = caller.model if self.plane.serves(caller.model) else ""
        self.plane.counters.answer(self.service.protocol, model, code, seconds)
        if self.log_requests:
            fields = {
                "id": caller.metadata.get("x-request-id", ""),
                "protocol": self.service.protocol,
                "method": self.rpc.name,
                "path": f"/{self.service.name}/{self.rpc.name}",
                "model": model,
                "status": code,
                "ms": round(seconds * 1000, 3),
                "client": context.peer(),
            }
            REQUESTS.info("answered", extra={"fields": fields})
        if self.traces is not None:
            path = f"{self.service.name}/{self.rpc.name}"
            self.traces.called(self.service.protocol, path, caller, model, code, context.peer(), seconds)

    async def _answer(self, caller: Caller, context: Any) -> bytes:
        self._admit(caller)
        given = self._messages(context) if self.rpc.client_streams else await self._message(context)
        answer: bytes = (await self.method(given, caller)).SerializeToString()
        return answer

    async def _stream(self, caller: Caller, context: Any) -> None:
        self._admit(caller)
        given = self._messages(context) if self.rpc.client_streams else await self._message(context)
        async with aclosing(self.method(given, caller)) as responses:
            async for response in responses:
                await self._write(response.SerializeToString(), context)

    async def _write(self, data: bytes, context: Any) -> None:
        """One answer of a stream; raises TooSlow where the client does not take it."""
        seconds = self.plane.limits.send_seconds
        try:
            async with asyncio.timeout(seconds):
                await context.write(data)
        except TimeoutError:
            raise TooSlow(f"the answer was not taken within {seconds:g} s") from None

    def _admit(self, caller: Caller) -> None:
        """Raises NotOffered for a right that has an HTTP port of its own, and Unauthenticated or Forbidden."""
        right = self.service.right(self.rpc.name)
        if right not in self.rights:
            raise NotOffered(f"the right {right} has a port of its own on this server, which is an HTTP port")
        self.tokens.allows(caller.metadata.get("authorization"), right)

    async def _message(self, context: Any) -> Any:
        """The request of a client that sends one; raises TooSlow where it does not come."""
        from grpc.aio import EOF

        seconds = self.plane.limits.body_seconds
        try:
            async with asyncio.timeout(seconds):
                data = await context.read()
        except TimeoutError:
            raise TooSlow(f"the request did not arrive within {seconds:g} s") from None
        if data is EOF:
            raise InvalidRequest(f"the call ended without a {self.rpc.request.DESCRIPTOR.full_name}")
        return proto.parse(self.rpc.request, data)

    async def _messages(self, context: Any) -> AsyncIterator[Any]:
        """The requests of a client that streams, until it ends the stream or this server shuts down."""
        from grpc.aio import EOF

        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            while True:
                reading = asyncio.ensure_future(context.read())
                try:
                    await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not reading.done():
                        reading.cancel()
                if not reading.done() or reading.cancelled() or (data := reading.result()) is EOF:
                    return
                yield proto.parse(self.rpc.request, data)
        finally:
            stopping.cancel()


def _caller(context: Any) -> Caller:
    left = context.time_remaining()
    metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    return Caller(metadata, None if left is None else time.monotonic() + left)


def _refusal(problem: Exception, rpc: proto.Rpc) -> _Refusal:
    if isinstance(problem, RequestError):
        # gRPC clients with a retry policy wait so long.
        after = (("grpc-retry-pushback-ms", str(round(problem.after * 1000))),) if isinstance(problem, Unavailable) else ()
        return _Refusal(CODES.get(problem.status, "INVALID_ARGUMENT"), _cut(problem.message), after)
    if isinstance(problem, InferenceFailed):
        return _Refusal("INTERNAL", _cut(problem.message))
    LOG.error("no answer to %s/%s", rpc.service, rpc.name, exc_info=problem)
    return _Refusal("INTERNAL", "the server failed on this request; its log says how")


def _cut(sentence: str) -> str:
    """As much of it as a client accepts."""
    return sentence.encode("utf-8", "replace")[:SENTENCE].decode("utf-8", "ignore")
