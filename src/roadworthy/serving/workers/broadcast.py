"""Messages to all workers: they all open a version or none does, and a worker that fails at another message is replaced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from roadworthy.core.errors import Conflict, Unavailable
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.workers.ipc import Body, Channel, ChannelClosed, DiscardVersion, UpdateCatalogue

LOG = logging.getLogger(__name__)

OPENING_SECONDS = 120.0
"""A bundle that is not open after this time is taken for hung."""

Workers = Callable[[], Sequence[Channel]]
"""The channels to the workers that serve at this moment."""


class Broadcast:
    """Sends the same message to all workers. Messages that open or discard versions must not overlap; the caller holds a lock."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    @property
    def count(self) -> int:
        """How many workers serve at this moment."""
        return len(self._workers())

    async def open(self, wanted: OpenVersion, tried: VersionOpened | None) -> VersionOpened:
        """Open a version in all workers or in none, by the plan that was measured when it was ``tried``.

        Without a trial the first worker opens it and measures the plan: then no worker may serve yet. While there is no worker, a
        version that was tried counts as open: the next worker opens every version of the catalogue.
        """
        workers = list(self._workers())
        if tried is None:
            if not workers:
                raise Unavailable("no worker process is running to load it; try again in a moment")
            tried = await self._open_on_first(workers.pop(0), wanted)
        await self._open_on(workers, msgspec.structs.replace(wanted, plan=tried.plan, digest=tried.digest))
        return tried

    async def reopen(self, wanted: OpenVersion) -> tuple[str, ...]:
        """Open a version, by the plan in ``wanted``, in all workers or in none; the notes of all."""
        return await self._open_on(self._workers(), wanted)

    async def tell(self, body: UpdateCatalogue | DiscardVersion) -> None:
        """Send ``body`` to all workers; the channel to a worker that fails at it is closed, so that the worker is replaced."""
        workers = self._workers()
        outcomes = await asyncio.gather(*(worker.ask(body) for worker in workers), return_exceptions=True)
        for worker, outcome in zip(workers, outcomes, strict=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, ChannelClosed):
                LOG.error("a worker failed at %s (%s) and is replaced", type(body).__name__, outcome)
                worker.close()

    async def _open_on_first(self, worker: Channel, wanted: OpenVersion) -> VersionOpened:
        try:
            answer = await ask_open(worker, wanted)
        except ChannelClosed:
            raise Conflict(f"{wanted.path} ended the process that opened it") from None
        assert isinstance(answer, VersionOpened)
        return answer

    async def _open_on(self, workers: Sequence[Channel], wanted: OpenVersion) -> tuple[str, ...]:
        """A worker that ends meanwhile is not a failure: the worker that replaces it opens every version of the catalogue."""
        outcomes = await asyncio.gather(*(ask_open(worker, wanted) for worker in workers), return_exceptions=True)
        problems = [one for one in outcomes if isinstance(one, BaseException) and not isinstance(one, ChannelClosed)]
        if problems:
            await self.tell(DiscardVersion(wanted.name, wanted.version))
            raise problems[0]
        return tuple(dict.fromkeys(note for one in outcomes if isinstance(one, VersionOpened) for note in one.notes))


async def ask_open(worker: Channel, wanted: OpenVersion) -> Body:
    """Open a version in one worker; if it takes longer than ``OPENING_SECONDS``, close its channel and raise ChannelClosed."""
    try:
        async with asyncio.timeout(OPENING_SECONDS):
            return await worker.ask(wanted)
    except TimeoutError:
        worker.close()
        raise ChannelClosed(f"{wanted.path} was not open after {OPENING_SECONDS:.0f} s") from None
