"""One file a protocol: each turns a Call into a Reply, and knows the dataplane but no socket."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal
from typing import Protocol as Interface

from roadworthy.core.errors import RequestError, Unauthenticated, Unavailable

Right = Literal["open", "inference", "management", "metrics"]
"""What a route asks of who calls it: health is ``open``; the others need a token with that right where tokens are in use."""


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, its body whole. Header names are lower case; ``path`` is unquoted, ``query`` as it came, without the ``?``."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    body: bytes = b""
    query: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; ``model`` is for the metrics: a name that is served here, or empty."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    model: str = ""


class Protocol(Interface):
    """What a file in this folder defines, as a class that takes the dataplane."""

    name: str
    """How the metrics call it."""

    def owns(self, path: str) -> bool:
        """Whether the path is this protocol's."""

    def right(self, method: str, path: str) -> Right:
        """What the route asks of its caller. Asked before the body is read."""

    async def handle(self, call: Call) -> Reply:
        """The answer; a client's fault and a failing model are replies in the protocol's own form, never exceptions."""

    def refuse(self, problem: RequestError) -> Reply:
        """A refusal by the transport (too large, too slow, no right) in the protocol's own form."""


class NoSuchPath(RequestError):
    """Nothing answers at this path."""

    status = 404


class WrongVerb(RequestError):
    """The path is known, with another verb; ``allow`` names it."""

    status: ClassVar[int] = 405

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class UnsupportedBody(RequestError):
    """A body in a form that is not read here."""

    status = 415


class TooSlow(RequestError):
    """The request did not arrive in time."""

    status = 408


def hints(problem: RequestError) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that tell a client what to do about ``problem``; they are HTTP's own, and the same in every protocol's refusal."""
    match problem:
        case Unavailable():
            return ((b"retry-after", b"%d" % max(1, math.ceil(problem.after))),)
        case WrongVerb():
            return ((b"allow", problem.allow.encode()),)
        case Unauthenticated():
            return ((b"www-authenticate", b"Bearer"),)
    return ()


class NotOffered(RequestError):
    """Something that the protocol knows, and this server does not do."""

    status = 501
