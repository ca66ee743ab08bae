"""HTTP above the connection: the route of a request, whether its caller may use it, and what every answer has in common."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from roadworthy.core.errors import RequestError, TooLarge
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.observability.logs import RequestLog
from roadworthy.serving.protocols.messages import RIGHTS, NoSuchPath, Reply, Request, Right, ServerFault
from roadworthy.serving.protocols.routes import HttpProtocol, Router, refusal
from roadworthy.serving.transports.http import browser_origin, compression
from roadworthy.serving.transports.http.auth import NO_TOKENS, Access
from roadworthy.serving.transports.http.browser_origin import BrowserRules

if TYPE_CHECKING:
    from roadworthy.serving.observability.traces import Traces

IN_THREAD = 64 * 1024
"""Bytes from which an answer is compressed in a thread. Decompression is from a 16th of it: a body may grow a thousandfold."""
ID_LENGTH = 128
"""Bytes of an X-Request-Id that a client may choose."""

log = logging.getLogger(__name__)


class App:
    """What answers at one listener: the routes of ``protocols`` that ask for one of ``rights``.

    A route of another right does not exist there: that is how management gets a port of its own.
    """

    def __init__(
        self,
        plane: DataPlane,
        protocols: Iterable[HttpProtocol],
        *,
        access: Access = NO_TOKENS,
        rights: frozenset[Right] = RIGHTS,
        browser_rules: BrowserRules = browser_origin.ANY_HOST,
        requests: RequestLog | None = None,
        traces: Traces | None = None,
    ) -> None:
        self.plane, self.limits = plane, plane.limits
        self._router = Router(plane, protocols)
        self._access, self._rights, self._requests, self._traces = access, rights, requests, traces
        self._browsers = browser_rules
        prefix = os.urandom(6).hex().encode()
        self._ids = (b"%b-%x" % (prefix, number) for number in itertools.count(1))

    def admit(self, request: Request) -> None:
        """Find the request's route and, where its head is enough to refuse it, set its ``reply``.

        To be called before the body is read. Refused are names that are not this server's, pages of other origins, unknown paths,
        callers without the right, and bodies that are too large or in a form that is not read here.
        """
        headers = request.headers
        sent = headers.get(b"x-request-id")
        request.id = sent if sent and len(sent) <= ID_LENGTH else next(self._ids)
        try:
            request.reply = self._admit(request)
        except RequestError as problem:
            request.reply = refusal(request, problem)
        except Exception:
            request.reply = self._failed(request)

    def _admit(self, request: Request) -> Reply | None:
        headers = request.headers
        unroutable: RequestError | None = None
        try:
            self._router.find(request)
        except RequestError as problem:
            # Only after the origin and the right: who may not ask does not learn what there is.
            unroutable = problem
        self._browsers.check_host(headers)
        if self._browsers.origins and request.method == "OPTIONS" and b"access-control-request-method" in headers:
            return self._browsers.preflight(headers)
        self._browsers.check_origin(request.method, headers)
        if request.right is not None:
            if request.right not in self._rights:
                request.protocol, request.template = None, ""
                raise NoSuchPath("Not Found")
            self._access.allows(headers.get(b"authorization"), request.right)
        if unroutable is not None:
            raise unroutable
        if (length := headers.get(b"content-length")) is not None and int(length) > self.limits.body:
            raise TooLarge(f"the body has more than {self.limits.body} bytes, which is this server's limit")
        if (coding := headers.get(b"content-encoding")) is not None:
            compression.check(coding)
        return None

    async def answer(self, request: Request) -> Reply:
        """The answer of an admitted request. It raises nothing but CancelledError, whatever the client sent."""
        headers = request.headers
        try:
            if request.body and (coding := headers.get(b"content-encoding")) is not None:
                request.body = await self._decompressed(request.body, coding)
            reply = await self._router.answer(request)
        except RequestError as problem:
            reply = refusal(request, problem)
        except Exception:
            reply = self._failed(request)
        if b"accept-encoding" in headers and len(reply.body) >= compression.LEAST:
            reply = await _compressed(reply, headers[b"accept-encoding"])
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
        """Count an answer that was written (or, as 499, one that its client did not wait for); log and trace it where that is on."""
        seconds = time.perf_counter() - request.begun if request.begun else 0.0
        self.plane.counters.answer(request.protocol_name, request.model, str(reply.status), seconds)
        if self._requests is not None:
            self._requests.write(request, reply, seconds)
        if self._traces is not None:
            self._traces.answered(request, reply, seconds)

    def unknown_request(self, peer: str) -> Request:
        """In place of bytes that are not a request, so that their refusal is counted and logged like any other."""
        return Request("", "", peer=peer, id=next(self._ids))

    def _failed(self, request: Request) -> Reply:
        log.exception("no answer to %s %s", request.method, request.path, extra={"fields": {"request": request.id.decode("latin-1")}})
        return refusal(request, ServerFault("the server failed on this request; its log says how"))

    async def _decompressed(self, body: bytes, coding: bytes) -> bytes:
        if len(body) < IN_THREAD // 16:
            return compression.decompress(body, coding, self.limits.body)
        return await asyncio.to_thread(compression.decompress, body, coding, self.limits.body)


async def _compressed(reply: Reply, accept: bytes) -> Reply:
    """The answer in a coding that the client accepts. Binary tensors stay as they are: they hardly shrink."""
    coding = compression.wanted(accept)
    if coding is None or reply.content_type == b"application/octet-stream" or any(name == b"content-encoding" for name, _ in reply.headers):
        return reply
    if len(reply.body) < IN_THREAD:
        body = compression.compress(reply.body, coding)
    else:
        body = await asyncio.to_thread(compression.compress, reply.body, coding)
    headers = (*reply.headers, (b"content-encoding", coding), (b"vary", b"accept-encoding"))
    return Reply(reply.status, body, reply.content_type, headers)
