"""HTTP as a raw ASGI application: reads a request within its limits, hands it to a protocol, counts the answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import orjson

from roadworthy.core.errors import RequestError, TooLarge
from roadworthy.serve.dataplane import DataPlane
from roadworthy.serve.limits import Limits
from roadworthy.serve.metrics import Metrics
from roadworthy.serve.protocols import Call, Protocol, Reply, TooSlow, UnsupportedBody

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger(__name__)


class App:
    """The ASGI application of one server."""

    def __init__(self, plane: DataPlane, protocols: Sequence[Protocol], metrics: Metrics, limits: Limits) -> None:
        self._plane, self._protocols, self._metrics, self._limits = plane, tuple(protocols), metrics, limits

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request. Nothing a client sends ends in anything but an answer."""
        begun = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            reply = await self._reply(scope, headers, receive)
        except Exception:
            log.exception("no answer to %s %s", scope["method"], scope["path"])
            reply = Reply(500, orjson.dumps({"error": "the server failed on this request; its log says how"}))
        if reply is None:
            return
        start = [(b"content-type", reply.content_type), (b"content-length", str(len(reply.body)).encode()), *reply.headers]
        # A client that waits for "100 Continue" has not sent its body, and would send the next request in its place.
        if self._plane.draining or (reply.status >= 400 and b"expect" in headers):
            start.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": start})
        await send({"type": "http.response.body", "body": reply.body})
        self._metrics.count(reply.model, reply.status, time.perf_counter() - begun, reply.samples)

    async def _reply(self, scope: Message, headers: Mapping[bytes, bytes], receive: Receive) -> Reply | None:
        """The answer, or ``None`` when the client has gone."""
        path, method = scope["path"], scope["method"]
        if path == "/metrics" and method in ("GET", "HEAD"):
            return Reply(200, self._metrics.text(), content_type=self._metrics.content_type)
        for protocol in self._protocols:
            if protocol.owns(path):
                break
        else:
            return Reply(
                405 if path == "/metrics" else 404, orjson.dumps({"error": "Method Not Allowed" if path == "/metrics" else "Not Found"})
            )
        try:
            body = b"" if method in ("GET", "HEAD") else await self._body(headers, receive)
        except RequestError as problem:
            return protocol.refuse(problem)
        return None if body is None else await protocol.handle(Call(method, path, headers, body))

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes | None:
        """The whole body, or ``None`` when the client has gone; raises TooLarge, TooSlow or UnsupportedBody."""
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise UnsupportedBody("a compressed body is not read here; send it as it is, without Content-Encoding")
        limit = self._limits.body
        if int(headers.get(b"content-length", b"0")) > limit:
            raise TooLarge(f"the body has more than {limit} bytes, which is this server's limit")
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    size += len(message["body"])
                    if size > limit:
                        raise TooLarge(f"the body has more than {limit} bytes, which is this server's limit")
                    pieces.append(message["body"])
                    if not message["more_body"]:
                        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
        except TimeoutError:
            raise TooSlow(f"the body did not arrive within {self._limits.body_seconds:.0f} s") from None
