"""Models by name and their answers; knows no transport, so that every protocol speaks to this one place."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from roadworthy.core.errors import DataError, InvalidRequest, RequestError, RoadworthyError, Unavailable, UnknownModel, UsageError
from roadworthy.core.types import Arrays
from roadworthy.preprocess.answer import Ranked
from roadworthy.serve.model import Model

LOG = logging.getLogger(__name__)

INLINE_SECONDS = 0.001
"""Calls expected to take less hold the event loop: a thread would cost them more than they cost everybody else."""

SURPRISE_SECONDS = 0.02
"""A model that once held the loop for longer has its thread from then on; its time depends on more than the input's size."""


class InferenceFailed(RoadworthyError):
    """The runtime failed on inputs that fit the signature."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """``feeds`` that fit the signature, or encoded ``images`` for a model that takes them; ``rank`` asks for the top classes."""

    model: str
    version: str | None = None
    feeds: Arrays = field(default_factory=dict)
    images: tuple[bytes, ...] = ()
    rank: bool = False


@dataclass(frozen=True, slots=True)
class InferResponse:
    """Every output of the signature by name; ``ranked`` holds each sample's top classes where they were asked for."""

    model: str
    version: str
    outputs: Arrays
    ranked: tuple[tuple[Ranked, ...], ...]
    samples: int


class DataPlane:
    """The models of one server. All methods belong to the event loop's thread.

    Each session answers one call at a time. ``pending`` bounds how many requests may wait for a model; one more
    is refused at once (Unavailable), because a queue without an end only makes everybody late.
    """

    def __init__(self, *, pending: int = 64) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._pending = pending
        self._opened = False
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether every model passed its checks and the server is not on its way out."""
        return self._opened and not self.draining

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model, in the order given."""
        return tuple(lane.model for lane in self._lanes.values())

    @property
    def waiting(self) -> dict[str, int]:
        """Requests in hand by model's name."""
        return {name: lane.waiting for name, lane in self._lanes.items()}

    def serves(self, name: str) -> bool:
        """Whether there is a model of that name."""
        return name in self._lanes

    def open(self, models: Iterable[Model]) -> None:
        """Take the models in and become ready; raises UsageError where two bear one name."""
        for model in models:
            if model.name in self._lanes:
                raise UsageError(f"two bundles are named {model.name!r}; serve them apart, or pack one under another name")
            self._lanes[model.name] = _Lane(model)
        self._opened = True

    def find(self, name: str, version: str | None = None) -> Model:
        """The model of that name and version; raises UnknownModel, or Unavailable while bundles are still being opened."""
        return self._lane(name, version).model

    async def infer(self, request: InferRequest) -> InferResponse:
        """The answer to ``request``.

        Raises UnknownModel, InvalidRequest where inputs do not fit the signature or an image cannot be read, TooLarge
        for an image above its limit, Unavailable when too many wait, and InferenceFailed when the runtime fails.
        """
        lane = self._lane(request.model, request.version)
        if lane.waiting >= self._pending:
            raise Unavailable(f"{request.model} has {lane.waiting} requests waiting already; try again in a moment")
        lane.waiting += 1
        try:
            if lane.waiting == 1 and lane.cheap(request):
                return lane.inline(request)
            return await asyncio.get_running_loop().run_in_executor(lane.worker, _answer, lane.model, request)
        finally:
            lane.waiting -= 1

    def close(self) -> None:
        """Let what runs finish, then release every model."""
        for lane in self._lanes.values():
            lane.worker.shutdown()
            lane.model.close()

    def _lane(self, name: str, version: str | None) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None or version not in (None, lane.model.version):
            if not self._opened:
                raise Unavailable("the bundles are still being opened and checked; try again in a moment")
            here = ", ".join(f"{model.name} (version {model.version})" for model in self.models)
            raise UnknownModel(f"there is no model {name!r}{f' in version {version}' if version else ''} here; served: {here}")
        return lane


class _Lane:
    """One model with the thread that runs it."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.waiting = 0
        self._surprised = False
        # The thread starts with the first call that needs it.
        self.worker = ThreadPoolExecutor(1, thread_name_prefix=f"model-{model.name}")

    def cheap(self, request: InferRequest) -> bool:
        """Whether the call is expected to be short. An image or a byte string never is: how large it is shows only on decoding."""
        if self._surprised or request.images or any(array.dtype.hasobject for array in request.feeds.values()):
            return False
        return self.model.pace * sum(array.size for array in request.feeds.values()) < INLINE_SECONDS

    def inline(self, request: InferRequest) -> InferResponse:
        """The answer, on the event loop's own thread."""
        begun = time.perf_counter()
        try:
            return _answer(self.model, request)
        finally:
            self._surprised = time.perf_counter() - begun > SURPRISE_SECONDS


def _answer(model: Model, request: InferRequest) -> InferResponse:
    try:
        feeds = model.images(request.images) if request.images else request.feeds
        outputs = model.run(feeds)
        ranked = model.rank(outputs) if request.rank else ()
    except RequestError:
        raise
    except DataError as problem:
        raise InvalidRequest(problem.message) from problem
    except Exception as problem:
        # The client gets a sentence; whoever is called at night needs the rest.
        LOG.exception("%s failed on inputs that fit its signature", model.name)
        raise InferenceFailed(f"{model.name} failed on this request ({type(problem).__name__})", detail=str(problem)) from problem
    return InferResponse(model.name, model.version, outputs, ranked, _samples(feeds))


def _samples(feeds: Arrays) -> int:
    for array in feeds.values():
        return array.shape[0] if array.ndim else 1
    return 0
