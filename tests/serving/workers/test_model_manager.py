"""Commands on workers that fail half way, hang, end or come late: one truth in the catalogue, and nobody left behind."""

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
from roadworthy.serving.workers import model_manager as fleets
from roadworthy.serving.workers.ipc import Body, Channel, ChannelClosed, DiscardVersion, Done, UpdateCatalogue
from roadworthy.serving.workers.model_manager import ModelManager
from support.models import bundles
from support.waiting import HANG_SECONDS

OPENED = VersionOpened(BatchPlan(1, 2, 4), "digest")


@dataclass
class Stage:
    """The other end of one worker's channel, which writes down what it is asked and fails as it is told."""

    fails: dict[type, Exception] = field(default_factory=dict)
    hangs: bool = False
    heard: list[Body] = field(default_factory=list)
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
        self.heard.append(body)
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
        """The states of the versions by the last route that it heard."""
        route = [body for body in self.heard if isinstance(body, UpdateCatalogue)][-1]
        return {version.version: version.state for _, version in route.catalogue}

    def opened(self) -> list[OpenVersion]:
        return [body for body in self.heard if isinstance(body, OpenVersion)]


@dataclass
class Troupe:
    """A fleet over ``stages``; ``proof`` is what the process that proves bundles says."""

    root: Path
    stages: list[Stage] = field(default_factory=lambda: [Stage(), Stage()])
    proof: Exception | None = None
    up: list[Stage] | None = None

    async def start(self) -> ModelManager:
        for stage in self.stages:
            await stage.start()
        self.up = list(self.stages) if self.up is None else self.up
        self.fleet = ModelManager(
            Settings(sources=(str(self.root),), versions=0), lambda: [stage.channel for stage in self.up or ()], self.prove
        )
        return self.fleet

    async def prove(self, wanted: OpenVersion) -> VersionOpened:
        if self.proof is not None:
            raise self.proof
        return OPENED

    def version(self, version: str) -> Version:
        served = self.fleet.catalogue.find("linear")
        assert served is not None
        found = served.version(version)
        assert found is not None
        return found


@pytest.fixture
def troupe(tmp_path: Path) -> Troupe:
    bundles.write_bundle(tmp_path / "linear" / "1")
    bundles.write_bundle(tmp_path / "linear" / "2", version="2")
    return Troupe(tmp_path)


def play(troupe: Troupe, body: Callable[[ModelManager], Awaitable[None]]) -> None:
    async def main() -> None:
        fleet = await troupe.start()
        async with asyncio.timeout(HANG_SECONDS):
            await body(fleet)
        for stage in troupe.stages:
            stage.channel.close()
            stage.end()

    asyncio.run(main())


def test_all_open_by_the_plan_that_one_measured_and_route_alike(troupe: Troupe) -> None:
    async def body(fleet: ModelManager) -> None:
        await fleet.open_all()
        first, second = troupe.stages
        assert [(one.version, one.plan) for one in first.opened()] == [("1", None), ("2", None)]
        assert [(one.version, one.plan, one.digest) for one in second.opened()] == [
            ("1", OPENED.plan, "digest"),
            ("2", OPENED.plan, "digest"),
        ]
        assert first.routed == second.routed == {"1": "ready", "2": "ready"}

    play(troupe, body)


def test_one_worker_that_cannot_scale_leaves_all_as_they_were(troupe: Troupe) -> None:
    async def body(fleet: ModelManager) -> None:
        await fleet.open_all()
        troupe.stages[1].fails[OpenVersion] = StepFailed("no memory for so many")
        with pytest.raises(StepFailed, match="no memory"):
            await fleet.carry_out(Scale(name="linear", instances=8, version="1"))
        for stage in troupe.stages:
            assert stage.heard[-1] == DiscardVersion("linear", "1"), "what some opened must not join with the next route"
        assert fleet.plan("linear", "1") == OPENED.plan and troupe.version("1").instances == 1
        troupe.stages[1].fails.clear()
        await fleet.carry_out(Scale(name="linear", instances=8, version="1"))
        assert fleet.plan("linear", "1").instances == troupe.version("1").instances == 4

    play(troupe, body)


def test_a_worker_that_ends_meanwhile_stops_neither_scaling_nor_loading(troupe: Troupe) -> None:
    async def body(fleet: ModelManager) -> None:
        await fleet.open_all()
        troupe.stages[1].fails[OpenVersion] = ChannelClosed("it fell")
        await fleet.carry_out(Scale(name="linear", instances=4, version="1"))
        assert troupe.version("1").instances == 2
        await fleet.carry_out(Load(name="linear", version="2"))
        assert troupe.stages[0].routed == {"1": "ready", "2": "ready"}

    play(troupe, body)


@pytest.mark.parametrize(
    "problem", [BundleError("it lies"), EnvironmentFault("no process"), OSError("too many files"), KeyError("a fault of ours")]
)
def test_a_version_that_did_not_load_is_not_said_to_be_loading(troupe: Troupe, problem: Exception) -> None:
    async def body(fleet: ModelManager) -> None:
        fleet.opened, troupe.proof = True, problem
        with pytest.raises(type(problem)):
            await fleet.carry_out(Load(name="linear"))
        assert troupe.version("2").state == "failed"
        assert troupe.version("2").reason == (problem.message if isinstance(problem, RoadworthyError) else type(problem).__name__)
        assert troupe.stages[0].routed == troupe.stages[1].routed == {"2": "failed"}
        troupe.proof = None
        await fleet.carry_out(Load(name="linear"))
        assert troupe.version("2").state == "ready"

    play(troupe, body)


def test_a_worker_that_never_ends_opening_is_let_go(troupe: Troupe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "OPENING_SECONDS", 0.2)

    async def body(fleet: ModelManager) -> None:
        await fleet.open_all()
        troupe.stages[1].hangs = True
        await fleet.carry_out(Load(name="linear", version="2"))
        assert troupe.version("2").state == "ready"
        with pytest.raises(ChannelClosed):
            await troupe.stages[1].channel.ask(Done())

    play(troupe, body)


def test_a_worker_that_does_not_route_is_let_go(troupe: Troupe) -> None:
    async def body(fleet: ModelManager) -> None:
        await fleet.open_all()
        troupe.stages[1].fails[UpdateCatalogue] = StepFailed("a fault of ours")
        await fleet.carry_out(SetDefault(name="linear", version="1"))
        with pytest.raises(ChannelClosed):
            await troupe.stages[1].channel.ask(Done())
        assert await troupe.stages[0].channel.ask(Done()) == Done()

    play(troupe, body)


def test_what_is_proven_while_nobody_is_up_waits_for_the_next_worker(troupe: Troupe) -> None:
    troupe.up = []

    async def body(fleet: ModelManager) -> None:
        await fleet.open_all()
        assert not fleet.failures
        await fleet.catch_up(troupe.stages[0].channel)
        assert [(one.version, one.plan, one.digest) for one in troupe.stages[0].opened()] == [
            ("1", OPENED.plan, "digest"),
            ("2", OPENED.plan, "digest"),
        ]
        assert troupe.stages[0].routed == {"1": "ready", "2": "ready"}

    play(troupe, body)


def test_a_bundle_that_is_gone_keeps_a_new_worker_out_only_while_others_have_it(troupe: Troupe) -> None:
    troupe.stages[1].fails[OpenVersion] = BundleError("its file is gone")
    troupe.up = [troupe.stages[0]]

    async def body(fleet: ModelManager) -> None:
        await fleet.open_all()
        with pytest.raises(BundleError, match="gone"):
            await fleet.catch_up(troupe.stages[1].channel)
        assert troupe.stages[0].routed == {"1": "ready", "2": "ready"}
        troupe.up = []
        await fleet.catch_up(troupe.stages[1].channel)
        assert troupe.stages[1].routed == {"1": "failed", "2": "failed"}
        assert troupe.version("1").reason == "its file is gone"

    play(troupe, body)


def test_a_worker_that_falls_while_it_catches_up_says_so(troupe: Troupe) -> None:
    troupe.stages[1].fails[OpenVersion] = ChannelClosed("it fell")
    troupe.up = [troupe.stages[0]]

    async def body(fleet: ModelManager) -> None:
        await fleet.open_all()
        troupe.up = []
        with pytest.raises(ChannelClosed):
            await fleet.catch_up(troupe.stages[1].channel)
        assert troupe.version("1").state == "ready", "the bundle is not to blame"

    play(troupe, body)


def test_a_worker_that_comes_while_a_bundle_proves_itself_waits_for_nothing_and_misses_nothing(troupe: Troupe) -> None:
    troupe.up = [troupe.stages[0]]
    proving = asyncio.Event()

    async def prove(wanted: OpenVersion) -> VersionOpened:
        await proving.wait()
        return OPENED

    async def body(fleet: ModelManager) -> None:
        await fleet.carry_out(Load(name="linear", version="1"))
        fleet.opened, fleet._prove = True, prove
        loading = asyncio.create_task(fleet.carry_out(Load(name="linear", version="2")))
        await asyncio.sleep(0.01)
        new = troupe.stages[1]
        await fleet.catch_up(new.channel)
        troupe.up = list(troupe.stages)
        assert new.routed == {"1": "ready", "2": "loading"} and not loading.done()
        proving.set()
        await loading
        assert [one.version for one in new.opened()] == ["1", "2"]
        assert new.routed == troupe.stages[0].routed == {"1": "ready", "2": "ready"}

    play(troupe, body)


@pytest.mark.parametrize("command", [Unload(name="linear", version="2"), Scale(name="linear", instances=8, version="2")])
def test_no_command_comes_between_a_worker_and_the_versions_that_it_opens(troupe: Troupe, command: Unload | Scale) -> None:
    troupe.up = [troupe.stages[0]]

    async def body(fleet: ModelManager) -> None:
        await fleet.open_all()
        new = troupe.stages[1]

        async def join() -> None:
            await fleet.catch_up(new.channel)
            troupe.up = list(troupe.stages)

        joining = asyncio.create_task(join())
        await asyncio.sleep(0)
        await fleet.carry_out(command)
        await joining
        assert new.routed == troupe.stages[0].routed
        if isinstance(command, Scale):
            assert new.opened()[-1].plan == troupe.stages[0].opened()[-1].plan == fleet.plan("linear", "2")

    play(troupe, body)
