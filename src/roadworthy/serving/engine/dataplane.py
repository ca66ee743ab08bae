"""Inference by model name and version, independent of any transport: all protocols call it."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from roadworthy.core.errors import InvalidRequest, Unavailable, UnknownModel
from roadworthy.core.types import Array, Arrays
from roadworthy.preprocess.answer import Ranked
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.items.preparing import Preparer
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.engine.model_queue import InferenceFailed as InferenceFailed
from roadworthy.serving.engine.model_queue import ModelQueue
from roadworthy.serving.engine.shadow import mirror
from roadworthy.serving.limits import DEFAULT, ServerLimits
from roadworthy.serving.registry.catalogue import Catalogue, Served
from roadworthy.serving.registry.commands import AnyCommand, check

Manage = Callable[[AnyCommand], Awaitable[None]]
Totals = Callable[[], Awaitable[Counters]]


@dataclass(frozen=True, slots=True)
class Target:
    """The engine that answers a request, and the version that gets a copy of the request, if any."""

    model: LocalEngine
    shadow: str | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """``feeds`` that fit the signature of ``target.model``, or ``items`` for a model that takes them: encoded images, texts in UTF-8
    or wav files. ``rank`` asks for the top classes, ``place`` for where each sample lies in its image. ``deadline`` is a reading of
    ``time.monotonic()``; no answer is needed after it."""

    target: Target
    feeds: Arrays = field(default_factory=dict)
    items: tuple[bytes, ...] = ()
    rank: bool = False
    deadline: float | None = None
    place: bool = False


@dataclass(frozen=True, slots=True)
class InferResponse:
    """Every output of the signature by name; ``ranked`` holds each sample's top classes where they were asked for, and ``places``
    each sample's ``Placement.matrix``, [samples, 2, 3]."""

    model: str
    version: str
    outputs: Arrays
    ranked: tuple[tuple[Ranked, ...], ...]
    places: Array | None = None


class DataPlane:
    """The models of one worker. All methods belong to the event loop's thread.

    ``catalogue`` is that of the whole server, last set by the supervisor; requests are routed by it. ``manage`` carries a command out in
    all workers and returns when it is done (or raises a RequestError); ``totals`` returns the sum of all workers' counters.
    ``draft_jpeg`` is for the ``Decoder``.
    """

    def __init__(
        self, *, limits: ServerLimits = DEFAULT, manage: Manage, totals: Totals, counters: Counters, draft_jpeg: bool = False
    ) -> None:
        self.limits, self.totals, self.counters = limits, totals, counters
        self._manage = manage
        self.catalogue = Catalogue()
        self.opened = False
        self.draining = False
        self.trouble = ""
        """The supervisor's reason why no worker answers; empty where there is none."""
        self._queues: dict[tuple[str, str], ModelQueue] = {}
        self._preparer = Preparer(limits, draft=draft_jpeg)

    @property
    def ready(self) -> bool:
        """Whether every model was opened or refused, at least one answers, and the server is not stopping."""
        return self.opened and bool(self._queues) and not self.draining

    @property
    def queues(self) -> tuple[ModelQueue, ...]:
        """The versions that answer in this worker."""
        return tuple(self._queues.values())

    def serves(self, name: str) -> bool:
        """Whether the server knows a model of that name, ready or not."""
        return self.catalogue.find(name) is not None

    def find(self, name: str, version: str | None = None, label: str | None = None) -> LocalEngine:
        """The model of that name and version or label, else of the version that answers by default.

        Raises UnknownModel, or Unavailable while it is being loaded.
        """
        served = self._served(name)
        return self._queue(served, self._version(served, version, label)).model

    def pick(self, name: str, version: str | None = None, label: str | None = None) -> Target:
        """The target of one inference: as ``find``, but the canary gets its share of the requests without a version or a label.

        Raises Unavailable also where too many requests wait. Call it before the body is parsed: a refused request then costs little.
        """
        served = self._served(name)
        if version is not None or label is not None:
            queue = self._queue(served, self._version(served, version, label))
            queue.admit()
            return Target(queue.model)
        chosen = None
        if served.canary is not None and random.random() < served.canary.share and (name, served.canary.version) in self._queues:
            chosen = served.canary.version
        queue = self._queue(served, chosen or self._version(served, None, None))
        queue.admit()
        return Target(queue.model, served.shadow if served.shadow != queue.model.version else None)

    async def infer(self, request: InferRequest) -> InferResponse:
        """The answer to ``request``.

        Raises UnknownModel, InvalidRequest where inputs do not fit the signature or an item cannot be read, TooLarge
        for an item above its limit, Unavailable when too many requests wait, DeadlineExceeded, and InferenceFailed when the
        runtime fails. Cancelling the coroutine takes the request out of the queue.
        """
        model = request.target.model
        queue = self._queues.get((model.name, model.version))
        if queue is None:
            raise Unavailable(f"{model.name} version {model.version} is being unloaded")
        feeds, places = request.feeds, None
        if request.place and not (request.items and model.kind == "image"):
            raise InvalidRequest("the placement says where a sample lies in its image, and this request holds no images")
        if request.items:
            queue.admit()
            try:
                feeds = await self._preparer.feeds(model, request.items, request.deadline)
                places = await self._preparer.places(model, request.items) if request.place else None
            except Unavailable:
                queue.counters.refused += 1
                raise
        outputs = await queue.submit(feeds, request.deadline)
        if request.target.shadow is not None and (shadow := self._queues.get((model.name, request.target.shadow))):
            mirror(shadow, feeds, outputs)
        return InferResponse(model.name, model.version, outputs, model.rank(outputs) if request.rank else (), places)

    async def manage(self, command: AnyCommand) -> None:
        """Carry ``command`` out in all workers; raises InvalidRequest for an impossible name or path, and the errors of the command."""
        check(command)
        await self._manage(command)

    # Called by the worker

    def add(self, queue: ModelQueue) -> None:
        """Let this version answer, in place of a queue with the same name and version."""
        self._queues[queue.model.name, queue.model.version] = queue

    def remove(self, name: str, version: str) -> ModelQueue | None:
        """Let this version answer no more; the caller closes the queue once it is drained."""
        return self._queues.pop((name, version), None)

    def _served(self, name: str) -> Served:
        served = self.catalogue.find(name)
        if served is None:
            if not self.opened:
                raise Unavailable("the bundles are still being opened and checked; try again in a moment")
            here = ", ".join(served.name for served in self.catalogue.models)
            raise UnknownModel(f"there is no model {name!r} here; served: {here or 'nothing'}")
        return served

    def _version(self, served: Served, version: str | None, label: str | None) -> str:
        if label is not None:
            if label not in served.labels:
                raise UnknownModel(f"{served.name} has no label {label!r}; it has {', '.join(served.labels) or 'none'}")
            return served.labels[label]
        if version is not None:
            return version
        if served.current is None:
            raise self._absent(served, None)
        return served.current

    def _queue(self, served: Served, version: str) -> ModelQueue:
        queue = self._queues.get((served.name, version))
        if queue is None:
            raise self._absent(served, version)
        return queue

    def _absent(self, served: Served, version: str | None) -> Exception:
        known = served.version(version) if version else None
        states: Sequence[str] = [known.state] if known else [] if version else [one.state for one in served.versions]
        if "loading" in states or not self.opened:
            return Unavailable(self.trouble or f"{served.name} is being loaded and checked; try again in a moment")
        if "failed" in states and version is None:
            return Unavailable(f"{served.name} has no version that passed its checks", after=10)
        here = ", ".join(one.version for one in served.ready)
        wanted = f" in version {version!r}" if version else ""
        return UnknownModel(f"there is no model {served.name!r}{wanted} here; its versions: {here or 'none'}")
