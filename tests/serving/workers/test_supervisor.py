"""The supervisor's parts: a worker that reported a fault stays faulty, and repeated work goes on after an error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roadworthy.core.errors import EnvironmentFault
from roadworthy.serving.engine import background
from roadworthy.serving.engine.batch_plan import BatchPlan
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.registry.catalogue import Catalogue
from roadworthy.serving.registry.commands import AnyCommand, Load
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers import respawner, worker_process
from roadworthy.serving.workers.ipc import Body, Done, Heartbeat
from roadworthy.serving.workers.supervisor import Supervisor
from roadworthy.serving.workers.worker_process import WorkerProcess, WorkerState
from support.models import bundles
from support.waiting import HANG_SECONDS


async def refuse(worker: WorkerProcess, body: Body) -> Body:
    raise AssertionError(f"no {body} is expected")


@contextmanager
def started(settings: Settings) -> Iterator[WorkerProcess]:
    """A worker process without any message yet."""
    one = WorkerProcess(settings, 0, None, refuse)
    try:
        yield one
    finally:
        one.kill()
        one.process.wait()
        one.connections_socket.close()
        one._control.close()


def run(body: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(HANG_SECONDS):
            await body

    asyncio.run(main())


def test_the_first_fault_that_a_worker_reports_stays() -> None:
    """The next heartbeat, half a second later, may arrive before the watch has run."""

    async def body() -> None:
        with started(Settings(sources=())) as one:
            assert await one._reply(Heartbeat(Counters(), "a call hangs"), refuse) == Done()
            await one._reply(Heartbeat(Counters()), refuse)
            assert one.sick == "a call hangs"

    run(body())


def test_a_worker_that_ends_before_its_first_reply_releases_those_who_wait_for_it() -> None:
    async def body() -> None:
        with started(Settings(sources=())) as one:
            one.kill()
            status = await one.run()
            assert status < 0 and one.state is WorkerState.ENDED and one.greeted.is_set()

    run(body())


def test_a_worker_that_cannot_start_reports_the_reason(tmp_path: Path) -> None:
    async def body() -> None:
        with started(Settings(sources=(), tokens=str(tmp_path / "nowhere.toml"))) as one:
            await one.run()
            assert one.state is WorkerState.ENDED and "the tokens cannot be read" in one.sick

    run(body())


def test_repeated_work_goes_on_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    times: list[int] = []

    async def look() -> None:
        times.append(1)
        if len(times) == 2:
            raise KeyError("a fault of ours")

    async def body() -> None:
        looking = asyncio.create_task(background.repeat(0.001, look))
        while len(times) < 4:
            await asyncio.sleep(0.001)
        looking.cancel()

    with caplog.at_level(logging.ERROR, "roadworthy"):
        run(body())
    (record,) = caplog.records
    assert record.exc_info and "tried again" in record.message


def test_a_process_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []

    class Refused(Exception):
        """The test is over."""

    def start() -> None:
        tried.append(1)
        if len(tried) == 3:
            raise Refused
        raise EnvironmentFault("no process can be started here: too many")

    async def body() -> None:
        supervisor = Supervisor(Settings(sources=()), None)
        with pytest.raises(Refused):
            await supervisor.respawner.keep(0)
        assert "too many" in supervisor.respawner.trouble

    async def at_once(seconds: float) -> None:
        pass

    monkeypatch.setattr(worker_process, "_start", start)
    monkeypatch.setattr(respawner.asyncio, "sleep", at_once)
    with caplog.at_level(logging.ERROR, "roadworthy"):
        run(body())
    assert len(tried) == 3


def test_a_command_goes_on_though_its_client_has_disconnected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the supervisor answers itself, and the command is carried out in the very task of the request."""
    bundles.write_bundle(tmp_path / "linear" / "1")

    async def body() -> None:
        supervisor = Supervisor(Settings(sources=(str(tmp_path),)), None)
        on_trial = asyncio.Event()

        async def trial(wanted: OpenVersion) -> VersionOpened:
            await on_trial.wait()
            return VersionOpened(BatchPlan(), "digest")

        monkeypatch.setattr(supervisor.manager.rollout, "_trial", trial)
        carry: Callable[[AnyCommand], Awaitable[None]] = supervisor._carry_out
        asked = asyncio.ensure_future(carry(Load(name="linear")))
        await asyncio.sleep(0.01)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert states(supervisor.manager.catalogue) == ["loading"]
        on_trial.set()
        while states(supervisor.manager.catalogue) != ["ready"]:
            await asyncio.sleep(0.001)

    run(body())


def states(catalogue: Catalogue) -> list[str]:
    return [version.state for _, version in catalogue]
