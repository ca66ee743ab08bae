"""The one training loop of all frameworks: a learning rate found by a test, looks at the validation samples, the best weights kept.

The rate falls by the share of the time, or of the epochs, that is spent, so that it ends at zero however fast the machine is. With a number
of epochs and no time, the same seed gives the same weights: batches, dropout and looks follow from the position alone. The number of
threads changes the order of sums, and so the rounding, and nothing else. With a time, the speed of the machine decides how many batches
there are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from roadworthy.build.compress import checkpoint, rates
from roadworthy.build.compress.batches import Batch, Batches
from roadworthy.build.compress.checkpoint import Saved, TrainingRecord
from roadworthy.build.compress.rates import RateRange
from roadworthy.build.compress.stages import Lesson, TeachingRecipe
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.isolation import reported

LOOKS = 20
"""Looks at the validation samples in one training."""
LOOKING = 0.08
"""The part of the time that looks may take."""
PATIENCE = 0.5
"""The share of the training in which neither the metric nor the loss gets better before it is stopped."""
TESTING = 0.05
"""The part of the time that the test for the learning rate may take."""
ROUNDED = 1e-9
"""Shares that differ by less than this are one share."""


class Learner(Protocol):
    """A model that learns, in one framework. Its state is all that the next batch depends on: weights, optimiser, random generators."""

    rates: RateRange

    def learn(self, batch: Batch, rate: float) -> float:
        """One step on ``batch`` at this learning rate; the loss before it."""
        ...

    def state(self) -> bytes:
        """The state, to continue from."""
        ...

    def restore(self, state: bytes) -> None:
        """Continue from ``state``."""
        ...


@dataclass(frozen=True)
class Training:
    """The looks, which of them was best (the learner is in that state), the peak of the learning rate, and why it ended, in words."""

    lessons: tuple[Lesson, ...]
    best: int
    rate: float
    ended: str


def train(
    learner: Learner,
    batches: Batches,
    look: Callable[[], float],
    recipe: TeachingRecipe,
    *,
    directory: Path,
    fingerprint: str,
    began: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Training:
    """Teach ``learner`` and leave it with its best weights; ``look`` gives their metric on the validation samples.

    What lies in ``directory`` for the same ``fingerprint`` goes on where it was stopped; every look is written there. ``began`` is the
    ``clock`` when the time of the recipe began. Raises UsageError for a recipe without an end, StepFailed where the loss is not a number
    before there is any look after the first batch.
    """
    if recipe.seconds <= 0 and recipe.epochs <= 0:
        raise UsageError("a training needs an end: give it a time or a number of epochs")
    return _Course(learner, batches, look, recipe, directory, clock, clock() if began is None else began).run(fingerprint)


class _Course:
    """One training under way."""

    def __init__(
        self,
        learner: Learner,
        batches: Batches,
        look: Callable[[], float],
        recipe: TeachingRecipe,
        directory: Path,
        clock: Callable[[], float],
        began: float,
    ) -> None:
        self._learner, self._batches, self._look, self._recipe = learner, batches, look, recipe
        self._directory, self._clock, self._began = directory, clock, began
        self._look_seconds = 0.0

    def run(self, fingerprint: str) -> Training:
        """From the beginning or from where it was stopped to its end."""
        saved = checkpoint.read(self._directory, fingerprint)
        if saved is None:
            saved = self._begun(fingerprint)
        else:
            self._began -= saved.record.seconds
            self._learner.restore(saved.state)
        while not saved.record.ended:
            saved = self._stretch(saved)
        self._learner.restore(saved.best)
        record = saved.record
        return Training(record.lessons, record.best, record.rate, record.ended)

    def _begun(self, fingerprint: str) -> Saved:
        """The first look, before anything is learned, and the learning rate."""
        metric = self._timed_look()
        state = self._learner.state()
        rate, loss = self._tested()
        self._learner.restore(state)
        lesson = Lesson(self._seconds(), 0, loss, metric)
        saved = Saved(TrainingRecord(fingerprint, 0, lesson.seconds, rate, (lesson,), 0), state, state)
        checkpoint.write(self._directory, saved)
        return saved

    def _tested(self) -> tuple[float, float]:
        """The peak of the learning rate, and the loss before anything was learned."""
        losses: list[float] = []
        tried: list[float] = []
        steps, started = rates.STEPS, self._clock()
        while len(losses) < steps:
            tried.append(self._learner.rates.rate(len(losses), steps))
            losses.append(self._learner.learn(self._batches.at(len(losses)), tried[-1]))
            if not math.isfinite(losses[0]):
                raise StepFailed("the loss is not a number before anything was learned: the samples or the weights hold none")
            if rates.risen(losses):
                break
            if self._recipe.seconds and len(losses) == 2:
                # The first batch pays for what a framework does once; the second says how fast this goes.
                second = self._clock() - started
                steps = min(steps, max(rates.FEWEST, int(self._recipe.seconds * TESTING / max(second / 2, 1e-9))))
            self._say("testing learning rates", losses[-1])
        return rates.peak(losses, tried), losses[0]

    def _stretch(self, saved: Saved) -> Saved:
        """Learn until the next look, and look."""
        record, total, learned = saved.record, 0.0, 0
        # Looks are as far apart as keeps them to their part of the time.
        apart = self._look_seconds / LOOKING / self._recipe.seconds if self._recipe.seconds else 0.0
        due = self._share(record.batches) + max(1 / LOOKS, apart) - ROUNDED
        while (share := self._share(record.batches + learned)) < min(1.0, due):
            loss = self._learner.learn(self._batches.at(record.batches + learned), record.rate * rates.cosine(share))
            if not math.isfinite(loss):
                return self._lost(saved, learned)
            total, learned = total + loss, learned + 1
            self._say("training", loss, record, learned)
        if not learned:
            return replace(saved, record=replace(record, ended=self._ended(record)))
        metric = self._timed_look()
        batches = record.batches + learned
        lesson = Lesson(self._seconds(), batches * self._batches.size, total / learned, metric)
        lessons, state = (*record.lessons, lesson), self._learner.state()
        # Of equals the later one: its rate was smaller.
        better = metric >= record.lessons[record.best].metric
        record = replace(record, batches=batches, seconds=lesson.seconds, lessons=lessons, best=len(lessons) - 1 if better else record.best)
        record = replace(record, ended=self._patience_ended(record))
        saved = Saved(record, state, state if better else saved.best)
        checkpoint.write(self._directory, saved)
        return saved

    def _lost(self, saved: Saved, learned: int) -> Saved:
        record = saved.record
        where = f"the loss was not a number after {record.batches + learned} batches, at a peak learning rate of {record.rate:.2g}"
        if len(record.lessons) == 1:
            raise StepFailed(f"{where}; nothing was learned before that")
        return replace(saved, record=replace(record, ended=f"{where}: the best weights from before are kept"))

    def _ended(self, record: TrainingRecord) -> str:
        """Why the training is over, and how far it came."""
        epochs, speed = record.batches / self._batches.steps, self._speed(record)
        if not record.batches:
            return f"the time, {self._recipe.seconds:g} s, was used up before anything was learned: give more"
        if self._recipe.epochs and record.batches >= self._recipe.epochs * self._batches.steps:
            return f"{self._recipe.epochs} epochs are done ({speed:,.0f} samples/s)"
        short = f"; one epoch takes about {self._batches.steps * self._batches.size / speed:,.0f} s" if 0 < epochs < 1 and speed else ""
        return f"the time is used up after {epochs:.2g} epochs ({speed:,.0f} samples/s){short}"

    def _patience_ended(self, record: TrainingRecord) -> str:
        """In words, that nothing got better for long, or nothing."""
        metrics, lessons = [one.metric for one in record.lessons], record.lessons
        first = metrics.index(max(metrics))
        before, after = lessons[: first + 1], lessons[first + 1 :]
        if not after or self._share_of(lessons[-1]) - self._share_of(lessons[first]) < PATIENCE:
            return ""
        if min(one.loss for one in after) < min(one.loss for one in before):
            return ""
        return f"nothing got better after {lessons[first].samples:,} samples: neither the metric nor the loss"

    def _share(self, batches: int) -> float:
        """The part of the training that is done, by time or by epochs, whichever is more."""
        return self._share_at(self._seconds(), batches)

    def _share_at(self, seconds: float, batches: float) -> float:
        # The last look is inside the time as well.
        timed = seconds / max(self._recipe.seconds - self._look_seconds, 1e-9) if self._recipe.seconds else 0.0
        counted = batches / (self._recipe.epochs * self._batches.steps) if self._recipe.epochs else 0.0
        return max(timed, counted)

    def _share_of(self, lesson: Lesson) -> float:
        return self._share_at(lesson.seconds, lesson.samples / self._batches.size)

    def _seconds(self) -> float:
        return self._clock() - self._began

    def _timed_look(self) -> float:
        started = self._clock()
        metric = self._look()
        self._look_seconds = self._clock() - started
        return metric

    def _speed(self, record: TrainingRecord) -> float:
        """Training samples a second, since the first batch that was not of the test."""
        spent = record.lessons[-1].seconds - record.lessons[0].seconds
        return record.lessons[-1].samples / spent if spent > 0 else 0.0

    def _say(self, what: str, loss: float, record: TrainingRecord | None = None, learned: int = 0) -> None:
        """Tell the parent process how far this is."""
        words = f"{what}: loss {loss:.3g}"
        done = (record.batches if record else 0) + learned
        if record is not None:
            spent = self._seconds() - record.lessons[0].seconds
            speed = done * self._batches.size / spent if spent > 0 else 0.0
            best = record.lessons[record.best].metric
            words += f", best metric {best:.4g}, {speed:,.0f} samples/s"
            left = self._recipe.seconds - self._seconds()
            if self._recipe.seconds and speed:
                total = (done * self._batches.size + max(0.0, left) * speed) / (self._batches.steps * self._batches.size)
                words += f", about {total:.2g} epochs in all"
        if self._recipe.seconds:
            reported.done(round(self._seconds()), round(self._recipe.seconds), f"seconds of {words}")
        else:
            reported.done(done, self._recipe.epochs * self._batches.steps, f"batches of {words}")
