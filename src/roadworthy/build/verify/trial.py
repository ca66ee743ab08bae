"""One candidate over the samples: every difference from the original, and whether its answers depend on the batch size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from roadworthy.build.verify import feeding, parity
from roadworthy.build.verify.feeding import Piece
from roadworthy.build.verify.metrics import Metric, Reading
from roadworthy.build.verify.reference import Reference
from roadworthy.build.verify.scoring import losses_of, rows_of
from roadworthy.build.verify.sequential import Stopping
from roadworthy.core import numerics
from roadworthy.core.isolation import reported
from roadworthy.core.samples import SampleSet
from roadworthy.core.text import first_line
from roadworthy.core.types import Array, Arrays, Signature
from roadworthy.runtimes import CheckedSession

BATCH = 32
FEW = 10
"""The samples that are answered again at every promised batch size."""
BATCH_FACTOR = 4.0
"""The errors of the same samples at two batch sizes may differ by this factor: kernels differ, functions do not."""
SAID_BATCH = "roadworthy: verifying at a batch of "
"""Printed before each batch size: a crash leaves nothing but the log."""


class CandidateTrial:
    """An open session over ``samples``, at one batch size after another; for ``reading`` see ``metrics.find``."""

    def __init__(self, session: CheckedSession, signature: Signature, samples: SampleSet, reference: Reference, reading: Reading) -> None:
        self._session, self._signature, self._samples = session, signature, samples
        self._binary, self._voting = reading.binary, reading.voting
        self._truth, self._scales, self._limit = reference.values(), reference.scale(), reference.tolerance.limit
        self._targets = samples.open_targets()

    def answer(self, metric: Metric, count: int | None = None, stopping: Stopping | None = None) -> tuple[parity.Differences, Array, Array]:
        """The differences from the original, the metric's rows of the candidate, and those of the original, [samples, ...] each.

        The first ``count`` samples (default: all) are answered, fewer where ``stopping`` says that the verdict is certain. It stops at
        the first call with a wrong value that is not finite; the rows are then of the calls before it.
        """
        total = parity.Differences()
        mine: list[Array] = []
        theirs: list[Array] = []
        count = self._samples.count if count is None else count
        self._say(BATCH)
        answers = feeding.answers(self._session, self._signature, self._samples, BATCH, count)
        for piece in feeding.valued(answers, self._signature):
            total = total.plus(parity.difference(piece, self._truth, self._scales, self._binary, self._voting))
            if total.nonfinite:
                break
            rows = slice(piece.start, piece.stop)
            truth = {name: np.asarray(array[rows]) for name, array in self._truth.items()}
            targets = rows_of(self._targets, rows)
            mine.append(metric.rows(piece.outputs, truth, targets, self._scales))
            theirs.append(mine[-1] if metric.relative else metric.rows(truth, truth, targets, self._scales))
            reported.done(piece.stop, count, "samples")
            losses = losses_of(metric, mine[-1], theirs[-1]) if stopping and metric.combine is None else None
            if stopping is not None and stopping.see(total.samples, total.worst, total.discrete_misses, losses):
                break
        if not mine:
            return total, np.zeros(0), np.zeros(0)
        return total, np.concatenate(mine), np.concatenate(theirs)

    def answers(self, samples: SampleSet, size: int, count: int) -> Iterator[Piece]:
        """The answers to the first ``count`` of ``samples`` in calls of ``size``, as what they stand for."""
        return feeding.valued(feeding.answers(self._session, self._signature, samples, size, count), self._signature)

    def batch_fault(self, sizes: tuple[int, ...]) -> str:
        """Why the answers to the first few samples are not the same at every size; empty where they are."""
        few = next(feeding.calls(self._signature, self._samples, FEW, self._samples.count))[1]
        feeds = self._samples.feeds(0, few)
        errors: dict[int, float] = {}
        for size in sizes:
            self._say(size)
            # The few samples are repeated until the last call is full.
            rows = np.arange(-(-few // size) * size) % few
            truth = {name: np.asarray(array[:few])[rows] for name, array in self._truth.items()}
            total = parity.Differences()
            try:
                for piece in self._calls(feeds, rows, size):
                    total = total.plus(parity.difference(piece, truth, self._scales))
            except Exception as problem:
                return f"fails at a batch of {size}: {first_line(problem)}"
            if total.nonfinite:
                return f"gives NaN or infinite values at a batch of {size}"
            errors[size] = total.worst + total.discrete_misses / total.samples
        worst, best = max(errors, key=lambda size: errors[size]), min(errors, key=lambda size: errors[size])
        if errors[worst] <= max(self._limit, BATCH_FACTOR * errors[best]):
            return ""
        return (
            f"answers the same samples differently in batches of different sizes: its error relative to the output's scale is "
            f"{errors[worst]:.2g} at a batch of {worst} and {errors[best]:.2g} at {best}"
        )

    def sizes_fault(self, reference: Reference, worst: float) -> str:
        """Why the answers at other sizes of the symbolic axes are not the original's; empty where they are.

        ``worst`` is the error at the sizes of the samples.
        """
        for sized in reference.sized:
            truth = reference.values(sized)
            scales = {name: numerics.scale_of(array) for name, array in truth.items()}
            found: list[parity.Differences] = []
            for size in {1, sized.samples.count}:
                self._say(size)
                try:
                    answers = feeding.answers(self._session, self._signature, sized.samples, size)
                    found.append(parity.compare(feeding.valued(answers, self._signature), truth, scales))
                except Exception as problem:
                    return f"fails at {sized}: {first_line(problem)}"
            error = max(one.worst + one.discrete_misses / one.samples for one in found)
            if any(one.nonfinite for one in found) or error > max(self._limit, BATCH_FACTOR * worst):
                return (
                    f"answers wrongly at {sized}: its error is {error:.2g} of the output's scale, "
                    f"and {worst:.2g} at the sizes of the samples"
                )
        return ""

    def _calls(self, feeds: Arrays, rows: Array, size: int) -> Iterator[Piece]:
        for start in range(0, len(rows), size):
            call = {name: array[rows[start : start + size]] for name, array in feeds.items()}
            outputs = self._signature.to_rows(self._session.run(self._signature.to_call(call)), size)
            yield Piece(start, start + size, feeding.values(outputs, self._signature))

    def _say(self, size: int) -> None:
        say(self._signature.call_size(size))


def say(size: int) -> None:
    """Print the size of the calls that follow."""
    print(f"{SAID_BATCH}{size}", flush=True)
