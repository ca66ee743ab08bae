"""What every HTTP protocol reads and writes: a Request, a Reply, and the errors that only HTTP has."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

import orjson

from roadworthy.core.errors import RequestError, Unauthenticated, Unavailable

Right = Literal["open", "inference", "management", "metrics"]
"""What a route asks of its caller. ``open`` asks for nothing; the others need a token with that right on a server that has tokens."""

RIGHTS: frozenset[Right] = frozenset(("open", "inference", "management", "metrics"))

NO_PROTOCOL = "http"
"""The name, in metrics, logs and traces, of requests for a path that no protocol has."""

Headers = tuple[tuple[bytes, bytes], ...]


class RefusalForm(Protocol):
    """What a protocol is to the transport: its name, and the form of its refusals."""

    @property
    def name(self) -> str:
        """What metrics, logs and traces call it."""

    def refuse(self, request: Request, problem: RequestError) -> Reply:
        """A refusal in the protocol's own form: by a route, by the router, or by the transport (too large, too slow, no right)."""


@dataclass(slots=True)
class Request:
    """One HTTP request, from the end of its head to its answer.

    The first five fields are what the client sent: ``path`` is unquoted, ``query`` as it came and without the ``?``, header names are
    lower case. The router sets the fields of the second group, the transport those of the third.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    """A long one is a bytearray."""

    protocol: RefusalForm | None = None
    """Whose path it is; ``None`` for a path that no protocol has."""
    template: str = ""
    """The path of the route, ``/v2/models/{model}``; empty for a path that no route has."""
    right: Right | None = None
    """What the path's routes ask of the caller; ``None`` for a path that no route has."""
    handle: Handler | None = None
    """What gives the answer; ``None`` without a route for the path and the method."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The values of the template's placeholders, here the model's name."""
    model: str = ""
    """A model that is served here, for metrics, logs and traces. A client cannot make up more of them."""

    peer: str = ""
    """The client's address and port."""
    id: bytes = b""
    reply: Reply | None = None
    """The refusal of a request whose head is enough to refuse it."""
    begun: float = 0.0
    """When its last byte came, by ``time.perf_counter``."""

    @property
    def protocol_name(self) -> str:
        """What metrics, logs and traces call the protocol."""
        return self.protocol.name if self.protocol is not None else NO_PROTOCOL


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: Headers = ()


Handler = Callable[[Request], Awaitable[Reply]]
"""What gives the answer to a request, or raises the RequestErrors that the protocol's ``refuse`` words."""


class NoSuchPath(RequestError):
    """No route has this path."""

    status = 404


class WrongMethod(RequestError):
    """The path has routes, for the methods in ``allow`` (as the header Allow lists them)."""

    status: ClassVar[int] = 405

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class UnsupportedBody(RequestError):
    """The body is in a form that is not read here."""

    status = 415


class TooSlow(RequestError):
    """The request did not arrive in time."""

    status = 408


class NotOffered(RequestError):
    """The protocol has this, and this server does not."""

    status = 501


class ServerFault(RequestError):
    """This server failed, on a request that may be valid."""

    status = 500


class ModelFailed(RequestError):
    """The model failed, on inputs that fit its signature."""

    status = 500


def error_json(problem: RequestError) -> Reply:
    """``{"error": sentence}`` with the status of ``problem``: the refusal of every protocol that prescribes no other."""
    return Reply(problem.status, orjson.dumps({"error": problem.message}))


def hints(problem: RequestError) -> Headers:
    """The headers that tell a client what to do about ``problem``. They are HTTP's, so every protocol's refusal has them."""
    match problem:
        case Unavailable():
            return ((b"retry-after", b"%d" % max(1, math.ceil(problem.after))),)
        case WrongMethod():
            return ((b"allow", problem.allow.encode()),)
        case Unauthenticated():
            return ((b"www-authenticate", b"Bearer"),)
    return ()
