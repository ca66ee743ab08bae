"""Path to session, one file a runtime; every package runs a candidate through ``open_session``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from roadworthy.core import registry
from roadworthy.core.errors import InvalidRequest, UsageError
from roadworthy.core.interfaces import Session
from roadworthy.core.stages import Plan
from roadworthy.core.types import BATCH, Array, Arrays, Signature, TensorSpec
from roadworthy.preprocess.front import Front, front_of


def open_session(path: Path, signature: Signature, plan: Plan) -> CheckedSession:
    """Load ``path`` as ``plan`` says.

    ``signature`` is the model's own, with its symbolic batch; where the plan fixes a batch, larger calls
    are cut into pieces of that size, and the last one filled up. Steps that are in front of the model at ``path`` are carried out here.
    Raises UsageError for options that the runtime does not have.
    """
    inner = signature.fixed(plan.batch) if plan.batch and signature.dynamic else signature
    runtime = registry.runtime(plan.runtime)
    known: tuple[str, ...] = getattr(runtime, "OPTIONS", ())
    if unknown := [option for option in plan.options if option not in known]:
        raise UsageError(f"{plan.runtime} has no option {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    if found := front_of(path):
        front, model = found
        return CheckedSession(FrontSession(front, runtime.load(model, front.behind(inner), plan)), signature, plan.batch)
    return CheckedSession(runtime.load(path, inner, plan), signature, plan.batch)


class FrontSession:
    """A session of a model with steps in front: pixels become what the model takes, in NumPy."""

    def __init__(self, front: Front, model: Session) -> None:
        self.front, self._model = front, model

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name."""
        return self.answer({name: self.front.samples(pixels) for name, pixels in feeds.items()})

    def answer(self, samples: Arrays) -> Arrays:
        """The outputs for what the steps gave."""
        return self._model.run(samples)

    def close(self) -> None:
        self._model.close()


@dataclass(frozen=True, slots=True)
class Checked:
    """``feeds`` that fit a session's signature, by name in its order, and the number of samples in them (1 without a batch).

    ``CheckedSession.checked`` makes them, so that a request is checked once on its way to the runtime. Several may be joined along
    the batch.
    """

    feeds: Arrays
    samples: int


class CheckedSession:
    """A session behind the signature: feeds are checked here, and laid out C-contiguous just before the runtime reads them.

    Some runtimes read a strided array as if it were contiguous, without a word; none of them sees one.
    """

    def __init__(self, session: Session, signature: Signature, batch: int | None) -> None:
        self.signature = signature
        self.inner = session
        self.front = session if isinstance(session, FrontSession) else None
        self._batch = batch if signature.dynamic else None
        self._inputs = tuple((spec, np.dtype(spec.dtype)) for spec in signature.inputs)
        self._run: Callable[[Arrays], Arrays] = session.run

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name; raises InvalidRequest where ``feeds`` do not fit the signature."""
        return self.answer(self.checked(feeds))

    def checked(self, feeds: Arrays) -> Checked:
        """``feeds`` as they are, not copied; raises InvalidRequest where they do not fit the signature."""
        ready: dict[str, Array] = {}
        symbols: dict[str, int] = {}
        for spec, dtype in self._inputs:
            array = feeds.get(spec.name)
            if array is None:
                raise InvalidRequest(f"input {spec.name!r} is missing; the model takes {', '.join(map(str, self.signature.inputs))}")
            if array.dtype != dtype or not _fits(array.shape, spec, symbols):
                raise InvalidRequest(f"input {spec.name!r} has dtype {array.dtype} and shape {list(array.shape)}; the model takes {spec}")
            ready[spec.name] = array
        if self.signature.sizes and (fault := self.signature.size_fault(symbols)):
            raise InvalidRequest(fault)
        if len(feeds) != len(self._inputs):
            stray = next(name for name in feeds if name not in ready)
            raise InvalidRequest(f"there is no input {stray!r}; the model takes {', '.join(map(str, self.signature.inputs))}")
        return Checked(ready, symbols.get(BATCH, 1))

    def answer(self, given: Checked) -> Arrays:
        """The outputs by name for what was checked by this session, or by another of the same signature."""
        limit = self.signature.max_batch
        if limit is not None and given.samples > limit and self.signature.dynamic and self._batch is None:
            return self._in_pieces(given, limit, pad=False)
        if self._batch is None or given.samples == self._batch:
            return self._call(given.feeds)
        return self._in_pieces(given, self._batch, pad=True)

    def _call(self, feeds: Arrays) -> Arrays:
        """One call of the runtime, which sees memory in order: what is strided is copied, once."""
        for array in feeds.values():
            if not array.flags.c_contiguous:
                return self._run({name: np.ascontiguousarray(array) for name, array in feeds.items()})
        return self._run(feeds)

    def _in_pieces(self, given: Checked, size: int, *, pad: bool) -> Arrays:
        """The outputs of calls of ``size`` samples; with ``pad`` the last sample is repeated until the last call is full."""
        signature, pieces = self.signature, []
        for start in range(0, given.samples, size):
            count = min(size, given.samples - start)
            which = np.minimum(np.arange(start, start + size), given.samples - 1) if pad and count < size else slice(start, start + size)
            outputs = self._call({spec.name: spec.take(given.feeds[spec.name], which) for spec in signature.inputs})
            # Copies: a runtime may write its next answers into the same memory.
            pieces.append({spec.name: np.array(spec.take(outputs[spec.name], slice(count))) for spec in signature.outputs})
        return {spec.name: spec.joined([piece[spec.name] for piece in pieces]) for spec in signature.outputs}

    def close(self) -> None:
        """Release the runtime's resources; a later ``run`` raises UsageError."""
        self._run = _closed
        self.inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _closed(feeds: Arrays) -> Arrays:
    raise UsageError("this session is closed; open it again")


def _fits(shape: tuple[int, ...], spec: TensorSpec, symbols: dict[str, int]) -> bool:
    if len(shape) != len(spec.shape):
        return False
    for size, wanted in zip(shape, spec.shape, strict=True):
        if size == 0 or (size != wanted if isinstance(wanted, int) else symbols.setdefault(wanted, size) != size):
            return False
    return True
