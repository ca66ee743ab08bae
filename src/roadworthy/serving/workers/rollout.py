"""Brings one version to all workers or to none, and owns the catalogue by which all of them route requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec

from roadworthy.core.errors import InvalidRequest, RoadworthyError, UnknownModel
from roadworthy.serving.engine.batch_plan import BatchPlan
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.registry.catalogue import Catalogue, Served, Version, VersionState
from roadworthy.serving.registry.repository import FoundBundle
from roadworthy.serving.registry.transitions import ready_version, version_of, without_older
from roadworthy.serving.workers.broadcast import Broadcast, Workers, ask_open
from roadworthy.serving.workers.ipc import Channel, ChannelClosed, UpdateCatalogue

LOG = logging.getLogger(__name__)

MAX_INSTANCES = 64
"""Of one version in one worker: each holds the model once more in memory."""

TrialOpen = Callable[[OpenVersion], Awaitable[VersionOpened]]
"""Opens a bundle in a process that serves no requests: if the bundle crashes or hangs its process, no request is lost."""


class Rollout:
    """The versions that all workers serve. Only one method that changes them may run at a time, beside ``catch_up``.

    Once ``started``, a version is opened in three steps: in a process that serves no requests (``trial``), in all workers, and in the
    catalogue of all workers. A step that fails leaves what answers as it was.
    """

    def __init__(self, workers: Workers, trial: TrialOpen) -> None:
        self.catalogue = Catalogue()
        self.started = False
        """Whether the bundles that the server was started with were opened or refused."""
        self._workers, self._trial = Broadcast(workers), trial
        self._opening = asyncio.Lock()
        """Held while all workers open one version, or one new worker opens all versions. A trial does not hold it: it may take long or
        hang, and delays the next command, but never a worker that replaces another one."""
        self._opened: dict[tuple[str, str], VersionOpened] = {}

    def plan(self, name: str, version: str) -> BatchPlan:
        """How each worker runs that version."""
        return self._opened[name, version].plan

    def served(self, name: str) -> Served:
        """The model of that name; raises UnknownModel."""
        served = self.catalogue.find(name)
        if served is None:
            raise UnknownModel(f"there is no model {name!r} here")
        return served

    def state(self, name: str, version: str) -> VersionState | None:
        """The state of that version; ``None`` where it is unknown."""
        served = self.catalogue.find(name)
        known = served.version(version) if served else None
        return known.state if known else None

    async def publish(self, changed: Served | None = None) -> None:
        """Let all workers route by the catalogue, with one model ``changed``."""
        if changed is not None:
            self.catalogue = self.catalogue.with_model(changed)
        await self._workers.tell(UpdateCatalogue(self.catalogue, self.started))

    async def load(self, found: FoundBundle, *, keep: int = 0) -> None:
        """Let ``found`` answer; then unload older versions until ``keep`` are left, none for 0. Raises the error that prevents it."""
        before = self.catalogue.find(found.name) or Served(name=found.name)
        answers = self.state(found.name, found.version) == VersionState.READY
        if not answers:
            await self.publish(before.holding(version_of(found, VersionState.LOADING)))
        wanted = OpenVersion(name=found.name, version=found.version, path=str(found.path))
        try:
            # Before the start no worker has requests to lose: a trial is then only for a server without any worker.
            tried = await self._trial(wanted) if self.started or not self._workers.count else None
            async with self._opening:
                opened = await self._workers.open(wanted, tried)
                for note in opened.notes:
                    LOG.warning("%s: %s", found.name, note)
                self._opened[found.name, found.version] = opened
                served = (self.catalogue.find(found.name) or before).holding(_ready(found, opened.plan))
                await self.publish(without_older(served, found.version, keep) if keep else served)
        except Exception as problem:
            # Whatever was raised: a version that is not loading any more must not be shown as loading.
            if not answers:
                reason = problem.message if isinstance(problem, RoadworthyError) else type(problem).__name__
                await self.publish((self.catalogue.find(found.name) or before).holding(version_of(found, VersionState.FAILED, reason)))
            raise

    async def unload(self, name: str, version: str, reason: str) -> None:
        """Let that version answer no more, if it is known."""
        served = self.catalogue.find(name)
        if served is not None and served.version(version) is not None:
            async with self._opening:
                await self._withdraw(name, version, VersionState.UNLOADED, reason)

    async def scale(self, name: str, version: str, instances: int) -> None:
        """Spread so many ``instances`` of a ready version over the workers, at least one in each."""
        async with self._opening:
            known = ready_version(self.served(name), version)
            opened, workers = self._opened[name, version], self._workers.count
            each = -(-instances // max(1, workers))
            if each > MAX_INSTANCES:
                raise InvalidRequest(f"{name} may have {MAX_INSTANCES * workers} instances here, and not {instances}")
            threads = max(1, opened.plan.threads * opened.plan.instances // each)
            plan = msgspec.structs.replace(opened.plan, instances=each, threads=threads)
            for note in await self._workers.reopen(msgspec.structs.replace(self._again(name, known), plan=plan)):
                LOG.warning("%s: %s", name, note)
            self._opened[name, version] = msgspec.structs.replace(opened, plan=plan)
            changed = msgspec.structs.replace(known, instances=each, threads=threads, since=time.time())
            await self.publish(self.served(name).holding(changed))

    async def catch_up(self, worker: Channel) -> None:
        """Let a new worker open every version that is ready; raises the error that prevents it.

        A bundle that cannot be opened any more keeps the worker from serving while other workers serve it. Without other workers the
        version is marked as failed, so that the worker serves the rest.
        """
        if not (self.started or self.catalogue.models):
            return
        async with self._opening:
            for served, version in self.catalogue:
                if version.state == VersionState.READY:
                    try:
                        await ask_open(worker, self._again(served.name, version))
                    except ChannelClosed:
                        raise
                    except RoadworthyError as problem:
                        if self._workers.count:
                            raise
                        LOG.error("%s version %s is not served any more: %s", served.name, version.version, problem.message)
                        await self._withdraw(served.name, version.version, VersionState.FAILED, problem.message)
            await worker.ask(UpdateCatalogue(self.catalogue, self.started))

    async def _withdraw(self, name: str, version: str, state: VersionState, reason: str) -> None:
        self._opened.pop((name, version), None)
        await self.publish(self.served(name).unpointed(version).moved(version, state, reason))

    def _again(self, name: str, version: Version) -> OpenVersion:
        """The message that opens a ready version once more: the same bundle by the same plan."""
        opened = self._opened[name, version.version]
        return OpenVersion(name=name, version=version.version, path=version.path, plan=opened.plan, digest=opened.digest)


def _ready(found: FoundBundle, plan: BatchPlan) -> Version:
    ready = version_of(found, VersionState.READY)
    return msgspec.structs.replace(ready, instances=plan.instances, threads=plan.threads, batch=plan.batch)
