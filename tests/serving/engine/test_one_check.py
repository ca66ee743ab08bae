"""Between a caller and the runtime inputs are checked once, and copied once at most: counted, not timed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import roadworthy as rw
from roadworthy.core.types import Array, Arrays, Signature
from roadworthy.runtimes import CheckedSession
from roadworthy.runtimes.null import NullSession
from roadworthy.serving.engine.dataplane import DataPlane, InferRequest
from support.models import bundles
from support.servers.dataplanes import opened

ORDERED = np.arange(24, dtype=np.float32).reshape(2, 12) / 24
STRIDED = np.asfortranarray(ORDERED)


@dataclass
class Counted:
    """``checks`` of inputs, ``layouts`` made anew for the runtime, and what the runtime was given."""

    checks: int = 0
    layouts: int = 0
    joins: int = 0
    seen: list[Array] = field(default_factory=list)

    def clear(self) -> None:
        self.checks = self.layouts = self.joins = 0
        self.seen.clear()

    def only(self) -> Array:
        (one,) = self.seen
        assert one.flags.c_contiguous
        return one


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """Everything is counted; ``clear`` forgets what opening a bundle takes."""
    counted = Counted()

    def counts(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            setattr(counted, name, getattr(counted, name) + 1)
            return real(*arguments, **options)

        return call

    real = NullSession.run

    def run(session: NullSession, feeds: Arrays) -> Arrays:
        counted.seen.append(feeds["x"])
        return real(session, feeds)

    monkeypatch.setattr(CheckedSession, "checked", counts("checks", CheckedSession.checked))
    monkeypatch.setattr(np, "ascontiguousarray", counts("layouts", np.ascontiguousarray))
    monkeypatch.setattr(np, "concatenate", counts("joins", np.concatenate))
    monkeypatch.setattr(NullSession, "run", run)
    return counted


def with_plane(bundle: Path, body: Callable[[DataPlane], Awaitable[None]]) -> None:
    async def main() -> None:
        with opened(bundle) as plane:
            await body(plane)

    asyncio.run(main())


@pytest.mark.parametrize(("x", "layouts"), [(ORDERED, 0), (STRIDED, 1), (STRIDED.astype(np.float64), 0), (ORDERED.tolist(), 0)])
def test_from_python(null_bundle: Path, counted: Counted, x: Any, layouts: int) -> None:
    """An array of another dtype is laid out in order by the very cast."""
    with rw.load(null_bundle) as model:
        counted.clear()
        model(x)
    assert (counted.checks, counted.layouts) == (1, layouts)
    assert np.array_equal(counted.only(), ORDERED)
    assert np.shares_memory(counted.only(), ORDERED) == (x is ORDERED)


@pytest.mark.parametrize(("x", "layouts"), [(ORDERED, 0), (STRIDED, 1)])
def test_from_the_dataplane(null_bundle: Path, counted: Counted, x: Array, layouts: int) -> None:
    async def body(plane: DataPlane) -> None:
        counted.clear()
        await plane.infer(InferRequest(plane.pick("linear"), {"x": x}))
        assert (counted.checks, counted.layouts, counted.joins) == (1, layouts, 0)
        assert np.shares_memory(counted.only(), x) == (not layouts)

    with_plane(null_bundle, body)


def test_requests_that_share_a_call_are_copied_by_being_joined(null_bundle: Path, counted: Counted) -> None:
    async def body(plane: DataPlane) -> None:
        (queue,) = plane.queues
        queue.cap = 4
        counted.clear()
        await asyncio.gather(*(plane.infer(InferRequest(plane.pick("linear"), {"x": x})) for x in (STRIDED, ORDERED)))
        assert (counted.checks, counted.layouts, counted.joins) == (2, 0, 1)
        assert np.array_equal(counted.only(), np.vstack([ORDERED, ORDERED]))

    with_plane(null_bundle, body)


def test_pieces_of_a_call_are_copied_once_each(tmp_path: Path, counted: Counted) -> None:
    """Of what is too much for one call every piece is laid out by itself, not the whole before."""
    limited = Signature(bundles.LINEAR.inputs, bundles.LINEAR.outputs, max_batch=2)
    x = np.asfortranarray(np.vstack([ORDERED, ORDERED]))
    with rw.load(bundles.write_bundle(tmp_path / "limited", signature=limited)) as model:
        counted.clear()
        model(x)
    assert (counted.checks, counted.layouts) == (1, 2)
    assert all(len(piece) == 2 and piece.flags.c_contiguous for piece in counted.seen)
