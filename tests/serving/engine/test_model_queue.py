"""Model queues: batches without a timer, one culprit at a time, deadlines, cancellation, a bounded queue, counts that add up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from roadworthy.core.errors import DeadlineExceeded, InvalidRequest, StepFailed, Unavailable
from roadworthy.core.types import Arrays, Signature, TensorSpec
from roadworthy.runtimes import Checked
from roadworthy.serving.engine.counters import Inferences
from roadworthy.serving.engine.model_queue import InferenceFailed, ModelQueue
from roadworthy.serving.limits import ServerLimits
from support.waiting import HANG_SECONDS

SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 2)),), (TensorSpec("y", "float32", ("batch", 2)),))


@dataclass
class Doubler:
    """A small engine. ``seconds_per_element`` decides whether calls are inline, ``gate`` blocks them, the number 13 makes them fail."""

    seconds_per_element: float = 0.01
    name: str = "doubler"
    signature: Signature = SIGNATURE
    gate: threading.Event = field(default_factory=threading.Event)
    calls: list[int] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def checked(self, feeds: Arrays) -> Checked:
        if feeds["x"].shape[1:] != (2,):
            raise InvalidRequest("it does not fit")
        return Checked(feeds, int(feeds["x"].shape[0]))

    def answer(self, given: Checked) -> Arrays:
        feeds = given.feeds
        self.threads.add(threading.current_thread().name)
        self.gate.wait(HANG_SECONDS)
        self.calls.append(len(feeds["x"]))
        if (feeds["x"] == 13).any():
            raise StepFailed("thirteen")
        if (feeds["x"] == 14).any():
            raise MemoryError
        return {"y": feeds["x"] * 2}

    def close(self) -> None:
        self.calls.append(-1)


def x(*numbers: float) -> Arrays:
    return {"x": np.array([[number, number] for number in numbers], np.float32)}


def with_queue(body: Callable[[ModelQueue, Doubler], Awaitable[None]], model: Doubler, **options: Any) -> Inferences:
    """Run ``body`` with a queue over ``model``; what it counted."""
    counters = Inferences()

    async def main() -> None:
        queue = ModelQueue([model], counters, **options)  # type: ignore[list-item]
        await body(queue, model)
        model.gate.set()
        async with asyncio.timeout(HANG_SECONDS):
            await queue.drained()
        assert queue.waiting == queue.running == 0
        queue.close()

    asyncio.run(main())
    assert model.calls[-1] == -1, "closed"
    return counters


def open_doubler(seconds_per_element: float = 0.01) -> Doubler:
    model = Doubler(seconds_per_element)
    model.gate.set()
    return model


def test_a_cheap_call_runs_on_the_loops_own_thread() -> None:
    async def body(queue: ModelQueue, model: Doubler) -> None:
        assert np.array_equal((await queue.submit(x(1)))["y"], [[2, 2]])

    model = open_doubler(seconds_per_element=1e-7)
    counters = with_queue(body, model)
    assert model.threads == {threading.current_thread().name}
    assert (counters.succeeded.count, counters.samples, counters.executions) == (1, 1, 1)


def test_what_arrives_in_one_turn_is_one_call_up_to_the_cap() -> None:
    async def body(queue: ModelQueue, model: Doubler) -> None:
        answers = await asyncio.gather(*(queue.submit(x(number)) for number in range(6)))
        assert [answer["y"][0, 0] for answer in answers] == [0, 2, 4, 6, 8, 10]

    model = open_doubler(seconds_per_element=1e-7)
    counters = with_queue(body, model, cap=4)
    assert model.calls == [4, 2, -1]
    assert counters.batches[4].run.count == counters.batches[2].run.count == 1
    assert counters.succeeded.count == 6 and counters.executions == 2


def test_a_long_call_has_its_thread_and_what_waited_meanwhile_goes_together() -> None:
    async def body(queue: ModelQueue, model: Doubler) -> None:
        first = asyncio.create_task(queue.submit(x(1)))
        while not model.threads:
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(queue.submit(x(number, number))) for number in (2, 3)]
        await asyncio.sleep(0.01)
        assert queue.busy and queue.waiting == 2 and queue.running == 1
        model.gate.set()
        answers = await asyncio.gather(first, *others)
        assert [answer["y"][:, 0].tolist() for answer in answers] == [[2], [4, 4], [6, 6]]

    model = Doubler()
    with_queue(body, model, cap=8)
    assert model.calls == [1, 4, -1]
    assert model.threads == {"model-doubler"}


def test_requests_of_other_shapes_or_above_the_cap_are_calls_of_their_own() -> None:
    async def body(queue: ModelQueue, model: Doubler) -> None:
        await asyncio.gather(queue.submit(x(1)), queue.submit(x(*range(10))), queue.submit(x(2)))
        with pytest.raises(InvalidRequest):
            await queue.submit({"x": np.zeros((1, 3), np.float32)})

    model = open_doubler(seconds_per_element=1e-7)
    counters = with_queue(body, model, cap=4)
    assert model.calls == [1, 10, 1, -1]
    assert counters.accepted == 3


def test_only_the_bad_request_of_a_failed_batch_fails() -> None:
    async def body(queue: ModelQueue, model: Doubler) -> None:
        answers = await asyncio.gather(*(queue.submit(x(number)) for number in (1, 13, 2)), return_exceptions=True)
        assert isinstance(answers[1], InferenceFailed) and "StepFailed" in answers[1].message
        assert answers[0]["y"][0, 0] == 2 and answers[2]["y"][0, 0] == 4  # type: ignore[index]
        with pytest.raises(Unavailable, match="no memory left"):
            await queue.submit(x(14))

    counters = with_queue(body, open_doubler(seconds_per_element=1e-7), cap=4)
    assert (counters.succeeded.count, counters.failed.count) == (2, 2)


def test_outputs_without_a_row_for_each_sample_are_never_split() -> None:
    """A detector gives as many rows as it finds: taken apart by samples they would go to another request."""

    def found(given: Checked) -> Arrays:
        calls.append(given.samples)
        return {"y": np.repeat(given.feeds["x"], 3, axis=0)}

    async def body(queue: ModelQueue, model: Doubler) -> None:
        model.answer = found  # type: ignore[method-assign]
        for _ in range(2):
            answers = await asyncio.gather(*(queue.submit(x(number)) for number in (1, 2)))
            assert [answer["y"][:, 0].tolist() for answer in answers] == [[1, 1, 1], [2, 2, 2]]
        assert queue.cap == 1

    calls: list[int] = []
    counters = with_queue(body, open_doubler(seconds_per_element=1e-7), cap=4)
    assert calls == [2, 1, 1, 1, 1]
    assert counters.succeeded.count == 4 and counters.failed.count == 0


def test_what_has_no_batch_axis_is_never_batched() -> None:
    async def body(queue: ModelQueue, model: Doubler) -> None:
        assert queue.cap == 1

    model = open_doubler()
    model.signature = Signature(SIGNATURE.inputs, (TensorSpec("y", "float32", (2,)),))
    with_queue(body, model, cap=8)


def test_what_waits_too_long_by_the_clock_or_by_its_client_never_runs() -> None:
    async def body(queue: ModelQueue, model: Doubler) -> None:
        first = asyncio.create_task(queue.submit(x(1)))
        while not model.threads:
            await asyncio.sleep(0.001)
        late = asyncio.create_task(queue.submit(x(2), time.monotonic() + 0.02))
        gone = asyncio.create_task(queue.submit(x(3)))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(DeadlineExceeded, match="ran out"):
            await late
        assert queue.waiting == 0, "neither is in the queue any more"
        model.gate.set()
        await first
        assert queue.predicted_wait == 0

    model = Doubler()
    counters = with_queue(body, model, cap=1)
    assert model.calls == [1, -1]
    assert (counters.succeeded.count, counters.expired, counters.cancelled, counters.accepted) == (1, 1, 1, 3)


def test_the_queue_is_bounded_by_what_it_would_take() -> None:
    async def body(queue: ModelQueue, model: Doubler) -> None:
        tasks = [asyncio.create_task(queue.submit(x(0))) for _ in range(8)]
        await asyncio.sleep(0.01)
        with pytest.raises(Unavailable, match="try again later") as refused:
            await queue.submit(x(0))
        assert 0.3 <= refused.value.after < 1
        model.gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        # 0.1 s a sample: one runs, three wait 0.1, 0.2 and 0.3 s, and beyond that no request is accepted.
        assert sum(isinstance(one, Unavailable) for one in done) == 8 - 4

    counters = with_queue(body, Doubler(seconds_per_element=0.05), limits=ServerLimits(wait_seconds=0.35))
    assert counters.refused == 5 and counters.succeeded.count == 4


def test_a_call_that_hangs_is_told_to_its_clients_once() -> None:
    async def body(queue: ModelQueue, model: Doubler) -> None:
        stuck = asyncio.create_task(queue.submit(x(1)))
        while not queue.hung():
            await asyncio.sleep(0.01)
        with pytest.raises(InferenceFailed, match=r"did not answer within 0\.05 s"):
            await stuck
        assert not queue.hung()

    counters = with_queue(body, Doubler(), limits=ServerLimits(call_seconds=0.05))
    assert (counters.failed.count, counters.succeeded.count) == (1, 0)


def test_the_estimate_follows_what_calls_really_take() -> None:
    """Thought to be cheap, it is not: after a few calls the loop is spared."""

    async def body(queue: ModelQueue, model: Doubler) -> None:
        model.answer = slow  # type: ignore[method-assign]
        for _ in range(4):
            await queue.submit(x(1))

    def slow(given: Checked) -> Arrays:
        seen.append(threading.current_thread().name)
        time.sleep(0.02)
        return {"y": given.feeds["x"]}

    seen: list[str] = []
    with_queue(body, open_doubler(seconds_per_element=1e-7))
    assert seen[0] == threading.current_thread().name and seen[-1] == "model-doubler"


def test_a_delay_fills_a_batch() -> None:
    async def body(queue: ModelQueue, model: Doubler) -> None:
        first = asyncio.create_task(queue.submit(x(1)))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, queue.submit(x(2)))

    async def alone(queue: ModelQueue, model: Doubler) -> None:
        await queue.submit(x(1))

    model = open_doubler(seconds_per_element=1e-7)
    with_queue(body, model, cap=2, delay=HANG_SECONDS)
    assert model.calls == [2, -1]
    model = open_doubler(seconds_per_element=1e-7)
    with_queue(alone, model, cap=2, delay=0.05)
    assert model.calls == [1, -1]
