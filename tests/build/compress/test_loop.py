"""The training loop with a learner of one number: its end, its looks, what it keeps, and how it goes on after it was stopped."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.compress import checkpoint, loop, rates
from roadworthy.build.compress.batches import Batch, Batches
from roadworthy.build.compress.loop import Training
from roadworthy.build.compress.rates import RateRange
from roadworthy.build.compress.stages import TeachingRecipe
from roadworthy.core import samples
from roadworthy.core.errors import StepFailed, UsageError

COUNT, SIZE = 96, 8
EPOCHS = TeachingRecipe(0.0, epochs=10, batch=SIZE)


class Clock:
    """A clock that a learner turns on: each batch takes ``seconds``."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.now, self.seconds = 100.0, seconds

    def __call__(self) -> float:
        return self.now


class Number:
    """A learner of one number, which should be 3: a step of gradient descent on its squared distance, blurred by the batch."""

    rates = RateRange(1e-4, 10.0)

    def __init__(self, clock: Clock | None = None, *, nan_at: int = -1, stop_at: int = -1) -> None:
        self.value, self.clock, self.nan_at, self.stop_at = 0.0, clock or Clock(), nan_at, stop_at
        self.seen: list[float] = []
        self.tried: list[float] = []
        self.began: list[float] = []

    def learn(self, batch: Batch, rate: float) -> float:
        self.clock.now += self.clock.seconds
        number = len(self.seen)
        if number == self.stop_at:
            raise KeyboardInterrupt
        self.began.append(self.value)
        mean = float(batch.feeds["x"].mean())
        loss = math.nan if number == self.nan_at else (self.value - 3.0) ** 2 + 0.001 * abs(mean)
        self.value -= rate * (2.0 * (self.value - 3.0) + 0.01 * mean)
        self.seen.append(mean)
        self.tried.append(rate)
        return loss

    def metric(self) -> float:
        return -abs(self.value - 3.0)

    def state(self) -> bytes:
        return checkpoint.packed({"value": np.array(self.value)})

    def restore(self, state: bytes) -> None:
        self.value = float(checkpoint.unpacked(state)["value"])


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    x = np.random.default_rng(0).standard_normal((COUNT, 2)).astype(np.float32)
    return Batches(samples.write(tmp_path / "samples", {"x": x}), (), SIZE, seed=0)


@pytest.fixture
def trained(batches: Batches, tmp_path: Path) -> Callable[..., Training]:
    """``loop.train`` of a learner by a recipe; its checkpoint is in a directory of that name."""

    def train(
        learner: Number, recipe: TeachingRecipe, *, directory: str = "checkpoint", look: Callable[[], float] | None = None
    ) -> Training:
        return loop.train(
            learner, batches, look or learner.metric, recipe, directory=tmp_path / directory, fingerprint="same", clock=learner.clock
        )

    return train


def test_it_learns_and_keeps_the_best(trained: Callable[..., Training]) -> None:
    learner = Number()
    training = trained(learner, EPOCHS)
    assert training.lessons[0].samples == 0
    assert training.lessons[0].metric == -3.0
    assert training.lessons[training.best].metric == max(lesson.metric for lesson in training.lessons) > -0.1
    assert learner.metric() == training.lessons[training.best].metric
    assert len(training.lessons) == 21
    assert training.lessons[-1].samples == 10 * COUNT
    assert "10 epochs are done" in training.ended


def test_the_time_is_the_end_of_everything(trained: Callable[..., Training]) -> None:
    learner = Number()
    began = learner.clock()
    training = trained(learner, TeachingRecipe(200.0, batch=SIZE))
    assert learner.clock() - began == pytest.approx(200, abs=1.5)
    assert "the time is used up after" in training.ended
    # The test of the learning rate has a twentieth of the time, or its fewest batches.
    assert training.lessons[0].seconds <= 12


def test_looks_take_a_small_part_of_the_time(trained: Callable[..., Training]) -> None:
    learner = Number()

    def slow_look() -> float:
        learner.clock.now += 10.0
        return learner.metric()

    began = learner.clock()
    training = trained(learner, TeachingRecipe(1000.0, batch=SIZE), look=slow_look)
    assert 5 <= len(training.lessons) <= 10
    assert learner.clock() - began == pytest.approx(1000, abs=2)


def test_a_time_too_short_for_an_epoch_is_said(trained: Callable[..., Training]) -> None:
    training = trained(Number(), TeachingRecipe(20.0, batch=SIZE))
    assert "one epoch takes about 12 s" in training.ended


def test_a_time_that_is_over_before_the_first_batch_is_said(trained: Callable[..., Training]) -> None:
    training = trained(Number(), TeachingRecipe(5.0, batch=SIZE))
    assert training.best == 0
    assert "before anything was learned" in training.ended


def test_the_rate_falls_to_zero_by_the_cosine(trained: Callable[..., Training]) -> None:
    learner = Number()
    training = trained(learner, EPOCHS)
    tried = learner.tried[-120:]
    assert tried[0] == training.rate
    assert tried[60] == pytest.approx(training.rate / 2)
    assert tried[-1] < training.rate / 1000


def test_the_peak_is_below_the_rate_that_diverges(trained: Callable[..., Training]) -> None:
    # Gradient descent on this square diverges above 1.
    assert 0.01 < trained(Number(), EPOCHS).rate < 1.0


def test_what_is_lower_behind_a_rise_is_not_the_peak() -> None:
    test = RateRange(1e-3, 1.0)
    tried = [test.rate(step, 30) for step in range(30)]
    losses = [2.0 - 0.1 * step for step in range(15)] + [3.0] * 5
    seen = next(count for count in range(1, 21) if rates.risen(losses[:count]))
    assert 15 < seen < 18
    assert rates.peak(losses[:seen], tried) == pytest.approx(tried[14] / rates.BELOW, rel=0.5)
    assert rates.risen([1.0, math.nan])
    assert not rates.risen([1.0, 0.9, 1.3, 0.8, 1.2, 0.9, 1.1, 1.0])
    assert rates.peak([1.0, 2.0, math.inf], tried) == tried[0] / rates.BELOW


def test_a_rate_test_leaves_the_learner_as_it_was(trained: Callable[..., Training]) -> None:
    learner = Number()
    trained(learner, EPOCHS)
    tested = len(learner.seen) - 120
    assert 12 <= tested <= 40
    assert learner.began[1] != 0.0
    assert learner.began[tested] == 0.0
    assert learner.seen[tested] == learner.seen[0]


def test_a_loss_that_is_no_number_stops_with_the_last_good_weights(trained: Callable[..., Training]) -> None:
    learner = Number(nan_at=100)
    training = trained(learner, EPOCHS)
    assert "not a number" in training.ended
    assert math.isfinite(learner.value)
    assert learner.metric() == training.lessons[training.best].metric


@pytest.mark.parametrize("number", [0, 41])
def test_a_loss_that_is_no_number_from_the_start_fails(trained: Callable[..., Training], number: int) -> None:
    with pytest.raises(StepFailed, match="not a number"):
        trained(Number(nan_at=number), EPOCHS)


def test_nothing_better_for_long_stops_it(trained: Callable[..., Training]) -> None:
    class Stuck(Number):
        def learn(self, batch: Batch, rate: float) -> float:
            super().learn(batch, rate)
            return 1.0 + len(self.seen) / 1000

    learner = Stuck()
    training = trained(learner, EPOCHS, look=lambda: 0.5)
    assert "nothing got better" in training.ended
    assert 0.5 <= training.lessons[-1].samples / (10 * COUNT) < 0.6


def test_a_loss_that_still_falls_goes_on(trained: Callable[..., Training]) -> None:
    training = trained(Number(), EPOCHS, look=lambda: 0.5)
    assert "10 epochs are done" in training.ended


def test_of_equal_looks_the_later_is_kept(trained: Callable[..., Training]) -> None:
    training = trained(Number(), EPOCHS, look=lambda: 0.5)
    assert training.best == len(training.lessons) - 1


@pytest.mark.parametrize("stop", [50, 77, 140])
def test_a_stopped_training_goes_on_to_the_same_end(trained: Callable[..., Training], stop: int) -> None:
    whole = Number()
    expected = trained(whole, EPOCHS, directory="whole")
    with pytest.raises(KeyboardInterrupt):
        trained(Number(stop_at=stop), EPOCHS)
    resumed = Number()
    training = trained(resumed, EPOCHS)
    assert resumed.value == whole.value
    assert [(one.samples, one.metric) for one in training.lessons] == [(one.samples, one.metric) for one in expected.lessons]
    # No more than the batches since the last look are learned again, and no rate is tried again.
    assert len(resumed.seen) <= len(whole.seen) - stop + 12


def test_a_training_that_has_ended_is_not_repeated(trained: Callable[..., Training]) -> None:
    first = trained(Number(), EPOCHS)
    again = Number()
    assert trained(again, EPOCHS).lessons == first.lessons
    assert not again.seen


def test_the_time_spent_before_counts(trained: Callable[..., Training]) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(Number(stop_at=150), TeachingRecipe(200.0, batch=SIZE))
    resumed = Number()
    training = trained(resumed, TeachingRecipe(200.0, batch=SIZE))
    assert 40 <= len(resumed.seen) <= 62
    assert training.lessons[-1].seconds == pytest.approx(200, abs=1.5)


def test_another_training_does_not_continue_this_one(batches: Batches, tmp_path: Path) -> None:
    for mark in ("one", "two"):
        learner = Number()
        loop.train(learner, batches, learner.metric, EPOCHS, directory=tmp_path / "c", fingerprint=mark, clock=learner.clock)
        assert len(learner.seen) > 100


@pytest.mark.parametrize("left", [10, -40])
def test_a_damaged_checkpoint_begins_anew(trained: Callable[..., Training], tmp_path: Path, left: int) -> None:
    trained(Number(), EPOCHS)
    file = tmp_path / "checkpoint" / checkpoint.FILE
    file.write_bytes(file.read_bytes()[:left])
    learner = Number()
    trained(learner, EPOCHS)
    assert len(learner.seen) > 100


def test_equal_seeds_learn_equally(trained: Callable[..., Training]) -> None:
    first, second = Number(), Number()
    trained(first, EPOCHS, directory="a")
    trained(second, EPOCHS, directory="b")
    assert first.value == second.value
    assert first.seen == second.seen


def test_a_recipe_without_an_end_is_refused(trained: Callable[..., Training]) -> None:
    with pytest.raises(UsageError, match="needs an end"):
        trained(Number(), TeachingRecipe(0.0))
