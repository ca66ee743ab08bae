"""The messages between the supervisor and its worker processes, and the channel that carries them: each message has a reply, both ways."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from roadworthy.core import errors
from roadworthy.serving.engine import background
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.registry.catalogue import Catalogue
from roadworthy.serving.registry.commands import AnyCommand
from roadworthy.serving.settings import Settings

LOG = logging.getLogger(__name__)


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The first message to a new worker: the settings of the server, the worker's index, and the port of gRPC, if any."""

    settings: Settings
    index: int
    grpc_port: int | None = None


class UpdateCatalogue(msgspec.Struct, frozen=True, tag=True):
    """Route requests by this catalogue from now on: opened versions that are ready in it answer, and those that are not are closed."""

    catalogue: Catalogue
    opened: bool = True


class DiscardVersion(msgspec.Struct, frozen=True, tag=True):
    """Close a version that was opened and does not answer yet."""

    name: str
    version: str


class GetCounters(msgspec.Struct, frozen=True, tag=True):
    """To a worker: its own counters. To the supervisor: the sum over all workers."""


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """A worker is alive; ``sick`` is the reason why it asks to be replaced, if it does."""

    counters: Counters
    sick: str = ""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Report not ready, and close each connection after its response. With ``finish``: accept no more, answer what was accepted, exit."""

    finish: bool = False


class Done(msgspec.Struct, frozen=True, tag=True):
    """The reply that carries nothing."""


class ErrorReply(msgspec.Struct, frozen=True, tag=True):
    """One of our errors, by the name of its class in ``core.errors``; ``after`` is that of Unavailable."""

    kind: str
    message: str
    after: float | None = None


Body = (
    Hello
    | OpenVersion
    | VersionOpened
    | UpdateCatalogue
    | DiscardVersion
    | GetCounters
    | Counters
    | Heartbeat
    | Drain
    | Done
    | ErrorReply
    | AnyCommand
)

_ENCODER = msgspec.msgpack.Encoder()
_BODIES: msgspec.msgpack.Decoder[Body] = msgspec.msgpack.Decoder(Body)
_FRAME = struct.Struct("<IIB")
"""Precedes each body: its length in bytes, the number of the request, and whether the body is the reply."""

MAX_BODY_BYTES = 2**28
"""A larger length is an error of the sender; the counters of thousands of models are a hundredth of it."""


class ChannelClosed(errors.Unavailable):
    """The process at the other end has ended, or the channel to it was closed."""


class Channel:
    """One end of the socket. ``answer`` is called for each request of the other end; a RoadworthyError is sent back and raised there."""

    def __init__(self, answer: Callable[[Body], Awaitable[Body]]) -> None:
        self._answer = answer
        self._pending: dict[int, asyncio.Future[Body]] = {}
        self._number = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, end: socket.socket) -> None:
        """Use ``end``, a connected socket; requests can be sent from now on."""
        self._reader, self._writer = await asyncio.open_unix_connection(sock=end)

    async def serve(self) -> None:
        """Read until the other end closes; every request that has no reply by then fails with ChannelClosed."""
        reader = self._reader
        assert reader is not None, "opened"
        try:
            while True:
                length, number, is_answer = _FRAME.unpack(await reader.readexactly(_FRAME.size))
                if length > MAX_BODY_BYTES:
                    raise ValueError(f"a body of {length} bytes")
                body = _BODIES.decode(await reader.readexactly(length))
                if is_answer:
                    if (future := self._pending.pop(number, None)) and not future.done():
                        future.set_result(body)
                else:
                    background.start(self._reply(number, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except (ValueError, RecursionError) as problem:
            LOG.error("a message from another process of the server cannot be decoded (%s); the channel to it is closed", problem)
        finally:
            self.close()

    async def ask(self, body: Body) -> Body:
        """The reply of the other end; raises the error that it raised, or ChannelClosed."""
        self._number += 1
        number = self._number
        future: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        try:
            self._send(number, False, body)
            answer = await future
        finally:
            self._pending.pop(number, None)
        if isinstance(answer, ErrorReply):
            raise raised(answer)
        return answer

    def close(self) -> None:
        """Send nothing more; requests without a reply fail with ChannelClosed."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for future in self._pending.values():
            if not future.done():
                future.set_exception(ChannelClosed("a process of the server ended before it replied; try again"))
        self._pending.clear()

    def _send(self, number: int, is_answer: bool, body: Body) -> None:
        if self._writer is None or self._writer.is_closing():
            raise ChannelClosed("a process of the server is not running at the moment; try again")
        data = _ENCODER.encode(body)
        self._writer.write(_FRAME.pack(len(data), number, is_answer) + data)

    async def _reply(self, number: int, body: Body) -> None:
        try:
            answer = await self._answer(body)
        except errors.RoadworthyError as problem:
            answer = ErrorReply(_kind(problem), problem.message, getattr(problem, "after", None))
        except Exception as problem:
            LOG.exception("%s failed", type(body).__name__)
            answer = ErrorReply(
                "StepFailed", f"the server failed at {type(body).__name__} ({type(problem).__name__}); the server's log has the traceback"
            )
        with suppress(ChannelClosed):
            self._send(number, True, answer)


def _kind(problem: errors.RoadworthyError) -> str:
    """The name of the problem's class in ``core.errors``, or of its nearest base class there."""
    name: str = next(kind.__name__ for kind in type(problem).__mro__ if getattr(errors, kind.__name__, None) is kind)
    return name


def raised(problem: ErrorReply) -> errors.RoadworthyError:
    """The error that ``problem`` describes; a RoadworthyError where ``core.errors`` has no class of that name."""
    kind = getattr(errors, problem.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, errors.RoadworthyError)):
        return errors.RoadworthyError(problem.message)
    if issubclass(kind, errors.Unavailable) and problem.after is not None:
        return kind(problem.message, after=problem.after)
    return kind(problem.message)
