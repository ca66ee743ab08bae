"""Which made-up values a model takes, found by calling it: the widest range of whole numbers that change its answer, and floats that do.

Whole numbers are identifiers, masks, lengths or counts, and no file says which. Each input starts from 0 and 1, or from those of
the two that the model takes. The range widens, step by step, while three things hold: the model answers; its answers do not grow by
more than ``GROWTH`` (counts make them grow, and large answers would hide small errors); the last digit of the largest numbers still
changes an answer. Numbers of all 64 bits are used only where that holds for them too: a runtime that keeps 32 bits then answers
differently.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from roadworthy.build.sources import inputs, same_answers
from roadworthy.build.sources.input_syntax import option
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import sampling
from roadworthy.build.sources.samples.made import NORMAL, Draw, Fill, covers, first, rows
from roadworthy.core.errors import DataError, RoadworthyError, SourceError
from roadworthy.core.stages import Graph
from roadworthy.core.types import BYTES, Array, Arrays, Signature, Stated, TensorSpec

SIZES = (2, 1, 4, 8, 16, 32, 64, 128, 256)
"""Batch sizes to try the model at, where it does not state its own."""
TRIED = 4
"""Samples of one try: one of the lowest values, one of the highest, two others."""
COMBINATIONS = 64
GROWTH = 100.0
"""Wider whole numbers may make the answers larger by this factor."""
EXACT = 24
"""The bits of a whole number that float32 holds; a model that computes with the number itself loses what is beyond."""
STEPS = (7, 99, 999, 2**16 - 1, 2**EXACT - 1, 2**31 - 1)
"""The upper ends of the ranges that are tried one after the other; behind them all that the type holds."""
PATIENCE = 5.0
"""Seconds of one step after which no wider range is tried."""
PRECISE = 20
"""An end is found to one part in 2**20 of it."""
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
    for name, count in prober.tables().items():
        prober.show(name, count)
    for spec in specs:
        prober.widen(spec)
    return prober.fills if prober.clean(prober.try_all(prober.fills)) else base


def accepted(call: Callable[[Arrays], dict[str, Array]], specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """One call of made-up values that a function takes, at a size that it takes; empty where all that were tried are refused."""
    model = Model(call, specs, _not_kept, 0)
    try:
        prober = _begun(model, specs, ())
    except RoadworthyError:
        return {}
    return Signature(specs, ()).to_call(prober.drawn(prober.fills, prober.size))


def _not_kept(signature: Signature, out: Path) -> Graph:
    raise AssertionError("a model that is only called")


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


def _ladder(low: int, least: int, most: int) -> tuple[Draw, ...]:
    """Ranges from ``low``, each wider than the one before it; the last is all that the type holds, ``least`` to ``most``."""
    return (*(Draw(low, high) for high in (*(step for step in STEPS if step < most), most)), *((Draw(least, most),) if least < low else ()))


class _Prober:
    """A model, called with ``size`` samples at a time, and what its inputs are fed so far."""

    def __init__(self, model: Model, specs: tuple[TensorSpec, ...], size: int, fills: tuple[Fill, ...]) -> None:
        self._model, self._specs, self.size = model, specs, size
        self.fills = fills

    def drawn(self, fills: tuple[Fill, ...], count: int = TRIED) -> dict[str, Array]:
        """``count`` samples of every input, always the same."""
        generator = np.random.default_rng(1)
        return {spec.name: rows(spec, fill, count, generator) for spec, fill in zip(self._specs, fills, strict=True)}

    def ask(self, feeds: Arrays) -> list[dict[str, Array]]:
        """The answers to ``feeds``, call by call; SourceError where the model refuses one."""
        count = len(next(iter(feeds.values())))
        answers = []
        for start in range(0, count, self.size):
            chosen = np.minimum(np.arange(start, start + self.size), count - 1)
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

    def tables(self) -> dict[str, int]:
        """How many rows the tables have that an input chooses from, by the input's name; what fails to show it shows nothing."""
        if self._model.tables is None:
            return {}
        try:
            return self._model.tables(Signature(self._specs, ()).to_call(self.drawn(self.fills, self.size)))
        except Exception:  # the hooks of each framework have their own errors, and the ranges are then found by trying
            return {}

    def show(self, name: str, count: int) -> None:
        """Feed the input all ``count`` rows of its table, where the model takes them."""
        fill = next((fill for fill in self.fills if fill.name == name), None)
        if fill is None:
            return
        kind = np.dtype(next(spec.dtype for spec in self._specs if spec.name == name))
        if fill.stated or kind.kind not in "iu" or count - 1 > np.iinfo(kind.name).max:
            return
        shown = replace(fill, spans=(Draw(0, count - 1),), shown=True)
        if self.clean(self.try_all(self._with(shown))):
            self._set(shown)

    def widen(self, spec: TensorSpec) -> None:
        """Feed the input more than it began with, where the model takes it and tells it apart."""
        fill = next(fill for fill in self.fills if fill.name == spec.name)
        kind = np.dtype(spec.dtype)
        if fill.stated or fill.shown:
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
            if array.dtype.kind == "f" and array.shape[:1] == (self.size,):
                whole = np.concatenate([answer[name] for answer in answers]).astype(np.float64)
                scale = float(np.abs(whole).max(initial=0.0))
                if 0 < scale < np.inf:
                    spreads.append(float(whole.std(axis=0).max(initial=0.0)) / scale)
        return max(spreads)

    def _widest(self, fill: Fill, kind: np.dtype[np.generic]) -> tuple[Draw, ...]:
        """The widest range that the model takes and tells apart, narrower ones beside it, and what it began with.

        Ranges grow step by step, and none is tried beyond one that is refused: to call a model that takes lengths with 2**31 would
        ask for all memory there is.
        """
        base, limits = fill.spans[0], np.iinfo(kind.name)
        low, most = int(base.low), int(limits.max)
        # Sixteen bits are sound more often than identifiers, and sound is loud.
        limit = (self._magnitude(self.try_all(self._with(fill))) or float("inf")) * (GROWTH if kind.itemsize > 2 else float("inf"))
        taken: list[Draw] = []
        for span in _ladder(low, int(limits.min), most):
            started = time.monotonic()
            if not self._good(fill, span, limit):
                taken += self._between(fill, low, taken, int(span.high), limit)
                break
            taken.append(span)
            if time.monotonic() - started > PATIENCE:
                break
        # All that the type holds would hide a wrong answer to ordinary numbers, and these one to the others.
        return (*reversed(taken[-3:]), base) if taken else fill.spans

    def _between(self, fill: Fill, low: int, taken: list[Draw], refused: int, limit: float) -> list[Draw]:
        """The widest range between the last one taken and the first one refused, if it is wider than that."""
        least, beyond = int(taken[-1].high) if taken else int(fill.spans[0].high), refused
        start = least
        while beyond - least > max(1, least >> PRECISE):
            middle = (least + beyond) // 2
            least, beyond = (middle, beyond) if self._good(fill, Draw(low, middle), limit) else (least, middle)
        return [Draw(low, least)] if least > start else []

    def _good(self, fill: Fill, span: Draw, limit: float) -> bool:
        """Whether the model takes ``span`` and tells its largest numbers apart."""
        return self._takes(fill, span, limit) and self._tells(fill, span)

    def _takes(self, fill: Fill, span: Draw, limit: float) -> bool:
        """Whether the model answers ``span``, without a NaN more than before, and not beyond ``limit``."""
        answers = self.try_all(self._with(replace(fill, spans=(span,))), TRIED)
        return self.clean(answers) and self._magnitude(answers) <= limit

    def _tells(self, fill: Fill, span: Draw) -> bool:
        """Whether the last digits of the largest numbers in ``span`` change an answer: those that float32 would not hold, if any."""
        generator = np.random.default_rng(2)
        feeds = self.drawn(self.fills, self.size)
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
