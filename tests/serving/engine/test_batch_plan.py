"""Batch plans: a batch only where it gains, more threads only where they pay, and never more threads than there are cores."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from roadworthy.core.stages import Plan
from roadworthy.core.types import Arrays, Signature
from roadworthy.serving.engine import batch_plan as planning
from roadworthy.serving.engine.batch_plan import batches, one_is_enough, share
from roadworthy.serving.engine.local import LocalEngine
from support.servers.serving import ECHO


class Clock:
    """Time that passes only in calls, so that what is measured is what was meant."""

    now = 0.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    def perf_counter(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "time", CLOCK)


@dataclass
class Timed:
    """An engine whose calls take a known time: ``base`` seconds and ``each`` more for every sample."""

    base: float = 0.0
    each: float = 0.0
    signature: Signature = ECHO
    variant: Any = field(default_factory=lambda: SimpleNamespace(plan=Plan("testkit")))
    calls: list[int] = field(default_factory=list)

    def run(self, feeds: Arrays) -> Arrays:
        samples = len(feeds["x"])
        self.calls.append(samples)
        CLOCK.pass_by(self.base + self.each * samples)
        return {"y": feeds["x"]}


def engine(timed: Timed) -> LocalEngine:
    return cast("LocalEngine", timed)


FEEDS: Arrays = {"x": np.ones((3, 2), np.float32)}


def test_a_call_that_takes_the_same_for_any_batch_takes_many() -> None:
    cap, seconds = batches(engine(Timed(base=0.002)), FEEDS, longest=0.25)
    assert cap == 32
    assert list(seconds) == [1, 2, 4, 8, 16, 32]
    assert all(took == pytest.approx(0.002) for took in seconds.values())


def test_a_call_that_takes_its_time_for_every_sample_takes_one() -> None:
    cap, seconds = batches(engine(Timed(each=0.003)), FEEDS, longest=0.25)
    assert cap == 1 and {1, 2} <= seconds.keys()
    assert seconds[2] >= 0.006


def test_a_small_gain_is_ignored() -> None:
    cap, seconds = batches(engine(Timed(base=0.0005, each=0.008)), FEEDS, longest=0.25)
    assert cap == 1 and len(seconds) > 3


def test_the_smallest_batch_is_taken_that_gains_nearly_all() -> None:
    @dataclass
    class Saturated(Timed):
        """Free up to four samples, no gain beyond."""

        def run(self, feeds: Arrays) -> Arrays:
            CLOCK.pass_by(0.003 * max(1.0, len(feeds["x"]) / 4))
            return {}

    cap, _ = batches(engine(Saturated()), FEEDS, longest=0.25)
    assert cap == 4


def test_no_batch_takes_longer_than_a_request_may_wait() -> None:
    timed = Timed(base=0.02, each=0.001)
    cap, seconds = batches(engine(timed), FEEDS, longest=0.025)
    assert seconds.keys() == {1}, "two times as long as one would be too long already, for all that is known"
    assert cap == 1
    cap, seconds = batches(engine(Timed(base=0.01, each=0.002)), FEEDS, longest=0.03)
    assert seconds[cap] <= 0.03


def test_measuring_comes_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "BUDGET_SECONDS", 0.05)
    timed = Timed(base=0.06)
    _, seconds = batches(engine(timed), FEEDS, longest=10)
    assert list(seconds) == [1, 2] and len(timed.calls) <= 4


def test_what_cannot_be_batched_is_not() -> None:
    unbatched = Signature(
        tuple(replace(spec, shape=(1, 2)) for spec in ECHO.inputs), tuple(replace(spec, shape=(1, 2)) for spec in ECHO.outputs)
    )
    fixed = Timed(base=0.001, variant=SimpleNamespace(plan=Plan("testkit", batch=4)))
    for timed in (Timed(base=0.001, signature=unbatched), fixed):
        cap, seconds = batches(engine(timed), {"x": np.ones((1, 2), np.float32)}, longest=1)
        assert cap == 1 and seconds.keys() == {1} and set(timed.calls) == {1}


def test_threads_that_gain_little_are_not_used() -> None:
    two = engine(Timed(base=0.015))
    assert one_is_enough(engine(Timed(base=0.0153)), two, FEEDS)
    assert not one_is_enough(engine(Timed(base=0.025)), two, FEEDS)


@pytest.mark.parametrize(("cores", "processes", "each"), [(8, 2, 4), (8, 8, 1), (2, 8, 1), (7, 2, 3), (1, 1, 1)])
def test_the_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, each: int) -> None:
    monkeypatch.setattr(planning, "usable_cores", lambda: cores)
    assert share(processes) == each
