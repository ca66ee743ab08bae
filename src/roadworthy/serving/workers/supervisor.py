"""The supervising process: owns the listening sockets, hands every connection to the worker with the fewest, replaces workers that end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from roadworthy.core.errors import Conflict, EnvironmentFault, RequestError, RoadworthyError, Unavailable
from roadworthy.serving.engine import background
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.registry import commands
from roadworthy.serving.settings import Settings
from roadworthy.serving.transports.http import listeners as http_listeners
from roadworthy.serving.transports.http import tls
from roadworthy.serving.transports.http.connection_pool import Connections
from roadworthy.serving.workers import sockets
from roadworthy.serving.workers.ipc import Body, Channel, Count, Done, Drain, Forget, Gone, Open, Opened
from roadworthy.serving.workers.model_manager import OPENING_SECONDS, Fleet
from roadworthy.serving.workers.worker_process import Member, words_of

if TYPE_CHECKING:
    from roadworthy.serving.observability.traces import Traces

LOG = logging.getLogger(__name__)

PARTING = 0.2
"""Seconds between "not ready" and the closed doors: clients are told to leave with every answer, and who was on the way still gets one."""

STEADY_SECONDS = 20.0
"""A worker that lived for so long did not end because of how it began."""

MOST_BACK_OFF = 30.0
SPARE_SECONDS = 10.0
"""So long the process that proves bundles waits for the next one."""


LEAVING = Unavailable("the server is on its way out")


class Supervisor:
    """One server. ``run`` returns once it was told to end and has."""

    def __init__(self, settings: Settings, grpc_port: int | None, traces: Traces | None = None) -> None:
        self._settings, self._grpc_port = settings, grpc_port
        self._members: dict[int, Member] = {}
        self._past = Counters()
        self.draining = False
        self._spare: Member | None = None
        self._spare_used = 0.0
        self._spare_lock = asyncio.Lock()
        self._crew: list[asyncio.Task[None]] = []
        self.fleet = Fleet(settings, self._channels, self._prove)
        # What answers while no worker does: the same application, over no models.
        self._plane = DataPlane(limits=settings.limits, manage=self._carry_out, totals=self._totals, counters=Counters())
        self._connections = Connections(settings.limits)
        self._apps = http_listeners.apps(self._plane, settings, grpc_port, traces)
        self._tls = tls.tls_options(settings)

    async def run(self, listeners: Sequence[socket.socket], announce: Callable[[Fleet], None]) -> None:
        """Serve at ``listeners`` (in the order of the doors) until SIGTERM or SIGINT.

        ``announce`` is called when all models had their verdict. Raises the error of the bundles where none can be served.
        """
        loop = asyncio.get_running_loop()
        stop = _stop_signal()
        for which, listener in enumerate(listeners):
            loop.add_reader(listener, self._accept, which, listener)
        self._crew = [asyncio.create_task(self._keep(index)) for index in range(self._settings.processes)]
        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._open(announce)),
            asyncio.create_task(_every(0.5, self._watch_workers)),
            *([asyncio.create_task(_every(self._settings.watch, self._look))] if self._settings.watch else []),
        ]
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
            while stopping not in done:
                for task in done:
                    task.result()
                    tasks.remove(task)
                done, _ = await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
            await self._drain(listeners)
        finally:
            for task in (*tasks, stopping, *self._crew):
                task.cancel()
            for member in (*self._members.values(), *([self._spare] if self._spare else [])):
                member.kill()
            self._connections.abort()

    # Connections

    def _accept(self, which: int, listener: socket.socket) -> None:
        for _ in range(64):
            try:
                connection, _address = listener.accept()
            except OSError:
                return
            self._place(which, connection)

    def _place(self, which: int, connection: socket.socket) -> None:
        """To the worker with the fewest connections; to ourselves where no worker takes it."""
        here = (one for one in self._members.values() if one.up and not one.sick)
        for member in sorted(here, key=lambda one: (one.quiet, one.connections)):
            try:
                sockets.hand_over(member.door, which, connection)
            except OSError:
                continue
            member.handed += 1
            connection.close()
            return
        self._plane.catalogue, self._plane.draining = self.fleet.catalogue, True
        background.start(http_listeners.serve_connection(connection, self._apps[which], self._connections, self._tls))

    # Workers

    async def _keep(self, index: int) -> None:
        """One worker after another; one that ends soon after its start is followed later and later."""
        back_off = 0.0
        while not self.draining:
            try:
                member = self._members[index] = Member(self._settings, index, self._grpc_port, self._asked)
            except EnvironmentFault as problem:
                back_off = min(MOST_BACK_OFF, max(0.5, 2 * back_off))
                self._plane.trouble = problem.message
                LOG.error("worker %d is not there: %s; it is tried again in %.1f s", index, problem.message, back_off)
                await asyncio.sleep(back_off)
                continue
            joining = asyncio.create_task(self._join(member))
            try:
                how = words_of(await member.run())
            except Exception as problem:
                LOG.exception("worker %d could not be talked with", index)
                how = type(problem).__name__
            joining.cancel()
            if self.draining:
                return
            self._past.merge(_without_workers(member.last))
            self._past.restarts += 1
            member.last = Counters()
            lived = time.monotonic() - member.started
            back_off = 0.0 if lived > STEADY_SECONDS else min(MOST_BACK_OFF, max(0.5, 2 * back_off))
            how = member.sick or how
            self._plane.trouble = f"a worker ended ({how}) and the next one starts in {back_off:.1f} s"
            LOG.error("worker %d ended (%s) after %.1f s; the next one starts in %.1f s", index, how, lived, back_off)
            await asyncio.sleep(back_off)

    async def _join(self, member: Member) -> None:
        """Let it take connections once it has every model that the others have."""
        await member.greeted.wait()
        if member.ended:
            return
        try:
            member.busy += 1
            if self.fleet.opened or self.fleet.catalogue.models:
                await self.fleet.catch_up(member.channel)
            member.up = True
            member.heard = time.monotonic()
        except Gone:
            return
        except RoadworthyError as problem:
            member.sick = problem.message
            member.kill()
        except Exception as problem:
            LOG.exception("worker %d cannot join the others", member.index)
            member.sick = type(problem).__name__
            member.kill()
        finally:
            member.busy -= 1

    async def _watch_workers(self) -> None:
        for member in self._members.values():
            if member.process.poll() is None and member.silent():
                member.sick = "it gave no sign of life"
                member.kill()
            elif member.sick and member.up:
                member.up = False
                asyncio.get_running_loop().call_later(1.0, member.kill)
        if self._spare is not None and time.monotonic() - self._spare_used > SPARE_SECONDS and not self._spare.busy:
            self._spare.kill()
            self._spare = None

    def _channels(self) -> list[Channel]:
        return [member.channel for member in self._members.values() if member.up]

    async def _prove(self, wanted: Open) -> Opened:
        """In a process that answers nobody; it is kept for a while, as changes come in rows."""
        async with self._spare_lock:
            if self.draining:
                raise LEAVING
            spare = self._spare
            if spare is None or spare.ended or spare.process.poll() is not None:
                spare = self._spare = Member(self._settings, -1, None, self._asked)
                background.start(_end(spare))
            spare.busy += 1
            try:
                async with asyncio.timeout(OPENING_SECONDS):
                    await spare.greeted.wait()
                    opened = await spare.channel.ask(wanted)
                    await spare.channel.ask(Forget(wanted.name, wanted.version))
            except Gone:
                if self.draining:
                    raise LEAVING from None
                why = spare.sick or words_of(await asyncio.to_thread(spare.process.wait))
                raise Conflict(f"{wanted.path} ended the process that opened it ({why})") from None
            except TimeoutError:
                spare.kill()
                raise Conflict(f"{wanted.path} was not open after {OPENING_SECONDS:.0f} s") from None
            finally:
                spare.busy -= 1
                self._spare_used = time.monotonic()
            assert isinstance(opened, Opened)
            return opened

    # What workers ask, and what is done for everybody

    async def _asked(self, member: Member, body: Body) -> Body:
        if isinstance(body, Count):
            return await self._totals()
        assert isinstance(body, commands.Command | commands.Replace)
        await self._carry_out(body)
        return Done()

    async def _carry_out(self, command: commands.AnyCommand) -> None:
        if self.draining:
            raise LEAVING
        try:
            # Once begun it comes to its end, also when whoever asked for it does not wait.
            await asyncio.shield(background.start(self.fleet.carry_out(command)))
        except RequestError:
            raise
        except RoadworthyError as problem:
            raise Conflict(problem.message) from problem

    async def _totals(self) -> Counters:
        """What all workers counted up to now; of one that does not answer at once, what it said last."""
        members = list(self._members.values())
        answers = await asyncio.gather(*(asyncio.wait_for(member.channel.ask(Count()), 0.2) for member in members), return_exceptions=True)
        total = Counters()
        for member, answer in zip(members, answers, strict=True):
            # What a worker that has ended said last is its own until it is the past's: no counter ever goes back.
            total.merge(answer if isinstance(answer, Counters) and member.process.poll() is None else member.last)
        total.merge(self._past)
        total.merge(self._plane.counters)
        return total

    async def _open(self, announce: Callable[[Fleet], None]) -> None:
        while not all(index in self._members and self._members[index].up for index in range(self._settings.processes)):
            await asyncio.sleep(0.005)
        members = tuple(self._members.values())
        for member in members:
            member.busy += 1
        await self.fleet.open_all()
        for member in members:
            member.busy -= 1
        while not (self._channels() or self.draining):
            # A bundle ended the last worker; who was told that the others are served shall find them so.
            await asyncio.sleep(0.05)
        if not self.draining:
            announce(self.fleet)

    async def _look(self) -> None:
        if self.fleet.opened:
            await self.fleet.look()

    async def _drain(self, listeners: Sequence[socket.socket]) -> None:
        """Not ready first, then no more connections, then every worker ends with what it accepted answered."""
        self.draining = True
        for member in self._members.values():
            if not member.greeted.is_set():
                member.kill()
        if self._spare is not None:
            self._spare.kill()  # nobody waits for its verdict any more: who asked for it is told so
        await self._say(Drain())
        await asyncio.sleep(PARTING)
        for which, listener in enumerate(listeners):
            self._accept(which, listener)
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        await self._say(Drain(finish=True))
        ends = [asyncio.to_thread(member.process.wait) for member in self._members.values()]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*ends, self._connections.drain()), self._settings.limits.drain_seconds + 1)

    async def _say(self, what: Drain) -> None:
        channels = [member.channel for member in self._members.values() if member.process.poll() is None]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(channel.ask(what) for channel in channels), return_exceptions=True), 2)


async def _every(seconds: float, look: Callable[[], Awaitable[None]]) -> None:
    """Again and again, whatever happens to one time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await look()
        except Exception:
            LOG.exception("%s failed; it is tried again", look)


async def _end(member: Member) -> None:
    with suppress(OSError):
        await member.run()


def _without_workers(counters: Counters) -> Counters:
    """What it counted, without what it was."""
    counters.workers = []
    return counters


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; a second one ends the process at once, as it would have without us."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def heard() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard)
    return stop
