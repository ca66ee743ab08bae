"""Models by name and version and their answers; knows no transport, so that every protocol speaks to this one place."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from roadworthy.core.errors import Unavailable, UnknownModel
from roadworthy.core.types import Arrays
from roadworthy.preprocess.answer import Ranked
from roadworthy.serving.engine.counters import Counters
from roadworthy.serving.engine.image_decoding import Decoder
from roadworthy.serving.engine.model import Model
from roadworthy.serving.engine.model_queue import InferenceFailed as InferenceFailed
from roadworthy.serving.engine.model_queue import Lane
from roadworthy.serving.engine.shadow import mirror
from roadworthy.serving.limits import DEFAULT, Limits
from roadworthy.serving.registry.catalogue import Catalogue, Served
from roadworthy.serving.registry.commands import AnyCommand, check

Manage = Callable[[AnyCommand], Awaitable[None]]
Totals = Callable[[], Awaitable[Counters]]


@dataclass(frozen=True, slots=True)
class Target:
    """The model that answers a request, and the version that gets a copy of it, if any."""

    model: Model
    shadow: str | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """``feeds`` that fit the signature of ``target.model``, or encoded ``images`` for a model that takes them; ``rank`` asks
    for the top classes. ``deadline`` is a reading of ``time.monotonic()`` after which nobody wants the answer."""

    target: Target
    feeds: Arrays = field(default_factory=dict)
    images: tuple[bytes, ...] = ()
    rank: bool = False
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class InferResponse:
    """Every output of the signature by name; ``ranked`` holds each sample's top classes where they were asked for."""

    model: str
    version: str
    outputs: Arrays
    ranked: tuple[tuple[Ranked, ...], ...]


class DataPlane:
    """The models of one worker. All methods belong to the event loop's thread.

    ``catalogue`` is the whole server's, as the supervisor last said. ``manage`` carries a command out on the whole server
    and returns when it is done everywhere (or raises a RequestError), ``totals`` adds up what all workers counted.
    ``draft_jpeg`` is for the ``Decoder``.
    """

    def __init__(self, *, limits: Limits = DEFAULT, manage: Manage, totals: Totals, counters: Counters, draft_jpeg: bool = False) -> None:
        self.limits, self.totals, self.counters = limits, totals, counters
        self._manage = manage
        self.catalogue = Catalogue()
        self.opened = False
        self.draining = False
        self.trouble = ""
        """Why nobody answers here, in the words of the supervisor, where it has any."""
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._decoder = Decoder(limits, draft=draft_jpeg)

    @property
    def ready(self) -> bool:
        """Whether every model had its verdict, one answers at least, and the server is not on its way out."""
        return self.opened and bool(self._lanes) and not self.draining

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """What is loaded in this worker."""
        return tuple(self._lanes.values())

    def serves(self, name: str) -> bool:
        """Whether the server knows a model of that name, ready or not."""
        return self.catalogue.find(name) is not None

    def find(self, name: str, version: str | None = None, label: str | None = None) -> Model:
        """The model of that name and version or label, else of the version that answers by default.

        Raises UnknownModel, or Unavailable while it is being loaded.
        """
        served = self._served(name)
        return self._lane(served, self._version(served, version, label)).model

    def pick(self, name: str, version: str | None = None, label: str | None = None) -> Target:
        """What answers this one inference: as ``find``, but the canary gets its share of what names neither version nor label.

        Raises Unavailable also where too many wait: before the request is read, so that refusing costs hardly anything.
        """
        served = self._served(name)
        if version is not None or label is not None:
            lane = self._lane(served, self._version(served, version, label))
            lane.admit()
            return Target(lane.model)
        chosen = None
        if served.canary is not None and random.random() < served.canary.share and (name, served.canary.version) in self._lanes:
            chosen = served.canary.version
        lane = self._lane(served, chosen or self._version(served, None, None))
        lane.admit()
        return Target(lane.model, served.shadow if served.shadow != lane.model.version else None)

    async def infer(self, request: InferRequest) -> InferResponse:
        """The answer to ``request``.

        Raises UnknownModel, InvalidRequest where inputs do not fit the signature or an image cannot be read, TooLarge
        for an image above its limit, Unavailable when too many wait, DeadlineExceeded, and InferenceFailed when the
        runtime fails. Cancelling the call takes the request out of the queue.
        """
        model = request.target.model
        lane = self._lanes.get((model.name, model.version))
        if lane is None:
            raise Unavailable(f"{model.name} version {model.version} is being unloaded")
        feeds = request.feeds
        if request.images:
            lane.admit()
            try:
                feeds = await self._decoder.images(model, request.images, request.deadline)
            except Unavailable:
                lane.counters.refused += 1
                raise
        outputs = await lane.submit(feeds, request.deadline)
        if request.target.shadow is not None and (shadow := self._lanes.get((model.name, request.target.shadow))):
            mirror(shadow, feeds, outputs)
        return InferResponse(model.name, model.version, outputs, model.rank(outputs) if request.rank else ())

    async def manage(self, command: AnyCommand) -> None:
        """Carry ``command`` out on the whole server; raises InvalidRequest for names and paths that cannot be, or what went wrong."""
        check(command)
        await self._manage(command)

    # What the worker does as the supervisor says

    def add(self, lane: Lane) -> None:
        """From now on this version can answer; what had its name and version before retires."""
        self._lanes[lane.model.name, lane.model.version] = lane

    def remove(self, name: str, version: str) -> Lane | None:
        """From now on it cannot; who holds the lane closes it once it is drained."""
        return self._lanes.pop((name, version), None)

    def route(self, catalogue: Catalogue) -> None:
        """Choose by this from now on."""
        self.catalogue = catalogue

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

    def _lane(self, served: Served, version: str) -> Lane:
        lane = self._lanes.get((served.name, version))
        if lane is None:
            raise self._absent(served, version)
        return lane

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
