"""The models of the whole server: carries commands out on every worker or on none, and keeps the catalogue that all route by."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from roadworthy.core.errors import BackendMissing, BundleError, Conflict, InvalidRequest, RoadworthyError, Unavailable, UnknownModel
from roadworthy.serving.engine.batch_plan import BatchPlan
from roadworthy.serving.engine.open_messages import OpenVersion, VersionOpened
from roadworthy.serving.registry import commands, repository
from roadworthy.serving.registry.catalogue import Canary, Catalogue, Served, Version, VersionState, order
from roadworthy.serving.registry.repository import FoundBundle
from roadworthy.serving.settings import Settings
from roadworthy.serving.workers.ipc import Body, Channel, ChannelClosed, DiscardVersion, UpdateCatalogue

LOG = logging.getLogger(__name__)

OPENING_SECONDS = 120.0
"""A bundle that takes longer to open than this is taken for hung."""

MOST_INSTANCES = 64
"""Of one version in one worker: each holds the model once more."""

Workers = Callable[[], Sequence[Channel]]
"""The workers that are up at this moment."""

Prover = Callable[[OpenVersion], Awaitable[VersionOpened]]
"""Opens a bundle in a process that answers nobody, so that one that crashes, hangs or eats its opener takes no request with it."""


class ModelManager:
    """What is served, everywhere alike. One command at a time; its errors are the client's answer."""

    def __init__(self, settings: Settings, workers: Workers, prover: Prover) -> None:
        self.catalogue = Catalogue()
        self.opened = False
        self.failures: list[RoadworthyError] = []
        self._settings = settings
        self._sources = tuple(map(Path, settings.sources))
        self._workers, self._prove = workers, prover
        self._lock = asyncio.Lock()
        """Held by the command in hand."""
        self._joining = asyncio.Lock()
        """Held while a version is opened in the workers that are there, or a worker opens the versions that are there. Proving, which
        may take long or hang, holds up the next command, but no worker that is to take another's place."""
        self._plans: dict[tuple[str, str], tuple[BatchPlan, str]] = {}
        self._stamps: dict[tuple[str, str], tuple[int, int]] = {}
        self._gone: set[tuple[str, str]] = set()
        """What clients unloaded: watching the directory must not bring it back."""

    async def open_all(self) -> None:
        """Load what the sources hold: every bundle, and of a directory's models the newest versions."""
        async with self._lock:
            for found in self._wanted():
                try:
                    await self._load(found)
                except RoadworthyError as problem:
                    self.failures.append(problem)
            self.opened = True
            await self._route()

    async def look(self) -> None:
        """Take in what is new in the sources, or replaced there, and let go of what is there no more."""
        async with self._lock:
            found = {(one.name, one.version): one for one in self._wanted()}
            for key, one in found.items():
                if key not in self._gone and (self._stamps.get(key) != one.stamp or self._state(*key) == VersionState.UNLOADED):
                    try:
                        await self._load(one)
                    except RoadworthyError as problem:
                        LOG.error("%s version %s is not served: %s", *key, problem.message)
            there = {(one.name, one.version) for one in repository.scan(self._sources)}
            self._gone &= there
            for key in self._stamps.keys() - there:
                await self._unload(*key, "its bundle is gone from the directory")
                del self._stamps[key]

    async def carry_out(self, command: commands.AnyCommand) -> None:
        """Do it everywhere; raises a RequestError, or the BundleError of a bundle that does not pass, with nothing changed."""
        async with self._lock:
            match command:
                case commands.Load(name=name):
                    found = repository.locate(self._sources, name, command.version, command.path)
                    self._gone.discard((name, found[-1].version))
                    # Who names a version wants it beside the others.
                    await self._load(found[-1], replaces=command.version is None)
                case commands.Unload(name=name):
                    await self._unload_asked(name, command.version)
                case commands.Configure():
                    await self._configure(command)
                case commands.Replace(models):
                    for configured in models:
                        repository.locate(self._sources, configured.name, None, configured.path)
                    for configured in models:
                        await self._configure(configured)
                    for served in self.catalogue.models:
                        if served.ready and served.name not in {configured.name for configured in models}:
                            await self._unload_asked(served.name, None)
                case commands.Scale(name=name):
                    await self._scale(name, command.version, command.instances)
                case _:
                    await self._route(self._changed(command))

    async def catch_up(self, worker: Channel) -> None:
        """Bring a new worker to where the others are; raises what keeps it from getting there.

        A bundle that cannot be opened any more keeps a worker out while others still answer with it. Where there are no
        others it is given up, so that the rest is served.
        """
        async with self._joining:
            for served, version in self.catalogue:
                if version.state == VersionState.READY:
                    plan, digest = self._plans[served.name, version.version]
                    try:
                        await _ask(
                            worker, OpenVersion(name=served.name, version=version.version, path=version.path, plan=plan, digest=digest)
                        )
                    except ChannelClosed:
                        raise
                    except RoadworthyError as problem:
                        if self._workers():
                            raise
                        LOG.error("%s version %s is not served any more: %s", served.name, version.version, problem.message)
                        await self._give_up(served.name, version.version, VersionState.FAILED, problem.message)
            await worker.ask(UpdateCatalogue(self.catalogue, self.opened))

    def _state(self, name: str, version: str) -> VersionState | None:
        served = self.catalogue.find(name)
        known = served.version(version) if served else None
        return known.state if known else None

    def plan(self, name: str, version: str) -> BatchPlan:
        """How that version uses each worker."""
        return self._plans[name, version][0]

    def _wanted(self) -> tuple[FoundBundle, ...]:
        """Bundles that were named one by one are all served; of those in directories, the newest."""
        named = tuple(source for source in self._sources if (source / repository.MANIFEST).is_file())
        folders = tuple(source for source in self._sources if source not in named)
        return (*repository.scan(named), *repository.newest(repository.scan(folders), self._settings.versions))

    # Loading: proven aside, opened everywhere, then let in everywhere

    async def _load(self, found: FoundBundle, *, replaces: bool = True) -> None:
        before = self.catalogue.find(found.name) or Served(name=found.name)
        was = before.version(found.version)
        self._stamps[found.name, found.version] = found.stamp
        if was is None or was.state != VersionState.READY:
            await self._route(before.holding(_version(found, VersionState.LOADING)))
        wanted = OpenVersion(name=found.name, version=found.version, path=str(found.path))
        try:
            proven = await self._prove(wanted) if self.opened or not self._workers() else None
            async with self._joining:
                plan, digest, notes = await self._open_everywhere(wanted, proven)
                for note in notes:
                    LOG.warning("%s: %s", found.name, note)
                self._plans[found.name, found.version] = plan, digest
                ready = _version(found, VersionState.READY)
                ready = msgspec.structs.replace(ready, instances=plan.instances, threads=plan.threads, batch=plan.batch)
                served = (self.catalogue.find(found.name) or before).holding(ready)
                await self._route(self._without_old(served, found.version) if replaces else served)
        except Exception as problem:
            # Whatever it was, a version that is not loading any more must not be said to be.
            if was is None or was.state != VersionState.READY:
                reason = problem.message if isinstance(problem, RoadworthyError) else type(problem).__name__
                await self._route((self.catalogue.find(found.name) or before).holding(_version(found, VersionState.FAILED, reason)))
            raise

    async def _open_everywhere(self, wanted: OpenVersion, proven: VersionOpened | None) -> tuple[BatchPlan, str, tuple[str, ...]]:
        rest = list(self._workers())
        if proven is not None:
            # While no worker is up the next one will catch up.
            opened = proven
        elif not rest:
            raise Unavailable("no part of the server is up to load it; try again in a moment")
        else:
            # Nobody is served yet whom a crash could hurt.
            first = rest.pop(0)
            try:
                answer = await _ask(first, wanted)
            except ChannelClosed:
                raise Conflict(f"{wanted.path} ended the process that opened it") from None
            assert isinstance(answer, VersionOpened)
            opened = answer
        same = msgspec.structs.replace(wanted, plan=opened.plan, digest=opened.digest)
        await self._open_on(rest, same)
        return opened.plan, opened.digest, opened.notes

    async def _open_on(self, workers: Sequence[Channel], wanted: OpenVersion) -> tuple[str, ...]:
        """On all of them or on none, and what they note; one that ends meanwhile catches up when it is replaced."""
        outcomes = await asyncio.gather(*(_ask(worker, wanted) for worker in workers), return_exceptions=True)
        problems = [one for one in outcomes if isinstance(one, BaseException) and not isinstance(one, ChannelClosed)]
        if problems:
            await self._tell(DiscardVersion(wanted.name, wanted.version))
            raise problems[0]
        return tuple(dict.fromkeys(note for one in outcomes if isinstance(one, VersionOpened) for note in one.notes))

    def _without_old(self, served: Served, loaded: str) -> Served:
        """Versions older than the one just ``loaded`` go, beyond as many as are wanted, unless something still points at them."""
        keep = self._settings.versions
        if not keep or any((source / repository.MANIFEST).is_file() for source in self._sources):
            return served
        pointed = {served.default, served.shadow, served.canary.version if served.canary else None, *served.labels.values()}
        older = [version.version for version in served.ready if order(version.version) < order(loaded)]
        for version in older[: max(0, len(older) - (keep - 1))]:
            if version not in pointed:
                served = served.moved(version, VersionState.UNLOADED, "a newer version took its place")
        return served

    # Everything else

    async def _unload_asked(self, name: str, version: str | None) -> None:
        served = self._served(name)
        versions = [version] if version is not None else [one.version for one in served.versions]
        for one in versions:
            if served.version(one) is None:
                raise UnknownModel(f"{name} has no version {one!r}")
            self._gone.add((name, one))
            await self._unload(name, one, "unloaded on request")

    async def _unload(self, name: str, version: str, reason: str) -> None:
        served = self.catalogue.find(name)
        if served is not None and served.version(version) is not None:
            async with self._joining:
                await self._give_up(name, version, VersionState.UNLOADED, reason)

    async def _give_up(self, name: str, version: str, state: VersionState, reason: str) -> None:
        served = self._served(name)
        self._plans.pop((name, version), None)
        await self._route(served.unpointed(version).moved(version, state, reason))

    async def _configure(self, wanted: commands.Configure) -> None:
        """Load what is lacking first, then let go of the rest, then move the labels."""
        found = repository.locate(self._sources, wanted.name, None, wanted.path)
        chosen = [one for one in found if one.version in wanted.versions] if wanted.versions else list(found[-wanted.latest :])
        if missing := set(wanted.versions) - {one.version for one in chosen}:
            raise UnknownModel(f"there is no version {missing.pop()} of {wanted.name!r} at {wanted.path}")
        for one in chosen:
            known = self.catalogue.find(wanted.name)
            version = known.version(one.version) if known else None
            if version is None or version.state != VersionState.READY or self._stamps.get((one.name, one.version)) != one.stamp:
                self._gone.discard((one.name, one.version))
                await self._load(one, replaces=False)
        keep = {one.version for one in chosen}
        for version in self._served(wanted.name).ready:
            if version.version not in keep:
                await self._unload(wanted.name, version.version, "not in the configuration")
        await self._route(self._changed(commands.SetLabels(name=wanted.name, labels=wanted.labels)))

    async def _scale(self, name: str, version: str | None, instances: int) -> None:
        served = self._served(name)
        if instances < 1:
            raise InvalidRequest(f"{name} needs at least one instance; unload it to have none")
        for one in [version] if version else [ready.version for ready in served.ready]:
            async with self._joining:
                known = self._ready(self._served(name), one)
                plan, digest = self._plans[name, one]
                each = -(-instances // max(1, len(self._workers())))
                if each > MOST_INSTANCES:
                    raise InvalidRequest(f"{name} may have {MOST_INSTANCES * len(self._workers())} instances here, and not {instances}")
                scaled = msgspec.structs.replace(plan, instances=each, threads=max(1, plan.threads * plan.instances // each))
                scaling = OpenVersion(name=name, version=one, path=known.path, plan=scaled, digest=digest)
                for note in await self._open_on(self._workers(), scaling):
                    LOG.warning("%s: %s", name, note)
                self._plans[name, one] = scaled, digest
                changed = msgspec.structs.replace(known, instances=each, threads=scaled.threads, since=time.time())
                await self._route(self._served(name).holding(changed))

    def _changed(self, command: commands.AnyCommand) -> Served:
        """The model as one of the commands that only point at versions leaves it."""
        assert isinstance(command, commands.Command)
        served = self._served(command.name)
        match command:
            case commands.SetDefault(version=version):
                return msgspec.structs.replace(served, default=version and self._ready(served, version).version)
            case commands.SetLabels(labels=labels):
                for version in labels.values():
                    self._ready(served, version)
                return msgspec.structs.replace(served, labels=labels)
            case commands.SetCanary(version=version, share=share):
                if not 0 <= share <= 1:
                    raise InvalidRequest(f"the canary's share is {share}; it goes from 0 to 1")
                canary = None if version is None else Canary(self._ready(served, version).version, share)
                return msgspec.structs.replace(served, canary=canary)
            case commands.SetShadow(version=version):
                return msgspec.structs.replace(served, shadow=version and self._ready(served, version).version)
        raise InvalidRequest(f"the server does not know {type(command).__name__}")

    def _served(self, name: str) -> Served:
        served = self.catalogue.find(name)
        if served is None:
            raise UnknownModel(f"there is no model {name!r} here")
        return served

    def _ready(self, served: Served, version: str) -> Version:
        known = served.version(version)
        if known is None or known.state != VersionState.READY:
            raise UnknownModel(f"{served.name} has no version {version!r} that answers; load it first")
        return known

    async def _route(self, changed: Served | None = None) -> None:
        if changed is not None:
            self.catalogue = self.catalogue.with_model(changed)
        await self._tell(UpdateCatalogue(self.catalogue, self.opened))

    async def _tell(self, body: UpdateCatalogue | DiscardVersion) -> None:
        workers = self._workers()
        outcomes = await asyncio.gather(*(worker.ask(body) for worker in workers), return_exceptions=True)
        for worker, outcome in zip(workers, outcomes, strict=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, ChannelClosed):
                # It does not route as the others do; the one that replaces it will.
                LOG.error("a worker did not do %s (%s) and is replaced", type(body).__name__, outcome)
                worker.close()


async def _ask(worker: Channel, wanted: OpenVersion) -> Body:
    """The answer of a worker that opens bundles in time; it is let go, and ChannelClosed is raised, where it does not."""
    try:
        async with asyncio.timeout(OPENING_SECONDS):
            return await worker.ask(wanted)
    except TimeoutError:
        worker.close()
        raise ChannelClosed(f"{wanted.path} was not open after {OPENING_SECONDS:.0f} s") from None


def only_missing(failures: Sequence[RoadworthyError]) -> RoadworthyError:
    """What to say when nothing can be served: that a package is lacking, if that is all that is wrong."""
    lacking = [problem for problem in failures if isinstance(problem, BackendMissing)]
    if len(failures) == 1 or len(lacking) == len(failures):
        return failures[0]
    return BundleError("; ".join(problem.message for problem in failures))


def _version(found: FoundBundle, state: VersionState, reason: str = "") -> Version:
    return Version(version=found.version, path=str(found.path), state=state, reason=reason, since=time.time())
