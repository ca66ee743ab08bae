"""The differences between a candidate's outputs and the original's: the worst case over samples and outputs, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from roadworthy.build.verify.feeding import Piece
from roadworthy.core import numerics
from roadworthy.core.errors import StepFailed
from roadworthy.core.evidence import Parity
from roadworthy.core.types import Array
from roadworthy.preprocess.answer import column, two_classes
from roadworthy.preprocess.contract import Activation

DISCRETE_SLACK = 0.005
"""The share of samples whose discrete output (a class id, say) may differ in an equivalent candidate: rounding decides a near tie."""


@dataclass(frozen=True)
class Differences:
    """The differences of some samples; those of several batches are added, and ``parity`` judges the sum.

    ``worst`` and ``worst_abs`` are errors of continuous outputs, relative to the output's scale and in its units. ``nonfinite`` counts
    values that are not finite where the original's are, or the reverse.
    """

    samples: int = 0
    worst: float = 0.0
    worst_abs: float = 0.0
    squares: float = 0.0
    elements: int = 0
    cosine: float = 1.0
    agreeing: int | None = None
    discrete_misses: int = 0
    nonfinite: int = 0

    def plus(self, other: Differences) -> Differences:
        """Both together."""
        return Differences(
            self.samples + other.samples,
            max(self.worst, other.worst),
            max(self.worst_abs, other.worst_abs),
            self.squares + other.squares,
            self.elements + other.elements,
            min(self.cosine, other.cosine),
            other.agreeing if self.agreeing is None else self.agreeing + (other.agreeing or 0),
            self.discrete_misses + other.discrete_misses,
            self.nonfinite + other.nonfinite,
        )

    def parity(self, batches: tuple[int, ...], limit: float, *, classes: int = 2) -> Parity:
        """The evidence: ``limit`` is the largest relative error of an equivalent candidate, ``classes`` is that of ``top_classes``."""
        same = self.discrete_misses <= DISCRETE_SLACK * self.samples
        return Parity(
            samples=self.samples,
            batches=batches,
            max_abs=self.worst_abs,
            max_rel=self.worst,
            rms_rel=float(np.sqrt(self.squares / self.elements)) if self.elements else 0.0,
            cosine=self.cosine,
            agreement=None if self.agreeing is None or classes < 2 else self.agreeing / self.samples,
            equivalent=self.nonfinite == 0 and self.worst <= limit and same,
        )


def class_output(outputs: dict[str, Array]) -> str | None:
    """The first continuous output of shape [samples, classes] with at least two classes: the one whose largest value is the answer."""
    return next((name for name, array in outputs.items() if array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] > 1), None)


@dataclass(frozen=True)
class Voter:
    """The output that gives the class of a sample: by its largest value or, where it is one number a sample, as ``activation`` of two."""

    output: str
    activation: Activation | None = None

    def scores(self, outputs: dict[str, Array]) -> Array:
        """[samples, classes]: the largest of a row is the answer, the first of equal ones."""
        values = outputs[self.output]
        single = column(values) if self.activation else None
        return values if single is None or self.activation is None else two_classes(single, self.activation)


def voter(outputs: dict[str, Array], binary: Activation | None, output: str = "") -> Voter | None:
    """The output that gives the class, if one does: ``output``, or the one that looks like scores of classes.

    ``binary`` says that it is one number for two classes, and how; without ``output`` that is the first one.
    """
    if binary is not None:
        return Voter(output or next(iter(outputs)), binary)
    name = output or class_output(outputs)
    return None if name is None else Voter(name)


def top_classes(outputs: dict[str, Array], binary: Activation | None = None, output: str = "") -> int:
    """How many different top classes the samples have, counted to two; 0 where no output gives a class.

    Where all samples have one class, a function that ignores its input may have it too: agreement then proves nothing.
    """
    voting = voter(outputs, binary, output)
    if voting is None:
        return 0
    seen = set[int]()
    for start in range(0, len(outputs[voting.output]), numerics.ROWS):
        rows = {voting.output: np.asarray(outputs[voting.output][start : start + numerics.ROWS])}
        seen.update(np.argmax(voting.scores(rows), axis=1).tolist())
        if len(seen) > 1:
            break
    return min(len(seen), 2)


def compare(pieces: Iterable[Piece], reference: dict[str, Array], scales: dict[str, float]) -> Differences:
    """The differences of all ``pieces`` from the same samples of ``reference``; memory holds one piece at a time."""
    total = Differences()
    for piece in pieces:
        total = total.plus(difference(piece, reference, scales))
    return total


def difference(
    piece: Piece, reference: dict[str, Array], scales: dict[str, float], binary: Activation | None = None, output: str = ""
) -> Differences:
    """The differences of one piece from the same samples of ``reference``; for ``binary`` and ``output`` see ``voter``.

    Raises StepFailed where names or shapes differ.
    """
    if missing := [name for name in reference if name not in piece.outputs]:
        raise StepFailed(f"output {missing[0]!r} is missing; the original gives {', '.join(reference)}")
    total = Differences(samples=piece.stop - piece.start)
    voting = voter(reference, binary, output)
    for name, mapped in reference.items():
        mine, truth = piece.outputs[name], np.asarray(mapped[piece.start : piece.stop])
        if mine.shape != truth.shape:
            raise StepFailed(f"output {name!r} has shape {list(mine.shape)} where the original gives {list(truth.shape)}")
        total = total.plus(_continuous(mine, truth, scales[name]) if truth.dtype.kind in numerics.CONTINUOUS else _discrete(mine, truth))
        if voting is not None and name == voting.output:
            best, wanted = (np.argmax(voting.scores({name: array}), axis=1) for array in (mine, truth))
            total = total.plus(Differences(agreeing=int(np.sum(best == wanted))))
    return total


def _continuous(mine: Array, truth: Array, scale: float) -> Differences:
    error = numerics.differences(mine, truth)
    wrong = np.isinf(error)
    error = np.where(wrong, 0.0, error)
    counted = np.isfinite(truth) & ~wrong
    rows = max(len(truth), 1)
    kind = np.complex128 if truth.dtype.kind == "c" else np.float64
    a, b = (np.where(counted, array, 0.0).astype(kind).reshape(rows, -1) for array in (mine, truth))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    cosines = np.where(both_zero, 1.0, np.real(np.sum(a * b.conj(), axis=1)) / np.where(norms > 0, norms, 1.0))
    worst = float(error.max(initial=0.0))
    return Differences(
        worst=worst / scale,
        worst_abs=worst,
        squares=float(np.sum((error / scale) ** 2)),
        elements=int(np.sum(np.isfinite(truth))),
        cosine=float(np.clip(np.min(cosines, initial=1.0), -1.0, 1.0)),
        nonfinite=int(np.sum(wrong)),
    )


def _discrete(mine: Array, truth: Array) -> Differences:
    return Differences(discrete_misses=int(np.count_nonzero(numerics.sample_errors(mine, truth, 1.0))))
