"""TorchServe's management: registering, scaling, describing, listing and unloading models, for HTTP and for gRPC.

TorchServe's model archive is a bundle here, or a directory of its versions, inside the directories that the server was started with. Its
worker is an instance here. Two rules of TorchServe are kept. When another version is registered, the version that answered before
still answers, until ``set-default``. And the default version cannot be unregistered while there are others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from roadworthy.core.errors import Conflict, Forbidden, InvalidRequest, RequestError, Unavailable, UnknownModel
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.dataplane import DataPlane
from roadworthy.serving.registry.catalogue import Served, Version, VersionState
from roadworthy.serving.registry.commands import Load, Scale, SetDefault, Unload

LOG = logging.getLogger(__name__)

PROMPT = 0.05
"""Seconds in which a background command may still fail in the answer itself."""
PAGE = 100
Parameters = Mapping[str, str]


class DefaultVersion(RequestError):
    """The default version, which TorchServe does not unload before the others."""

    status = 403


@dataclass(frozen=True)
class CommandResult:
    """The result of a command: an HTTP status, and a sentence."""

    code: int
    sentence: str


class TorchServeManagement:
    """The management of one server; see the module's docstring. Every method may raise a RequestError."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._background: set[asyncio.Task[None]] = set()

    async def register(self, parameters: Parameters) -> CommandResult:
        """Load the bundle at ``url`` as ``model_name`` (the name of its directory, where none is given).

        The model answers as soon as it is loaded, even with ``initial_workers`` 0. Where ``initial_workers`` is more than it has by
        default, the others are started. 202 only with ``initial_workers`` and without ``synchronous``.
        """
        url = parameters.get("url", "")
        path = _inside(url)
        name = parameters.get("model_name") or _name_of(path)
        workers = _whole(parameters, "initial_workers", 0)
        served = self._plane.catalogue.find(name)
        if served and any(version.state in ("ready", "loading") and _is_at(version, path) for version in served.versions):
            raise Conflict(f"{url} is registered already, as model {name}")
        work = self._register(name, url, workers)
        if workers and not _true(parameters, "synchronous"):
            return await self._later(work)
        await work
        now = self._served(name)
        version = max(now.ready or now.versions, key=lambda one: one.since).version
        return CommandResult(200, f'Model "{name}" Version: {version} registered with {workers} initial workers')

    async def scale(self, name: str, version: str | None, parameters: Parameters) -> CommandResult:
        """As many instances as lie between ``min_worker`` and ``max_worker``; 202 without ``synchronous``."""
        least = _whole(parameters, "min_worker", 1)
        most = _whole(parameters, "max_worker", least)
        if most < least:
            raise InvalidRequest("max_worker cannot be less than min_worker")
        if most == 0:
            raise InvalidRequest("a model has at least one worker on this server; unregister the model to unload it")
        known = self._version(name, version)
        work = self._scale(name, known.version, least, most)
        if not _true(parameters, "synchronous"):
            return await self._later(work)
        await work
        return CommandResult(200, f"Workers scaled to {least} for model: {name}" + (f", version: {version}" if version else ""))

    async def describe(self, name: str, version: str | None) -> list[dict[str, Any]]:
        """The default version, another one, or ``"all"``; as TorchServe writes it, and with ``state`` and ``reason``."""
        versions = _kept(self._served(name)) if version == "all" else (self._version(name, version),)
        totals = await self._plane.totals()
        return [self._described(name, one, totals) for one in versions]

    def models(self, parameters: Parameters) -> dict[str, Any]:
        """A page of the models by name, ``limit`` of them from ``next_page_token`` on."""
        if not self._plane.opened and not self._plane.catalogue.models:
            raise Unavailable("the bundles are still being opened and checked; try again in a moment")
        limit, start = _whole(parameters, "limit", PAGE), _whole(parameters, "next_page_token", 0)
        limit = limit if 1 <= limit <= PAGE else PAGE
        models = [served for served in self._plane.catalogue.models if _kept(served)]
        answer: dict[str, Any] = {}
        if start + limit < len(models):
            answer["nextPageToken"] = str(start + limit)
        answer["models"] = [{"modelName": one.name, "modelUrl": _default(one).path} for one in models[start : start + limit]]
        return answer

    async def set_default(self, name: str, version: str) -> CommandResult:
        """From now on ``version`` answers requests that name no version."""
        self._version(name, version)
        await self._plane.manage(SetDefault(name=name, version=version))
        return CommandResult(200, f'Default version successfully updated for model "{name}" to "{version}"')

    async def unregister(self, name: str, version: str | None) -> CommandResult:
        """Unload ``version``, or the default one."""
        served, gone = self._served(name), self._version(name, version)
        if len(_kept(served)) > 1 and gone == _default(served):
            raise DefaultVersion(f"version {gone.version} of {name} is the default version, and there are others; set another one first")
        await self._plane.manage(Unload(name=name, version=gone.version))
        return CommandResult(200, f'Model "{name}" unregistered')

    # The work itself

    async def _register(self, name: str, url: str, workers: int) -> None:
        before = self._plane.catalogue.find(name)
        pinned = before.current if before and before.default is None else None
        if pinned:
            await self._plane.manage(SetDefault(name=name, version=pinned))
        try:
            await self._plane.manage(Load(name=name, path=url))
        except RequestError as problem:
            if pinned:
                await self._plane.manage(SetDefault(name=name, version=None))
            # A client must not learn whether a path outside the served directories exists.
            raise UnknownModel(problem.message) if isinstance(problem, Forbidden) else problem from None
        newest = max(self._served(name).ready, key=lambda one: one.since, default=None)
        if newest and workers:
            await self._scale(name, newest.version, workers, None)

    async def _scale(self, name: str, version: str, least: int, most: int | None) -> None:
        now = self._version(name, version).instances * _processes(await self._plane.totals())
        wanted = max(now, least) if most is None else min(max(now, least), most)
        if wanted != now:
            await self._plane.manage(Scale(name=name, version=version, instances=wanted))

    async def _later(self, work: Coroutine[Any, Any, None]) -> CommandResult:
        """202. A failure within ``PROMPT`` seconds is in the answer; a later one is in the log, and in ``describe``."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        done, _ = await asyncio.wait((task,), timeout=PROMPT)
        if done:
            task.result()
        else:
            task.add_done_callback(_log)
        return CommandResult(202, "Processing worker updates...")

    # What there is

    def _served(self, name: str) -> Served:
        served = self._plane.catalogue.find(name)
        if served is None or not _kept(served):
            if not self._plane.opened:
                raise Unavailable("the bundles are still being opened and checked; try again in a moment")
            raise UnknownModel(f"there is no model {name!r} here")
        return served

    def _version(self, name: str, version: str | None) -> Version:
        served = self._served(name)
        if version is None:
            return _default(served)
        found = served.version(version)
        if found is None or found.state == VersionState.UNLOADED:
            raise UnknownModel(f"there is no version {version!r} of model {name!r} here")
        return found

    def _described(self, name: str, version: Version, totals: Counters) -> dict[str, Any]:
        key = name, version.version
        processes = _processes(totals)
        pending = sum(worker.waiting.get(key, 0) for worker in totals.workers)
        instances = version.instances * processes if version.state == "ready" else 0
        return {
            "modelName": name,
            "modelVersion": version.version,
            "modelUrl": version.path,
            "engine": "Roadworthy",
            "runtime": "python",
            "minWorkers": version.instances * processes,
            "maxWorkers": version.instances * processes,
            "batchSize": version.batch,
            "maxBatchDelay": 0,
            "workers": [_worker(index, version, totals) for index in range(instances)],
            "jobQueueStatus": {
                "remainingCapacity": max(self._plane.limits.pending * processes - pending, 0),
                "pendingRequests": pending,
            },
            "state": version.state,
            "reason": version.reason,
        }


def _log(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (problem := task.exception()):
        LOG.warning("a command in the background failed: %s", problem)


def _worker(index: int, version: Version, totals: Counters) -> dict[str, Any]:
    """One instance; the instances of one process share its memory."""
    process = totals.workers[index % len(totals.workers)] if totals.workers else None
    since = datetime.fromtimestamp(version.since, UTC)
    return {
        "id": str(9000 + index),
        "startTime": since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "status": "READY",
        "memoryUsage": process.memory if process else 0,
        "pid": process.pid if process else 0,
        "gpu": False,
        "gpuUsage": "N/A",
    }


def _processes(totals: Counters) -> int:
    return max(len(totals.workers), 1)


def _kept(served: Served) -> tuple[Version, ...]:
    return tuple(version for version in served.versions if version.state != VersionState.UNLOADED)


def _default(served: Served) -> Version:
    """The version that answers, or the newest one; ``served`` has at least one that is not unloaded."""
    current = served.version(served.current) if served.current else None
    return current or _kept(served)[-1]


def _inside(url: str) -> PurePosixPath:
    """``url`` as a path; the supervisor, which knows the served directories, checks that it is inside."""
    if not url:
        raise InvalidRequest("the parameter url is required: a bundle inside the directories that are served")
    if "://" in url or "\0" in url:
        raise InvalidRequest("this server downloads nothing; url should be a path inside the directories that are served")
    path = PurePosixPath(url)
    if ".." in path.parts or not path.name:
        raise InvalidRequest(f"{url} does not name a bundle inside the directories that are served")
    return path


def _name_of(path: PurePosixPath) -> str:
    """The last folder's name; of a numbered version its parent's."""
    named = path.parent if path.name.isdecimal() and path.parent.name else path
    return named.name


def _is_at(version: Version, path: PurePosixPath) -> bool:
    return PurePosixPath(version.path).parts[-len(path.parts) :] == path.parts


def _whole(parameters: Parameters, name: str, default: int) -> int:
    text = parameters.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or not text.isascii() or len(text) > 6:
        raise InvalidRequest(f"{name} should be a whole number from 0 to 999999, and not {text[:20]!r}")
    return int(text)


def _true(parameters: Parameters, name: str) -> bool:
    return parameters.get(name, "").lower() == "true"
