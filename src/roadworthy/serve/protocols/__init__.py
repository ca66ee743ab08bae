"""One file a protocol: each turns a Call into a Reply, and knows the dataplane but no socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from typing import Protocol as Interface

from roadworthy.core.errors import RequestError


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, its body whole. Header names are lower case."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; ``model`` (only ever one that is served here) and ``samples`` are for the metrics."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    model: str = ""
    samples: int = 0


class Protocol(Interface):
    """What a file in this folder defines, as a class that takes the dataplane."""

    def owns(self, path: str) -> bool:
        """Whether the path is this protocol's."""

    async def handle(self, call: Call) -> Reply:
        """The answer; a client's fault and a failing model are replies in the protocol's own form, never exceptions."""

    def refuse(self, problem: RequestError) -> Reply:
        """A refusal by the transport (too large, too slow) in the protocol's own form."""


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
    """The body did not arrive in time."""

    status = 408
