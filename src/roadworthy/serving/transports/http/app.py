"""HTTP above the socket: which protocol a request is for, whether its caller may, and what every answer has in common."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import parse_qsl

import orjson

from roadworthy.core.errors import RequestError, TooLarge
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.observability import metrics
from roadworthy.serving.observability.logs import RequestLog
from roadworthy.serving.protocols import Call, NoSuchPath, Protocol, Reply, Right, WrongVerb, hints
from roadworthy.serving.protocols.torchserve.metrics import families
from roadworthy.serving.transports.http import browser_origin, compression
from roadworthy.serving.transports.http.auth import EVERYBODY, Access
from roadworthy.serving.transports.http.browser_origin import BrowserRules

if TYPE_CHECKING:
    from roadworthy.serving.observability.traces import Traces

EVERY_RIGHT: frozenset[Right] = frozenset(("open", "inference", "management", "metrics"))
METRICS = ("/metrics", "/monitoring/prometheus/metrics")
ASIDE = 64 * 1024
"""Bytes from which packing an answer is left to a thread; unpacking is from a 16th of it, as it may grow a thousandfold."""
ID_LENGTH = 128

log = logging.getLogger(__name__)


class ServerFault(RequestError):
    """Something here failed that no client can help."""

    status: ClassVar[int] = 500


class Request:
    """One request from the end of its head to its answer; ``reply`` is there as soon as the head alone earns a refusal."""

    __slots__ = ("begun", "headers", "id", "method", "path", "peer", "protocol", "query", "reply")

    def __init__(self, method: str, path: str, query: str, headers: Mapping[bytes, bytes], peer: str) -> None:
        self.method, self.path, self.query, self.headers, self.peer = method, path, query, headers, peer
        self.id = b""
        self.protocol: Protocol = NOBODY
        self.reply: Reply | None = None
        self.begun = 0.0
        """When its last byte came, by ``time.perf_counter``."""


class App:
    """What answers at one listener: protocols over one dataplane, for the ``rights`` that this listener is for.

    A route of another right is not there at all: that is how management gets a port of its own.
    """

    def __init__(
        self,
        plane: DataPlane,
        protocols: Sequence[Protocol],
        *,
        access: Access = EVERYBODY,
        rights: frozenset[Right] = EVERY_RIGHT,
        browser_rules: BrowserRules = browser_origin.ANY_HOST,
        requests: RequestLog | None = None,
        traces: Traces | None = None,
    ) -> None:
        self.plane, self.limits = plane, plane.limits
        self._protocols: tuple[Protocol, ...] = (*protocols, Exposition(plane))
        self._access, self._rights, self._requests, self._traces = access, rights, requests, traces
        self._browsers = browser_rules
        prefix = os.urandom(6).hex().encode()
        self._ids = (b"%b-%x" % (prefix, number) for number in itertools.count(1))

    def admit(self, request: Request) -> None:
        """Say whose the request is and, where its head alone is enough to refuse it, set its ``reply``; otherwise that is ``None``.

        For the caller to do before it reads the body: a page of another origin, a path that is not here, a caller who may not, a body
        that is too large or in a form that is not read.
        """
        headers = request.headers
        sent = headers.get(b"x-request-id")
        request.id = sent if sent and len(sent) <= ID_LENGTH else next(self._ids)
        request.protocol = self._owner(request.path)
        try:
            self._browsers.check_host(headers)
            if self._browsers.origins and request.method == "OPTIONS" and b"access-control-request-method" in headers:
                request.reply = self._browsers.preflight(headers)
                return
            self._browsers.check_origin(request.method, headers)
            right = request.protocol.right(request.method, request.path)
            if right not in self._rights:
                request.protocol = NOBODY
                raise NoSuchPath("Not Found")
            self._access.allows(headers.get(b"authorization"), right)
            if (length := headers.get(b"content-length")) is not None and int(length) > self.limits.body:
                raise TooLarge(f"the body has more than {self.limits.body} bytes, which is this server's limit")
            if (coding := headers.get(b"content-encoding")) is not None:
                compression.check(coding)
        except RequestError as problem:
            request.reply = refusal(request, problem)
        except Exception:
            request.reply = self._failed(request)

    async def answer(self, request: Request, body: bytes) -> Reply:
        """The protocol's answer. Nothing a client sends ends in anything but an answer."""
        headers = request.headers
        try:
            if body and (coding := headers.get(b"content-encoding")) is not None:
                body = await self._unpacked(body, coding)
            reply = await request.protocol.handle(Call(request.method, request.path, headers, body, request.query))
        except RequestError as problem:
            reply = refusal(request, problem)
        except Exception:
            reply = self._failed(request)
        if b"accept-encoding" in headers and len(reply.body) >= compression.LEAST:
            reply = await _packed(reply, headers[b"accept-encoding"])
        return reply

    def head(self, request: Request, reply: Reply) -> bytes:
        """The lines of an answer that follow its status line, without Date, Connection and the empty line that ends them."""
        if reply.status == 204:
            lines = b"x-request-id: %b\r\n" % request.id
        else:
            lines = b"content-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n" % (reply.content_type, len(reply.body), request.id)
        if reply.headers:
            lines += b"".join([b"%b: %b\r\n" % header for header in reply.headers if header[0] != b"x-request-id"])
        if reply.status in (429, 503) and not any(name == b"retry-after" for name, _ in reply.headers):
            lines += b"retry-after: 1\r\n"
        if self._browsers.origins and (origin := self._browsers.allowed_origin(request.headers)):
            lines += b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\nvary: origin\r\n" % (
                origin,
                browser_origin.EXPOSED,
            )
        return lines

    def answered(self, request: Request, reply: Reply) -> None:
        """Count an answer that was handed over (or, as 499, one its client did not wait for); log and trace it where that is wanted."""
        seconds = time.perf_counter() - request.begun if request.begun else 0.0
        self.plane.counters.answer(request.protocol.name, reply.model, str(reply.status), seconds)
        if self._requests is not None:
            self._requests.write(request, reply, seconds)
        if self._traces is not None:
            self._traces.answered(request, reply, seconds)

    def stray(self, peer: str) -> Request:
        """Stands for what was no request, so that its refusal is counted and logged like any other."""
        request = Request("", "", "", {}, peer)
        request.id = next(self._ids)
        return request

    def _owner(self, path: str) -> Protocol:
        for protocol in self._protocols:
            if protocol.owns(path):
                return protocol
        return NOBODY

    def _failed(self, request: Request) -> Reply:
        log.exception("no answer to %s %s", request.method, request.path, extra={"fields": {"request": request.id.decode("latin-1")}})
        return refusal(request, ServerFault("the server failed on this request; its log says how"))

    async def _unpacked(self, body: bytes, coding: bytes) -> bytes:
        if len(body) < ASIDE // 16:
            return compression.unpack(body, coding, self.limits.body)
        return await asyncio.to_thread(compression.unpack, body, coding, self.limits.body)


def refusal(request: Request, problem: RequestError) -> Reply:
    """``problem`` in the form of the request's protocol, with the headers that go with it."""
    reply = request.protocol.refuse(problem)
    there = {name for name, _ in reply.headers}
    missing = tuple(header for header in hints(problem) if header[0] not in there)
    if not missing:
        return reply
    return Reply(reply.status, reply.body, reply.content_type, (*reply.headers, *missing), reply.model)


async def _packed(reply: Reply, accept: bytes) -> Reply:
    """The answer as its client would rather have it; tensors in binary stay as they are, as they hardly shrink."""
    coding = compression.wanted(accept)
    if coding is None or reply.content_type == b"application/octet-stream" or any(name == b"content-encoding" for name, _ in reply.headers):
        return reply
    if len(reply.body) < ASIDE:
        body = compression.pack(reply.body, coding)
    else:
        body = await asyncio.to_thread(compression.pack, reply.body, coding)
    headers = (*reply.headers, (b"content-encoding", coding), (b"vary", b"accept-encoding"))
    return Reply(reply.status, body, reply.content_type, headers, reply.model)


class Nobody:
    """Answers for the paths that no protocol has."""

    name = "http"

    def owns(self, path: str) -> bool:
        """All that is left."""
        return True

    def right(self, method: str, path: str) -> Right:
        """Nothing to protect."""
        raise NoSuchPath("Not Found")

    async def handle(self, call: Call) -> Reply:
        """Never an answer."""
        raise NoSuchPath("Not Found")

    def refuse(self, problem: RequestError) -> Reply:
        """``{"error": sentence}`` with the status of ``problem``."""
        return Reply(problem.status, orjson.dumps({"error": problem.message}), headers=hints(problem))


NOBODY = Nobody()


class Exposition(Nobody):
    """The server's counters as Prometheus reads them, at the usual path and at TensorFlow Serving's."""

    name = "metrics"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def owns(self, path: str) -> bool:
        """Whether the path is one of the two."""
        return path in METRICS

    def right(self, method: str, path: str) -> Right:
        """Its own."""
        return "metrics"

    async def handle(self, call: Call) -> Reply:
        """The exposition, format 0.0.4, of the whole server; ``name[]`` in the query picks families, as TorchServe has it."""
        if call.method not in ("GET", "HEAD"):
            raise WrongVerb("Method Not Allowed", allow="GET, HEAD")
        totals = await self._plane.totals()
        names = frozenset(value for name, value in parse_qsl(call.query) if name == "name[]")
        text = metrics.text(totals, self._plane.catalogue, ready=self._plane.ready, others=families(totals), names=names)
        return Reply(200, text, content_type=metrics.CONTENT_TYPE)
