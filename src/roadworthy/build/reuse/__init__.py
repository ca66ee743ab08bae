"""What an earlier deployment on this host made: used again where everything that a step depends on is the same, by its content.

A step may be reused that reads only what its request names and writes only into ``request.out``. Its result is a function of the request's
content, of the packages and of the host. What proves a candidate (verification, timing, the last opening) is never reused.
"""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from roadworthy.build.reuse import store, surroundings
from roadworthy.build.reuse.content import Contents, NotCertain, relocated
from roadworthy.build.reuse.store import Entry, Store
from roadworthy.core import codec
from roadworthy.core.errors import RoadworthyError

R = TypeVar("R")
A_contra = TypeVar("A_contra", contravariant=True)
OUT = Path("out")
"""What stands for the request's own ``out`` in a key and in an entry."""


class WritesOut(Protocol):
    """A step's request: a frozen dataclass that names the one directory that the step writes, which is new."""

    @property
    def out(self) -> Path: ...


W = TypeVar("W", bound=WritesOut)


@dataclass(frozen=True)
class EarlierResult(Generic[R]):
    """A step's result, whose files are in ``out`` again, and when it was made (ISO 8601)."""

    result: R
    made: str


class Reuse:
    """The results of earlier deployments for the steps of one, which works in ``scratch``. Without a ``store`` nothing is found or kept.

    ``around`` is what all steps depend on beside their requests.
    """

    def __init__(self, store: Store | None, scratch: Path, around: str = "") -> None:
        self._store = store
        self._contents = Contents(scratch)
        self._around = around

    def key(self, function: Callable[[W], R], request: W) -> str | None:
        """A digest of everything that the step depends on; ``None`` where that is not certain."""
        if self._store is None:
            return None
        try:
            named = relocated(request, lambda path: OUT if path == request.out else Path(self._contents.digest(path)))
        except (NotCertain, OSError):
            return None
        parts = (f"{function.__module__}:{function.__qualname__}".encode(), self._around.encode(), codec.to_json(named))
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def find(self, key: str | None, function: Callable[[W], R], out: Path) -> EarlierResult[R] | None:
        """The result under ``key``, with its files in ``out``; ``None`` where there is none that is whole."""
        entry = self._store.get(key, out) if self._store and key else None
        if entry is None:
            return None
        try:
            result = codec.from_json(_result_of(function), entry.result.encode())
        except RoadworthyError:
            return None
        return EarlierResult(relocated(result, lambda path: out / path.relative_to(OUT)), entry.made)

    def keep(self, key: str | None, function: Callable[[W], R], result: R, out: Path) -> None:
        """Keep ``result`` and the files in ``out`` under ``key``, where it has all of its files there. This never fails."""
        if self._store is None or key is None:
            return
        try:
            data = codec.to_json(relocated(result, lambda path: OUT / _below(path, out)))
            # A figure that is not finite is lost in JSON.
            codec.from_json(_result_of(function), data)
        except (NotCertain, RoadworthyError):
            return
        self._store.put(key, Entry(datetime.now(UTC).isoformat(timespec="seconds"), data.decode(), ()), out)

    def find_unfinished(self, key: str | None, folder: Path) -> None:
        """Put into the empty ``folder`` what a step under ``key`` had written there when it was interrupted, if it was."""
        if self._store is not None and key is not None:
            folder.rmdir()
            self._store.get(_unfinished(key), folder)
            folder.mkdir(exist_ok=True)

    def keep_unfinished(self, key: str | None, folder: Path) -> None:
        """Keep what an interrupted step has written to ``folder``, for the next run to go on from. This never fails."""
        if self._store is not None and key is not None:
            self._store.put(_unfinished(key), Entry(datetime.now(UTC).isoformat(timespec="seconds"), "", ()), folder)


def open_reuse(scratch: Path, writable: Iterable[Path], *, wanted: bool) -> tuple[Reuse, str]:
    """The reuse of a deployment that works in ``scratch``, and why it is off although it was ``wanted``, or "".

    ``writable`` are the directories that the steps may write to: what they could forge is not believed.
    """
    if not wanted:
        return Reuse(None, scratch), ""
    try:
        return Reuse(store.open_store(writable), scratch, surroundings.describe()), ""
    except (store.NotUsable, OSError) as problem:
        return Reuse(None, scratch), str(problem)


def _result_of(function: Callable[[W], R]) -> type[R]:
    return typing.cast("type[R]", typing.get_type_hints(function)["return"])


def _unfinished(key: str) -> str:
    return hashlib.sha256(f"unfinished {key}".encode()).hexdigest()


def _below(path: Path, out: Path) -> Path:
    if not path.is_relative_to(out):
        raise NotCertain(f"{path} is not among the files that the step wrote")
    return path.relative_to(out)
