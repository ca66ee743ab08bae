"""Opens bundles on trial, in a process that serves no requests: one that crashes it, hangs or takes all memory costs no request."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from roadworthy.core.errors import Conflict, Unavailable
from roadworthy.serving.engine import background
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers.broadcast import OPENING_SECONDS
from roadworthy.serving.workers.ipc import ChannelClosed, DiscardVersion
from roadworthy.serving.workers.worker_process import Replying, WorkerProcess, WorkerState, exit_reason

IDLE_SECONDS = 10.0
"""The process is kept this long for the next bundle: clients often load several."""

STOPPING = Unavailable("the server is stopping")


class TrialProcess:
    """Starts with the first bundle; one bundle at a time."""

    def __init__(self, settings: Settings, reply: Replying) -> None:
        self._settings, self._reply = settings, reply
        self._process: WorkerProcess | None = None
        self._used = 0.0
        self._lock = asyncio.Lock()
        self._stopped = False

    async def open(self, wanted: OpenVersion) -> VersionOpened:
        """Open a version, check it, measure its plan and close it; raises what the bundle's opening raises.

        Raises Conflict where the bundle ends the process or is not open after ``OPENING_SECONDS``, Unavailable where the server stops.
        """
        async with self._lock:
            if self._stopped:
                raise STOPPING
            process = self._running()
            process.busy += 1
            try:
                async with asyncio.timeout(OPENING_SECONDS):
                    await process.greeted.wait()
                    opened = await process.channel.ask(wanted)
                    await process.channel.ask(DiscardVersion(wanted.name, wanted.version))
            except ChannelClosed:
                if self._stopped:
                    raise STOPPING from None
                why = process.sick or exit_reason(await asyncio.to_thread(process.process.wait))
                raise Conflict(f"{wanted.path} ended the process that opened it ({why})") from None
            except TimeoutError:
                process.kill()
                raise Conflict(f"{wanted.path} was not open after {OPENING_SECONDS:.0f} s") from None
            finally:
                process.busy -= 1
                self._used = time.monotonic()
            assert isinstance(opened, VersionOpened)
            return opened

    def end_if_idle(self) -> None:
        """End the process where it has had no bundle for ``IDLE_SECONDS``."""
        if self._process is not None and not self._process.busy and time.monotonic() - self._used > IDLE_SECONDS:
            self._process.kill()
            self._process = None

    def stop(self) -> None:
        """End the process; a bundle that is on trial fails with Unavailable."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()

    def _running(self) -> WorkerProcess:
        process = self._process
        if process is None or process.state is WorkerState.ENDED or not process.running:
            process = self._process = WorkerProcess(self._settings, -1, None, self._reply)
            background.start(_run(process))
        return process


async def _run(process: WorkerProcess) -> None:
    with suppress(OSError):
        await process.run()
