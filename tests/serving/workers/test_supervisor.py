"""The supervisor by itself: what makes a worker sick does not heal, what is done again and again survives one time that fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from roadworthy.core.errors import EnvironmentFault
from roadworthy.serving.engine.batch_plan import BatchPlan
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.registry.catalogue import Catalogue
from roadworthy.serving.registry.commands import AnyCommand, Load
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers import supervisor as supervisors
from roadworthy.serving.workers import worker_process as members
from roadworthy.serving.workers.ipc import Body, Done, Heartbeat
from roadworthy.serving.workers.supervisor import Supervisor
from roadworthy.serving.workers.worker_process import WorkerProcess
from support.models import bundles
from support.waiting import HANG_SECONDS


async def nobody(member: WorkerProcess, body: Body) -> Body:
    raise AssertionError(f"nobody should ask {body}")


@contextmanager
def member(settings: Settings) -> Iterator[WorkerProcess]:
    """A worker's process that nobody talks to yet."""
    one = WorkerProcess(settings, 0, None, nobody)
    try:
        yield one
    finally:
        one.kill()
        one.process.wait()
        one.door.close()
        one._control.close()


def run(body: Awaitable[None]) -> None:
    async def main() -> None:
        async with asyncio.timeout(HANG_SECONDS):
            await body

    asyncio.run(main())


def test_what_made_a_worker_sick_is_not_forgotten() -> None:
    """The next sign of life, half a second later, may come before anybody has looked."""

    async def body() -> None:
        with member(Settings(sources=())) as one:
            assert await one._answer(Heartbeat(Counters(), "a call hangs"), nobody) == Done()
            await one._answer(Heartbeat(Counters()), nobody)
            assert one.sick == "a call hangs"

    run(body())


def test_a_worker_that_ends_before_it_is_greeted_keeps_nobody_waiting() -> None:
    async def body() -> None:
        with member(Settings(sources=())) as one:
            one.kill()
            status = await one.run()
            assert status < 0 and one.ended and one.greeted.is_set() and not one.up

    run(body())


def test_a_worker_that_cannot_begin_says_why(tmp_path: Path) -> None:
    async def body() -> None:
        with member(Settings(sources=(), tokens=str(tmp_path / "nowhere.toml"))) as one:
            await one.run()
            assert one.ended and "the tokens cannot be read" in one.sick

    run(body())


def test_what_fails_once_is_done_again(caplog: pytest.LogCaptureFixture) -> None:
    times: list[int] = []

    async def look() -> None:
        times.append(1)
        if len(times) == 2:
            raise KeyError("a fault of ours")

    async def body() -> None:
        looking = asyncio.create_task(supervisors._every(0.001, look))
        while len(times) < 4:
            await asyncio.sleep(0.001)
        looking.cancel()

    with caplog.at_level(logging.ERROR, "roadworthy"):
        run(body())
    (record,) = caplog.records
    assert record.exc_info and "tried again" in record.message


def test_where_no_process_can_be_started_it_is_tried_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
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
            await supervisor._keep(0)
        assert "too many" in supervisor._plane.trouble

    async def at_once(seconds: float) -> None:
        pass

    monkeypatch.setattr(members, "_start", start)
    monkeypatch.setattr(supervisors.asyncio, "sleep", at_once)
    with caplog.at_level(logging.ERROR, "roadworthy"):
        run(body())
    assert len(tried) == 3


def test_a_command_goes_on_though_whoever_gave_it_has_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the supervisor answers itself, and the command is carried out in the very task of the request."""
    bundles.write_bundle(tmp_path / "linear" / "1")

    async def body() -> None:
        supervisor = Supervisor(Settings(sources=(str(tmp_path),)), None)
        proving = asyncio.Event()

        async def prove(wanted: OpenVersion) -> VersionOpened:
            await proving.wait()
            return VersionOpened(BatchPlan(), "digest")

        monkeypatch.setattr(supervisor.fleet, "_prove", prove)
        carry: Callable[[AnyCommand], Awaitable[None]] = supervisor._carry_out
        asked = asyncio.ensure_future(carry(Load(name="linear")))
        await asyncio.sleep(0.01)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        assert states(supervisor.fleet.catalogue) == ["loading"]
        proving.set()
        while states(supervisor.fleet.catalogue) != ["ready"]:
            await asyncio.sleep(0.001)

    run(body())


def states(catalogue: Catalogue) -> list[str]:
    return [version.state for _, version in catalogue]
