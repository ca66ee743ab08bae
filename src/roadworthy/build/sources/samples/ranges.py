"""Which made-up values a model takes, found by calling it: the widest range of whole numbers that change its answer, and floats that do.

Whole numbers are identifiers, masks, lengths or counts, and no file says which. Each input starts from 0 and 1, or from those of
the two that the model takes. The range widens while three things hold: the model answers; its answers do not grow by more than
``GROWTH`` (counts make them grow, and large answers would hide small errors); the last digit of the largest numbers still changes
an answer. Numbers of all 64 bits are used only where that holds for them too: a runtime that keeps 32 bits then answers differently.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from roadworthy.build.sources import inputs, same_answers
from roadworthy.build.sources.input_syntax import option
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import sampling
from roadworthy.build.sources.samples.made import NORMAL, Draw, Fill, covers, first, rows
from roadworthy.core.errors import DataError, RoadworthyError, SourceError
from roadworthy.core.types import BYTES, Array, Arrays, Signature, Stated, TensorSpec

SIZES = (2, 1, 4, 8, 16, 32, 64, 128, 256)
"""Batch sizes to try the model at, where it does not state its own."""
TRIED = 4
"""Samples of one try: one of the lowest values, one of the highest, two others."""
COMBINATIONS = 64
GROWTH = 100.0
"""Wider whole numbers may make the answers larger by this factor."""
SMALL, LARGE, EXACT = 999, 2**31 - 1, 24
"""``EXACT``: the bits of a whole number that float32 holds; a model that computes with the number itself loses what is beyond."""
NOTICED = 0.2
"""Normal noise that moves the answers by this share of their scale is enough."""

PICTURES, UNIT = Draw(0.0, 255.0), Draw(0.0, 1.0)


def learn(model: Model, specs: tuple[TensorSpec, ...], stated: tuple[Stated, ...]) -> tuple[Fill, ...]:
    """What to feed each input of ``specs``, all sizes known but the batch.

    Raises DataError where the model takes byte strings or refuses every whole number that was tried, SourceError where it does
    not run at all.
    """
    if strings := [spec for spec in specs if spec.dtype == BYTES]:
        raise DataError(f"the model takes byte strings ({strings[0]}), and those cannot be made up; give real ones: --data")
    prober = _begun(model, specs, stated)
    base = prober.fills
    for spec in specs:
        prober.widen(spec)
    return prober.fills if prober.clean(prober.try_all(prober.fills)) else base


def _begun(model: Model, specs: tuple[TensorSpec, ...], stated: tuple[Stated, ...]) -> _Prober:
    """A prober whose fills the model takes, without a NaN where possible."""
    choices = [first(spec, stated) for spec in specs]
    fixed = inputs.stated_samples(specs)
    fallback: _Prober | None = None
    problem: SourceError | None = None
    for size, fills in _turns(choices, (fixed,) if fixed else SIZES):
        prober = _Prober(model, specs, size, fills)
        try:
            answers = prober.ask(prober.drawn(fills))
        except SourceError as failure:
            problem = problem or failure
            continue
        if prober.clean(answers):
            return prober
        fallback = fallback or prober
    if fallback is None:
        raise _refused(specs, choices, problem or SourceError("the model does not run"))
    return fallback


def _turns(choices: list[tuple[Fill, ...]], sizes: tuple[int, ...]) -> Iterator[tuple[int, tuple[Fill, ...]]]:
    """Batch sizes with what to feed: first the same for all whole numbers and the same for all floats, then every combination."""
    floats = {number for number, fills in enumerate(choices) if fills[0].spans == (NORMAL,)}
    lengths = [max((len(fills) for number, fills in enumerate(choices) if (number in floats) == kind), default=1) for kind in (True, False)]
    uniform = [
        tuple(fills[min(turns[number not in floats], len(fills) - 1)] for number, fills in enumerate(choices))
        for turns in itertools.product(*map(range, lengths))
    ]
    yield from ((size, fills) for size in sizes for fills in uniform)
    combined = [fills for fills in itertools.islice(itertools.product(*choices), COMBINATIONS) if fills not in uniform]
    yield from ((size, fills) for size in sizes[:2] for fills in combined)


def _refused(specs: tuple[TensorSpec, ...], choices: list[tuple[Fill, ...]], problem: SourceError) -> RoadworthyError:
    """The error to raise: the values may be its cause only where there are whole numbers, or a range that the user stated."""
    doubtful = [fills[0] for spec, fills in zip(specs, choices, strict=True) if np.dtype(spec.dtype).kind in "iub" or fills[0].stated]
    if not doubtful:
        return problem
    tried = ", ".join(f"{fill.name!r} of {fill.spans[0]}{' (stated)' if fill.stated else ''}" for fill in doubtful)
    spec = next(spec for spec in specs if spec.name == doubtful[-1].name)
    return DataError(
        f"no data was given, and the model refuses the made-up values that were tried ({tried}): {problem.message}. Give real samples "
        f"with --data, or state what it takes, for example {option(spec, 'in 1..100')}",
        detail=problem.detail,
    )


class _Prober:
    """A model, called with ``size`` samples at a time, and what its inputs are fed so far."""

    def __init__(self, model: Model, specs: tuple[TensorSpec, ...], size: int, fills: tuple[Fill, ...]) -> None:
        self._model, self._specs, self._size = model, specs, size
        self.fills = fills

    def drawn(self, fills: tuple[Fill, ...], count: int = TRIED) -> dict[str, Array]:
        """``count`` samples of every input, always the same."""
        generator = np.random.default_rng(1)
        return {spec.name: rows(spec, fill, count, generator) for spec, fill in zip(self._specs, fills, strict=True)}

    def ask(self, feeds: Arrays) -> list[dict[str, Array]]:
        """The answers to ``feeds``, call by call; SourceError where the model refuses one."""
        count = len(next(iter(feeds.values())))
        answers = []
        for start in range(0, count, self._size):
            chosen = np.minimum(np.arange(start, start + self._size), count - 1)
            call = Signature(self._specs, ()).to_call({spec.name: feeds[spec.name][chosen] for spec in self._specs})
            answers.append(sampling.answer(self._model, call))
        return answers

    def try_all(self, fills: tuple[Fill, ...], count: int = 16) -> list[dict[str, Array]]:
        """The answers to ``count`` samples of ``fills``; none where the model refuses one."""
        try:
            return self.ask(self.drawn(fills, count))
        except SourceError:
            return []

    def clean(self, answers: list[dict[str, Array]]) -> bool:
        """Whether there are answers, and no NaN in them. Infinities are often meant."""
        return bool(answers) and not any(
            np.isnan(array).any() for answer in answers for array in answer.values() if array.dtype.kind in "fc"
        )

    def widen(self, spec: TensorSpec) -> None:
        """Feed the input more than it began with, where the model takes it and tells it apart."""
        fill = next(fill for fill in self.fills if fill.name == spec.name)
        kind = np.dtype(spec.dtype)
        if fill.stated:
            return
        if fill.spans == (NORMAL,):
            self._set(replace(fill, spans=self._noticed(fill)))
        elif kind.kind in "iu" and not covers(spec, fill.spans[0]):
            self._set(replace(fill, spans=self._widest(fill, kind)))

    def _set(self, fill: Fill) -> None:
        self.fills = self._with(fill)

    def _with(self, fill: Fill) -> tuple[Fill, ...]:
        return tuple(fill if one.name == fill.name else one for one in self.fills)

    def _noticed(self, fill: Fill) -> tuple[Draw, ...]:
        """Normal noise, and pixels beside it where those move the answers much more: a model may scale them itself."""
        spread = self._spread(fill)
        if spread >= NOTICED:
            return fill.spans
        others = {span: self._spread(Fill(fill.name, (span,))) for span in (UNIT, PICTURES)}
        best = max(others, key=lambda span: others[span])
        return (*fill.spans, best) if others[best] > 2 * spread else fill.spans

    def _spread(self, fill: Fill) -> float:
        """How far apart the answers to a few samples are, relative to their scale."""
        answers = self.try_all(self._with(fill), 8)
        if not self.clean(answers):
            return 0.0
        spreads = [0.0]
        for name, array in answers[0].items():
            if array.dtype.kind == "f" and array.shape[:1] == (self._size,):
                whole = np.concatenate([answer[name] for answer in answers]).astype(np.float64)
                scale = float(np.abs(whole).max(initial=0.0))
                if 0 < scale < np.inf:
                    spreads.append(float(whole.std(axis=0).max(initial=0.0)) / scale)
        return max(spreads)

    def _widest(self, fill: Fill, kind: np.dtype[np.generic]) -> tuple[Draw, ...]:
        """All that the type holds, and small numbers beside it; else as far as the model takes them; else what it began with."""
        base, limits = fill.spans[0], np.iinfo(kind.name)
        low, most = int(base.low), int(limits.max)
        # Sixteen bits are sound more often than identifiers, and sound is loud.
        limit = (self._magnitude(self.try_all(self._with(fill))) or float("inf")) * (GROWTH if kind.itemsize > 2 else float("inf"))
        whole = (Draw(int(limits.min), most), Draw(low, most), *((Draw(low, LARGE),) if most > LARGE else ()))
        for number, span in enumerate(whole):
            if self._takes(fill, span, limit) and self._tells(fill, span):
                beside = [*whole[max(number + 1, 2) :], Draw(low, min(SMALL, most))]
                return (span, *(one for one in beside if self._takes(fill, one, limit)), base)
        high = self._highest(fill, low, limit, min(EXACT, most.bit_length()))
        return (Draw(low, high), base) if high > base.high else fill.spans

    def _highest(self, fill: Fill, low: int, limit: float, bits: int) -> int:
        """The largest number that the model takes and tells from the one before it."""

        def good(high: int) -> bool:
            return self._takes(fill, Draw(low, high), limit) and self._tells(fill, Draw(low, high))

        if good((1 << bits) - 1):
            return (1 << bits) - 1
        below, above = 1, bits
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (middle, above) if good((1 << middle) - 1) else (below, middle)
        least, beyond = (1 << below) - 1, (1 << above) - 1
        while beyond - least > 1:
            middle = (least + beyond) // 2
            least, beyond = (middle, beyond) if good(middle) else (least, middle)
        return least

    def _takes(self, fill: Fill, span: Draw, limit: float) -> bool:
        """Whether the model answers ``span``, without a NaN more than before, and not beyond ``limit``."""
        answers = self.try_all(self._with(replace(fill, spans=(span,))), TRIED)
        return self.clean(answers) and self._magnitude(answers) <= limit

    def _tells(self, fill: Fill, span: Draw) -> bool:
        """Whether the last digits of the largest numbers in ``span`` change an answer: those that float32 would not hold, if any."""
        generator = np.random.default_rng(2)
        feeds = self.drawn(self.fills, self._size)
        array = feeds[fill.name]
        high, low = int(span.high), max(int(span.low), 0)
        first = generator.integers(max(low, high // 2) + (high > low), high, array.shape, array.dtype, endpoint=True)
        step = generator.integers(1, max(1, high >> (EXACT + 1)), array.shape, array.dtype, endpoint=True)
        try:
            one, other = (self.ask(feeds | {fill.name: given}) for given in (first, first - step))
        except SourceError:
            return False
        return any(same_answers.difference(a, b) > same_answers.SAME for a, b in zip(one, other, strict=True))

    def _magnitude(self, answers: list[dict[str, Array]]) -> float:
        """The largest finite number in the continuous outputs of ``answers``."""
        found = [
            np.abs(array[np.isfinite(array)]).max(initial=0.0) for answer in answers for array in answer.values() if array.dtype.kind == "f"
        ]
        return float(max(found, default=0.0))
