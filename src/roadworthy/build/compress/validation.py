"""How good a model is on the validation samples, by its answers alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from roadworthy.build.compress.outputs import OutputLoss, judged, prepared, score
from roadworthy.core.errors import DataError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, Arrays, Signature


class Validation:
    """The validation samples and, where an output has no labels, the original's answers: what every look compares with."""

    def __init__(self, samples: SampleSet, signature: Signature, original: Arrays, losses: Sequence[OutputLoss], size: int) -> None:
        self._samples, self._signature, self._size = samples, signature, size
        self._loss = judged(losses)
        self._wanted = original[self._loss.output]
        target = self._loss.target if self._loss.target in samples.targets else None
        labels = None if target is None else samples.open_targets()[target][: len(self._wanted)]
        self._labels = None if labels is None else prepared(self._loss, labels)

    def metric(self, call: Callable[[Arrays], Arrays]) -> float:
        """The metric of ``Lesson`` for the model that ``call`` runs: arrays by name in the layout of the signature, in and out."""
        return score(self._loss, answers(call, self._samples, self._signature, self._size)[self._loss.output], self._wanted, self._labels)


def first(samples: SampleSet, count: int) -> SampleSet:
    """The first ``count`` of ``samples``, or all where there are fewer."""
    return replace(samples, count=min(count, samples.count))


def answers(call: Callable[[Arrays], Arrays], samples: SampleSet, signature: Signature, size: int) -> dict[str, Array]:
    """What ``call`` answers for all of ``samples``, ``size`` at a time: rows [samples, ...] by output name.

    A model that takes one number of samples alone leaves the last ones out, where they are fewer. DataError where there are none.
    """
    size = signature.call_size(size)
    found: list[dict[str, Array]] = []
    for start in range(0, samples.count, size):
        stop = min(start + size, samples.count)
        if stop - start == size or signature.dynamic:
            found.append(signature.to_rows(call(signature.to_call(samples.feeds(start, stop))), stop - start))
    if not found:
        raise DataError(f"{samples.count} validation samples are too few: the model takes {size} in a call")
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}
