"""Commands on workers that fail half way, hang, end or start late: one catalogue, and every worker routes by it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from roadworthy.core.errors import BundleError, EnvironmentFault, RoadworthyError, StepFailed
from roadworthy.serving.engine.batch_plan import BatchPlan
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.registry.catalogue import Version
from roadworthy.serving.registry.commands import Load, Scale, SetDefault, Unload
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers import broadcast
from roadworthy.serving.workers.ipc import Body, Channel, ChannelClosed, DiscardVersion, Done, UpdateCatalogue
from roadworthy.serving.workers.model_manager import ModelManager
from support.models import bundles
from support.waiting import HANG_SECONDS

OPENED = VersionOpened(BatchPlan(1, 2, 4), "digest")


@dataclass
class FakeWorker:
    """One worker and both ends of its channel: it records the messages and fails as it is told."""

    fails: dict[type, Exception] = field(default_factory=dict)
    hangs: bool = False
    received: list[Body] = field(default_factory=list)
    channel: Channel = field(init=False)
    _there: Channel = field(init=False)

    async def start(self) -> None:
        here, there = socket.socketpair()
        self.channel, self._there = Channel(self.answer), Channel(self.answer)
        for channel, end in ((self.channel, here), (self._there, there)):
            end.setblocking(False)
            await channel.open(end)
        self._serving = [asyncio.create_task(channel.serve()) for channel in (self.channel, self._there)]

    async def answer(self, body: Body) -> Body:
        self.received.append(body)
        if self.hangs and isinstance(body, OpenVersion):
            await asyncio.Event().wait()
        if (problem := self.fails.get(type(body))) is not None:
            if isinstance(problem, ChannelClosed):
                self._there.close()
            raise problem
        return OPENED if isinstance(body, OpenVersion) else Done()

    def end(self) -> None:
        self._there.close()

    @property
    def routed(self) -> dict[str, str]:
        """The states of the versions by the last route that it received."""
        route = [body for body in self.received if isinstance(body, UpdateCatalogue)][-1]
        return {version.version: version.state for _, version in route.catalogue}

    def opened(self) -> list[OpenVersion]:
        return [body for body in self.received if isinstance(body, OpenVersion)]


@dataclass
class Server:
    """A manager over ``workers``, of which ``up`` serve; ``trial_error`` is what opening a bundle on trial raises."""

    root: Path
    workers: list[FakeWorker] = field(default_factory=lambda: [FakeWorker(), FakeWorker()])
    trial_error: Exception | None = None
    up: list[FakeWorker] | None = None

    async def start(self) -> ModelManager:
        for worker in self.workers:
            await worker.start()
        self.up = list(self.workers) if self.up is None else self.up
        self.manager = ModelManager(
            Settings(sources=(str(self.root),), versions=0), lambda: [worker.channel for worker in self.up or ()], self.trial
        )
        return self.manager

    async def trial(self, wanted: OpenVersion) -> VersionOpened:
        if self.trial_error is not None:
            raise self.trial_error
        return OPENED

    def version(self, version: str) -> Version:
        served = self.manager.catalogue.find("linear")
        assert served is not None
        found = served.version(version)
        assert found is not None
        return found


@pytest.fixture
def server(tmp_path: Path) -> Server:
    bundles.write_bundle(tmp_path / "linear" / "1")
    bundles.write_bundle(tmp_path / "linear" / "2", version="2")
    return Server(tmp_path)


def play(server: Server, body: Callable[[ModelManager], Awaitable[None]]) -> None:
    async def main() -> None:
        manager = await server.start()
        async with asyncio.timeout(HANG_SECONDS):
            await body(manager)
        for worker in server.workers:
            worker.channel.close()
            worker.end()

    asyncio.run(main())


def test_all_workers_open_by_one_measured_plan_and_route_by_one_catalogue(server: Server) -> None:
    async def body(manager: ModelManager) -> None:
        await manager.open_all()
        first, second = server.workers
        assert [(one.version, one.plan) for one in first.opened()] == [("1", None), ("2", None)]
        assert [(one.version, one.plan, one.digest) for one in second.opened()] == [
            ("1", OPENED.plan, "digest"),
            ("2", OPENED.plan, "digest"),
        ]
        assert first.routed == second.routed == {"1": "ready", "2": "ready"}

    play(server, body)


def test_one_worker_that_cannot_scale_leaves_all_unchanged(server: Server) -> None:
    async def body(manager: ModelManager) -> None:
        await manager.open_all()
        server.workers[1].fails[OpenVersion] = StepFailed("no memory for so many")
        with pytest.raises(StepFailed, match="no memory"):
            await manager.carry_out(Scale(name="linear", instances=8, version="1"))
        for worker in server.workers:
            assert worker.received[-1] == DiscardVersion("linear", "1"), "what some opened must not serve with the next catalogue"
        assert manager.rollout.plan("linear", "1") == OPENED.plan and server.version("1").instances == 1
        server.workers[1].fails.clear()
        await manager.carry_out(Scale(name="linear", instances=8, version="1"))
        assert manager.rollout.plan("linear", "1").instances == server.version("1").instances == 4

    play(server, body)


def test_a_worker_that_ends_meanwhile_stops_neither_scaling_nor_loading(server: Server) -> None:
    async def body(manager: ModelManager) -> None:
        await manager.open_all()
        server.workers[1].fails[OpenVersion] = ChannelClosed("it ended")
        await manager.carry_out(Scale(name="linear", instances=4, version="1"))
        assert server.version("1").instances == 2
        await manager.carry_out(Load(name="linear", version="2"))
        assert server.workers[0].routed == {"1": "ready", "2": "ready"}

    play(server, body)


@pytest.mark.parametrize(
    "problem",
    [BundleError("it is damaged"), EnvironmentFault("no process"), OSError("too many files"), KeyError("a fault of ours")],
)
def test_a_version_that_did_not_load_is_shown_as_failed(server: Server, problem: Exception) -> None:
    async def body(manager: ModelManager) -> None:
        manager.rollout.started, server.trial_error = True, problem
        with pytest.raises(type(problem)):
            await manager.carry_out(Load(name="linear"))
        assert server.version("2").state == "failed"
        assert server.version("2").reason == (problem.message if isinstance(problem, RoadworthyError) else type(problem).__name__)
        assert server.workers[0].routed == server.workers[1].routed == {"2": "failed"}
        server.trial_error = None
        await manager.carry_out(Load(name="linear"))
        assert server.version("2").state == "ready"

    play(server, body)


def test_a_worker_that_hangs_while_opening_is_dropped(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "OPENING_SECONDS", 0.2)

    async def body(manager: ModelManager) -> None:
        await manager.open_all()
        server.workers[1].hangs = True
        await manager.carry_out(Load(name="linear", version="2"))
        assert server.version("2").state == "ready"
        with pytest.raises(ChannelClosed):
            await server.workers[1].channel.ask(Done())

    play(server, body)


def test_a_worker_that_fails_at_the_catalogue_is_dropped(server: Server) -> None:
    async def body(manager: ModelManager) -> None:
        await manager.open_all()
        server.workers[1].fails[UpdateCatalogue] = StepFailed("a fault of ours")
        await manager.carry_out(SetDefault(name="linear", version="1"))
        with pytest.raises(ChannelClosed):
            await server.workers[1].channel.ask(Done())
        assert await server.workers[0].channel.ask(Done()) == Done()

    play(server, body)


def test_a_version_tried_while_no_worker_is_up_is_opened_by_the_next_worker(server: Server) -> None:
    server.up = []

    async def body(manager: ModelManager) -> None:
        await manager.open_all()
        assert not manager.failures
        await manager.rollout.catch_up(server.workers[0].channel)
        assert [(one.version, one.plan, one.digest) for one in server.workers[0].opened()] == [
            ("1", OPENED.plan, "digest"),
            ("2", OPENED.plan, "digest"),
        ]
        assert server.workers[0].routed == {"1": "ready", "2": "ready"}

    play(server, body)


def test_a_missing_bundle_keeps_a_new_worker_out_only_while_others_serve_it(server: Server) -> None:
    server.workers[1].fails[OpenVersion] = BundleError("its file is gone")
    server.up = [server.workers[0]]

    async def body(manager: ModelManager) -> None:
        await manager.open_all()
        with pytest.raises(BundleError, match="gone"):
            await manager.rollout.catch_up(server.workers[1].channel)
        assert server.workers[0].routed == {"1": "ready", "2": "ready"}
        server.up = []
        await manager.rollout.catch_up(server.workers[1].channel)
        assert server.workers[1].routed == {"1": "failed", "2": "failed"}
        assert server.version("1").reason == "its file is gone"

    play(server, body)


def test_a_worker_that_ends_while_it_catches_up_is_told_apart_from_a_bad_bundle(server: Server) -> None:
    server.workers[1].fails[OpenVersion] = ChannelClosed("it ended")
    server.up = [server.workers[0]]

    async def body(manager: ModelManager) -> None:
        await manager.open_all()
        server.up = []
        with pytest.raises(ChannelClosed):
            await manager.rollout.catch_up(server.workers[1].channel)
        assert server.version("1").state == "ready", "the bundle is not to blame"

    play(server, body)


def test_a_worker_that_starts_during_a_trial_does_not_wait_and_opens_everything(server: Server) -> None:
    server.up = [server.workers[0]]
    on_trial = asyncio.Event()

    async def trial(wanted: OpenVersion) -> VersionOpened:
        await on_trial.wait()
        return OPENED

    async def body(manager: ModelManager) -> None:
        await manager.carry_out(Load(name="linear", version="1"))
        manager.rollout.started, manager.rollout._trial = True, trial
        loading = asyncio.create_task(manager.carry_out(Load(name="linear", version="2")))
        await asyncio.sleep(0.01)
        new = server.workers[1]
        await manager.rollout.catch_up(new.channel)
        server.up = list(server.workers)
        assert new.routed == {"1": "ready", "2": "loading"} and not loading.done()
        on_trial.set()
        await loading
        assert [one.version for one in new.opened()] == ["1", "2"]
        assert new.routed == server.workers[0].routed == {"1": "ready", "2": "ready"}

    play(server, body)


@pytest.mark.parametrize("command", [Unload(name="linear", version="2"), Scale(name="linear", instances=8, version="2")])
def test_no_command_runs_while_a_new_worker_opens_the_versions(server: Server, command: Unload | Scale) -> None:
    server.up = [server.workers[0]]

    async def body(manager: ModelManager) -> None:
        await manager.open_all()
        new = server.workers[1]

        async def join() -> None:
            await manager.rollout.catch_up(new.channel)
            server.up = list(server.workers)

        joining = asyncio.create_task(join())
        await asyncio.sleep(0)
        await manager.carry_out(command)
        await joining
        assert new.routed == server.workers[0].routed
        if isinstance(command, Scale):
            assert new.opened()[-1].plan == server.workers[0].opened()[-1].plan == manager.rollout.plan("linear", "2")

    play(server, body)
