"""The original on the same images prepared in several ways: by the usual conventions, or by the deployment and by training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from roadworthy.build.verify import feeding, intervals, parity
from roadworthy.build.verify.metrics import Reading
from roadworthy.build.verify.metrics.metric import Metric
from roadworthy.build.verify.reference import BATCH
from roadworthy.build.verify.scoring import metric_for, rows_of
from roadworthy.bundle.pixels import EitherScore
from roadworthy.core import numerics, registry
from roadworthy.core.interfaces import Session
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Array, Signature
from roadworthy.preprocess.convention import Convention
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.pictures import Pictures
from roadworthy.preprocess.pixels import as_array
from roadworthy.runtimes import open_session

FEWEST_PICTURES = 40
"""With fewer samples nothing is tried."""
TIMED = 8
"""The images by which the time of all is estimated."""
FAR, DOUBT = 0.05, 0.005
"""A convention is far better where the original is right on at least so many more of the samples, and beyond chance at this error."""
DECODED_BYTES = 2**28
"""The most that decoded images take that are kept for the next geometry."""


@dataclass(frozen=True)
class TrialRequest:
    """``samples`` hold the targets of the ``pictures`` first, in their order. The ``ranges`` are tried, then the ``geometries`` with the
    best of them, in about ``seconds``. ``given`` is what the deployment uses, if it has any.
    """

    graph: Graph
    signature: Signature
    pictures: Pictures
    samples: SampleSet
    metric: str
    reading: Reading
    threads: int
    seconds: float
    ranges: tuple[Convention, ...]
    geometries: tuple[Convention, ...]
    given: Convention | None = None


@dataclass(frozen=True)
class ConventionScore:
    """The metric's ``value`` with one convention, the share of samples on which the original is ``right``, and by how much more often than
    with the given one: seen (``gain``) and at least (``sure``), each as a share.
    """

    convention: Convention
    value: float
    right: float
    gain: float
    sure: float


@dataclass(frozen=True)
class ConventionScores:
    """All that were tried, the best first; ``left`` is how many others there was no time for."""

    samples: int
    percent: bool
    scores: tuple[ConventionScore, ...]
    left: int = 0


@dataclass(frozen=True)
class EitherRequest:
    """``ours`` and ``theirs`` are the same images as samples, whose targets are the first of ``samples``, if it has any."""

    graph: Graph
    signature: Signature
    ours: SampleSet
    theirs: SampleSet
    samples: SampleSet
    metric: str
    reading: Reading
    threads: int


def try_conventions(request: TrialRequest) -> ConventionScores:
    """A step: the original on the pictures by each convention. Nothing is tried where too few of them can be answered in the time.

    The time begins when the original has answered for the first time.
    """
    trial = _Trial(request)
    metric = metric_for(request.metric, request.samples, request.reading)
    with _session(request.graph, request.signature, request.threads) as session:
        count, deadline = trial.affordable(session, request.seconds)
        if count < FEWEST_PICTURES:
            return ConventionScores(0, metric.share, (), len(request.ranges) + len(request.geometries))
        scored: list[tuple[Convention, float, Array]] = []

        def score(convention: Convention) -> None:
            # What is begun is ended: the estimate may be wrong, and the given one and the ranges are always there to compare.
            value, hits = _scored(metric, trial.answers(session, convention, count), request.samples, request.reading, count)
            scored.append((convention, value, hits))

        for convention in (*((request.given,) if request.given else ()), *request.ranges):
            score(convention)
        best = _best(scored, given=request.given is not None)
        left = list(request.geometries)
        while left and time.monotonic() < deadline:
            geometry = left.pop(0)
            score(Convention(f"{_range_name(best[0])}; {geometry.name}", geometry.geometry, best[0].values))
    truth = scored[0][2] if request.given else None
    found = [ConventionScore(one, value, float(hits.mean()), *_gain(hits, truth, len(scored))) for one, value, hits in scored]
    return ConventionScores(count, metric.share, tuple(sorted(found, key=lambda one: -one.right)), len(left))


def _best(scored: Sequence[tuple[Convention, float, Array]], *, given: bool) -> tuple[Convention, float, Array]:
    """The range with which the geometries are tried: the given one, which is the first, unless another is better beyond chance."""
    best = max(scored, key=lambda one: float(one[2].mean()))
    return scored[0] if given and _gain(best[2], scored[0][2], len(scored))[1] <= 0 else best


def far_better(scores: ConventionScores) -> ConventionScore | None:
    """The best convention, where the original is right far more often with it than with the given one, beyond chance."""
    return next((one for one in scores.scores if one.gain >= FAR and one.sure > 0), None)


def score_either(request: EitherRequest) -> EitherScore:
    """A step: the original's figure on samples of both kinds, and on how many of them it has the same top class."""
    count = request.ours.count
    with _session(request.graph, request.signature, request.threads) as session:
        ours, theirs = (_joined(session, request.signature, samples) for samples in (request.ours, request.theirs))
    voting = parity.voter(ours, request.reading.binary, request.reading.voting)
    same = None
    if voting is not None:
        same = float(np.mean(np.argmax(voting.scores(ours), axis=1) == np.argmax(voting.scores(theirs), axis=1)))
    score = EitherScore(count, agreement=same)
    if not request.samples.labelled or not request.metric:
        return score
    metric = metric_for(request.metric, request.samples, request.reading)
    mine, other = (_value(metric, outputs, request.samples, count) for outputs in (ours, theirs))
    return replace(score, metric=metric.name, ours=mine, theirs=other, percent=metric.share)


def _session(graph: Graph, signature: Signature, threads: int) -> AbstractContextManager[Session]:
    return open_session(graph.path, signature, Plan(registry.runtime_for(graph.format), graph.precision, threads=threads))


@dataclass
class _Trial:
    """The pictures of one trial, decoded once where memory allows it, and prepared once for each geometry."""

    request: TrialRequest
    _decoded: dict[int, Array] = field(default_factory=dict)
    _bytes: int = 0
    _prepared: tuple[tuple[object, ...], list[Array]] = ((), [])

    def affordable(self, session: Session, seconds: float) -> tuple[int, float]:
        """How many pictures can be answered by every convention in the time, and when (``time.monotonic``) that ends."""
        request = self.request
        first = request.given or request.ranges[0]
        there = min(len(request.pictures.files), request.samples.count)
        began = time.monotonic()
        self._pixels(first, min(TIMED, there))
        prepared = time.monotonic()
        # The first call of a batch size takes longer than all others.
        self.answers(session, first, min(TIMED, there))
        warm = time.monotonic()
        self.answers(session, first, min(TIMED, there))
        ended = time.monotonic()
        geometries = 1 + len(request.geometries)
        each = ((prepared - began) * geometries + (ended - warm) * (geometries + len(request.ranges))) / TIMED
        deadline = warm + seconds
        return min(there, int((deadline - ended) / each)), deadline

    def answers(self, session: Session, convention: Convention, count: int) -> dict[str, Array]:
        """The original's outputs for the first pictures, prepared by ``convention``."""
        prepared = [self._valued(pixels, convention) for pixels in self._pixels(convention, count)]
        name = self.request.signature.inputs[0].name
        return _joined(session, self.request.signature, cast(SampleSet, _InMemory(name, np.stack(prepared))))

    def _pixels(self, convention: Convention, count: int) -> list[Array]:
        """The first pictures after the geometry; those of the last geometry are kept."""
        if self._prepared[0] != convention.geometry or len(self._prepared[1]) < count:
            apply = Preprocessor(convention.geometry)
            self._prepared = (convention.geometry, [apply.one(self._picture(index)) for index in range(count)])
        return self._prepared[1][:count]

    def _picture(self, index: int) -> Array:
        if index in self._decoded:
            return self._decoded[index]
        first = (self.request.given or self.request.ranges[0]).geometry[:1]
        decoded = Preprocessor(first).one(self.request.pictures.open(index), name=self.request.pictures.names[index])
        if self._bytes + decoded.nbytes <= DECODED_BYTES:
            self._decoded[index] = decoded
            self._bytes += decoded.nbytes
        return decoded

    def _valued(self, pixels: Array, convention: Convention) -> Array:
        for step in convention.values:
            pixels = as_array(step.apply(pixels))
        return np.ascontiguousarray(pixels)


@dataclass(frozen=True)
class _InMemory:
    """Samples of one input, as ``feeding`` asks for them."""

    name: str
    array: Array

    @property
    def count(self) -> int:
        return len(self.array)

    def feeds(self, start: int, stop: int) -> dict[str, Array]:
        return {self.name: np.ascontiguousarray(self.array[start:stop])}

    def open(self) -> dict[str, Array]:
        return {self.name: self.array}


def _joined(session: Session, signature: Signature, samples: SampleSet) -> dict[str, Array]:
    pieces = [piece.outputs for piece in feeding.valued(feeding.answers(session, signature, samples, BATCH), signature)]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _scored(metric: Metric, outputs: dict[str, Array], samples: SampleSet, reading: Reading, count: int) -> tuple[float, Array]:
    """The metric's figure, and whether each sample's top class is its label, float64 [n]."""
    labels = samples.labels()
    voting = parity.voter(outputs, reading.binary, reading.voting)
    assert labels is not None and voting is not None
    hits = np.argmax(voting.scores(outputs), axis=1) == np.asarray(labels[:count])
    return _value(metric, outputs, samples, count), hits.astype(np.float64)


def _value(metric: Metric, outputs: dict[str, Array], samples: SampleSet, count: int) -> float:
    scales = {name: numerics.scale_of(array) for name, array in outputs.items()}
    rows = metric.rows(outputs, outputs, rows_of(samples.open_targets(), slice(0, count)), scales)
    combine: Callable[[Array], float] = metric.combine or (lambda scores: float(np.mean(scores)))
    value = combine(rows)
    # A figure that is not defined on so few samples has no place in a file.
    return value if np.isfinite(value) else 0.0


def _gain(hits: Array, given: Array | None, tried: int) -> tuple[float, float]:
    if given is None or given is hits:
        return 0.0, 0.0
    drop, bound = intervals.drop_interval(given - hits, 1.0, DOUBT / tried)
    return -drop.value, -bound


def _range_name(convention: Convention) -> str:
    return convention.name.partition(";")[0]
