"""What the supervisor and its workers say to each other, over one socket a worker: questions with answers, both ways."""

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
from roadworthy.serving.engine.batch_plan import Plan
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.registry.catalogue import Catalogue
from roadworthy.serving.registry.commands import AnyCommand
from roadworthy.serving.settings import Settings

LOG = logging.getLogger(__name__)


class Hello(msgspec.Struct, frozen=True, tag=True):
    """To a new worker, first of all: how the server is set up, which of the workers it is, and the port of gRPC, if any."""

    settings: Settings
    index: int
    grpc_port: int | None = None


class Open(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Open this bundle and let it prove itself, but let it answer nobody yet. Without a ``plan`` one is measured; with a
    ``digest`` the bundle has to be the one whose manifest has that SHA-256."""

    name: str
    version: str
    path: str
    plan: Plan | None = None
    digest: str | None = None


class Opened(msgspec.Struct, frozen=True, tag=True):
    """It has; ``notes`` say what differs from what was certified."""

    plan: Plan
    digest: str
    notes: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True, tag=True):
    """From now on answer by this catalogue: what was opened and is ready in it joins, what is not ready in it any more retires."""

    catalogue: Catalogue
    opened: bool = True


class Forget(msgspec.Struct, frozen=True, tag=True):
    """Give up what was opened and does not answer yet."""

    name: str
    version: str


class Count(msgspec.Struct, frozen=True, tag=True):
    """To a worker: what did you count? To the supervisor: what did all workers count?"""


class Beat(msgspec.Struct, frozen=True, tag=True):
    """A worker is alive; ``sick`` says why it wants to be replaced."""

    counters: Counters
    sick: str = ""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Be not ready, and say goodbye with every answer; ``finish`` also: take no more, answer what is in hand, and end."""

    finish: bool = False


class Done(msgspec.Struct, frozen=True, tag=True):
    """It is done."""


class Problem(msgspec.Struct, frozen=True, tag=True):
    """One of our errors, by the name of its class in ``core.errors``; ``after`` is that of Unavailable."""

    kind: str
    message: str
    after: float | None = None


Body = Hello | Open | Opened | Route | Forget | Count | Counters | Beat | Drain | Done | Problem | AnyCommand

_ENCODER = msgspec.msgpack.Encoder()
_BODIES: msgspec.msgpack.Decoder[Body] = msgspec.msgpack.Decoder(Body)
_FRAME = struct.Struct("<IIB")
"""Before each body: its length, the number of the question, and whether it is the answer."""

MOST_BYTES = 2**28
"""What claims to be longer is no body; counters of thousands of models are a hundredth of it."""


class Gone(errors.Unavailable):
    """The other process ended."""


class Channel:
    """One end of the socket. ``answer`` is called for every question of the other end; its errors go back as they are, if ours."""

    def __init__(self, answer: Callable[[Body], Awaitable[Body]]) -> None:
        self._answer = answer
        self._asked: dict[int, asyncio.Future[Body]] = {}
        self._number = 0
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, end: socket.socket) -> None:
        """From now on questions can be asked."""
        self._reader, self._writer = await asyncio.open_unix_connection(sock=end)

    async def serve(self) -> None:
        """Read what comes until the other end is gone; then whatever was asked fails with Gone."""
        reader = self._reader
        assert reader is not None, "opened"
        try:
            while True:
                length, number, is_answer = _FRAME.unpack(await reader.readexactly(_FRAME.size))
                if length > MOST_BYTES:
                    raise ValueError(f"a body of {length} bytes")
                body = _BODIES.decode(await reader.readexactly(length))
                if is_answer:
                    if (future := self._asked.pop(number, None)) and not future.done():
                        future.set_result(body)
                else:
                    background.start(self._reply(number, body))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except (ValueError, RecursionError) as problem:
            LOG.error("another part of the server says what cannot be understood (%s); the talk with it ends", problem)
        finally:
            self.close()

    async def ask(self, body: Body) -> Body:
        """The other end's answer; raises what it raised, Gone where it is gone."""
        self._number += 1
        number = self._number
        future: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        try:
            self._send(number, False, body)
            answer = await future
        finally:
            self._asked.pop(number, None)
        if isinstance(answer, Problem):
            raise raised(answer)
        return answer

    def close(self) -> None:
        """Say nothing more."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for future in self._asked.values():
            if not future.done():
                future.set_exception(Gone("a part of the server ended before it had answered; try again"))
        self._asked.clear()

    def _send(self, number: int, is_answer: bool, body: Body) -> None:
        if self._writer is None or self._writer.is_closing():
            raise Gone("a part of the server is not there at the moment; try again")
        data = _ENCODER.encode(body)
        self._writer.write(_FRAME.pack(len(data), number, is_answer) + data)

    async def _reply(self, number: int, body: Body) -> None:
        try:
            answer = await self._answer(body)
        except errors.RoadworthyError as problem:
            answer = Problem(_kind(problem), problem.message, getattr(problem, "after", None))
        except Exception as problem:
            LOG.exception("no answer to %s", type(body).__name__)
            answer = Problem("StepFailed", f"the server failed at {type(body).__name__} ({type(problem).__name__}); its log says how")
        with suppress(Gone):
            self._send(number, True, answer)


def _kind(problem: errors.RoadworthyError) -> str:
    """The nearest class that both ends know: the problem's own, or one that it is a kind of."""
    name: str = next(kind.__name__ for kind in type(problem).__mro__ if getattr(errors, kind.__name__, None) is kind)
    return name


def raised(problem: Problem) -> errors.RoadworthyError:
    """The error that ``problem`` stands for; the root of them all where its name is none of theirs."""
    kind = getattr(errors, problem.kind, None)
    if not (isinstance(kind, type) and issubclass(kind, errors.RoadworthyError)):
        return errors.RoadworthyError(problem.message)
    if issubclass(kind, errors.Unavailable) and problem.after is not None:
        return kind(problem.message, after=problem.after)
    return kind(problem.message)
