"""Inference mode, proven and not assumed: nothing is drawn at random, and no sample sees another.

Three runs decide. The same samples twice, under different random seeds and with another call in between, must give the
same bits (or differ by float32 rounding where threads add in another order). A sample in a batch must not notice when
its mates change, the batch's size staying as it is: the kernels are the same then, so anything beyond rounding is
coupling. A sample alone must give what it gives in the batch, within what the model itself makes of rounding: ten times
its answer to input noise of 1e-7, and never less than 1e-5 of the output's scale; a quantised output may differ by one step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import sampling
from roadworthy.core.errors import NotInference, SourceError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, Arrays, TensorSpec

SAME = 1e-6
"""Relative to the scale: what a sum in another order makes of float32."""
FLOOR, NOISE, FACTOR = 1e-5, 1e-7, 10.0
TELLING = 0.05
"""A limit above this is no proof, and the sentence says so."""
MEANT = "If that is meant, say so with --allow-training-behaviour"


@dataclass(frozen=True)
class Subject:
    """A model under proof, called with ``batch`` samples of ``inputs`` at once.

    ``symbolic`` says that it also takes fewer, ``rows`` that the first dimension of its inputs and outputs is the samples.
    """

    model: Model
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batch: int
    symbolic: bool
    rows: bool


def prove(subject: Subject, samples: SampleSet, *, allow: bool) -> tuple[str, ...]:
    """One sentence for each proof; NotInference, naming the layer where one can be, where a proof fails and ``allow`` does not cover it."""
    return (_steady(subject, samples, allow), *_alone(subject, samples, allow))


def found(sentence: str, allow: bool) -> str:
    """What looks like training: NotInference, unless the user said that it is meant."""
    if allow:
        return f"the user says it is meant: {sentence}"
    raise NotInference(f"{sentence}. {MEANT}")


def _steady(subject: Subject, samples: SampleSet, allow: bool) -> str:
    feeds, others = (sampling.draw(subject.inputs, subject.batch, samples, seed=seed) for seed in (0, 1))
    runs = []
    for seed, given in ((0, feeds), (1, feeds), (2, others), (3, feeds)):
        subject.model.seed(seed)
        runs.append(sampling.answer(subject.model, given))
    first, second, _, third = runs
    worst = max(difference(first, second), difference(first, third))
    if worst > SAME:
        place = _place(subject.model, feeds, feeds, ", and the first to differ is ")
        sentence = f"the same input gave two answers (they differ by {worst:.1e} of the output's scale){place}"
        return found(f"{sentence}: a dropout left on, a random number, or a state that is kept between calls", allow)
    how = "bit-identical outputs" if worst == 0 else f"outputs within {worst:.1e} of their scale"
    return f"the same {subject.batch} {_plural(subject.batch)} gave {how} three times, under different random seeds"


def _alone(subject: Subject, samples: SampleSet, allow: bool) -> tuple[str, ...]:
    if subject.batch < 2:
        return ("the model takes one sample a call, so no sample can see another",)
    if not subject.rows:
        return ("whether samples see each other was not tested: the model's shapes name no batch",)
    feeds, others = (sampling.draw(subject.inputs, subject.batch, samples, seed=seed) for seed in (0, 2))
    here = _rows(sampling.answer(subject.model, feeds), subject.batch)
    mates, there = _with_other_mates(subject, feeds, others)
    coupled = difference({name: rows[:1] for name, rows in here.items()}, {name: rows[:1] for name, rows in there.items()})
    if coupled > SAME:
        place = _place(subject.model, feeds, mates, ", beginning at ")
        sentence = f"the answer for a sample changes with the others in its batch (by {coupled:.1e} of the output's scale){place}"
        why = "a BatchNorm that uses the batch's own statistics, or something else taken over the whole batch"
        return (found(f"{sentence}: {why}", allow),)
    proof = f"a sample's answer stayed the same when the {subject.batch - 1} others in its batch were replaced"
    return (proof, _by_itself(subject, feeds, here, allow)) if subject.symbolic else (proof,)


def _with_other_mates(subject: Subject, feeds: Arrays, others: Arrays) -> tuple[Arrays, dict[str, Array]]:
    """The first of ``feeds`` among others, and the answers: louder ones show more, as they are where the model refuses those."""
    for change in (_louder, np.asarray):
        mates = {name: np.concatenate([feed[:1], change(others[name][1:])]) for name, feed in feeds.items()}
        try:
            return mates, _rows(sampling.answer(subject.model, mates), subject.batch)
        except SourceError:
            if change is np.asarray:
                raise
    raise AssertionError("unreachable")


def _by_itself(subject: Subject, feeds: Arrays, batch: Arrays, allow: bool) -> str:
    noise = difference(batch, _rows(sampling.answer(subject.model, _noisy(feeds)), subject.batch))
    limit = max(FLOOR, FACTOR * noise, FACTOR * max(_epsilon(rows) for rows in batch.values()))
    steps = _steps(subject.outputs)
    worst = 0.0
    for row in range(subject.batch):
        single = _rows(sampling.answer(subject.model, {name: feed[row : row + 1] for name, feed in feeds.items()}), 1)
        worst = max(worst, difference({name: rows[row : row + 1] for name, rows in batch.items()}, single, scales=batch, steps=steps))
    if worst > limit:
        place = _place(subject.model, feeds, {name: feed[:1] for name, feed in feeds.items()}, ", beginning at ")
        return found(
            f"a sample alone gets another answer than inside a batch of {subject.batch} (they differ by {worst:.1e} of the output's scale, "
            f"and rounding explains {limit:.1e}){place}: the batch's size enters the computation",
            allow,
        )
    seen = f"within {worst:.1e} of the output's scale (limit {limit:.1e})"
    if limit > TELLING:
        seen += f", which says little: rounding alone moves these answers by {noise:.1e} of their scale"
    return f"each of {subject.batch} samples alone gave what it gave in a batch of {subject.batch}, {seen}"


def difference(first: Arrays, second: Arrays, *, scales: Arrays | None = None, steps: dict[str, float] | None = None) -> float:
    """The largest difference of any output, relative to the largest magnitude of that output; infinite where shapes or NaNs differ.

    ``steps`` says by how much an output may differ for nothing. Byte strings differ wholly or not at all.
    """
    return max((_gap(a, second.get(name), (scales or first)[name], (steps or {}).get(name, 0.0)) for name, a in first.items()), default=0.0)


def _gap(a: Array, b: Array | None, whole: Array, step: float) -> float:
    if b is None or a.shape != b.shape:
        return float("inf")
    if a.dtype == object or not a.size:
        return float(not np.array_equal(a, b))
    a, b = _wide(a), _wide(b)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    with np.errstate(invalid="ignore"):
        gap = float(np.where((a == b) | np.isnan(a), 0.0, np.abs(a - b)).max())
    scale = float(np.nan_to_num(np.abs(_wide(whole)), nan=0.0, posinf=0.0).max(initial=0.0))
    return 0.0 if gap <= step else gap / scale if scale else 1.0


def _wide(array: Array) -> Array:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def same_rows(batch: Arrays, singles: Sequence[Arrays], outputs: tuple[TensorSpec, ...]) -> bool:
    """Whether every output of a call has a row for each sample, and each is what the sample gave alone, but for rounding."""
    if not all(_has_rows(array, len(singles)) for array in batch.values()):
        return False
    rows = [{name: array[row : row + 1] for name, array in batch.items()} for row in range(len(singles))]
    gaps = [difference(row, single, scales=batch, steps=_steps(outputs)) for row, single in zip(rows, singles, strict=True)]
    return max(gaps) <= FLOOR


def _steps(outputs: tuple[TensorSpec, ...]) -> dict[str, float]:
    """A number just between two steps of a quantised output may fall to either."""
    return {spec.name: 1.0 for spec in outputs if spec.quantization and np.dtype(spec.dtype).kind in "iu"}


def alike(first: Arrays, second: Arrays) -> Callable[[Array, Array], bool]:
    """Whether an inner layer's answers to the two feeds are as they should be; for ``Model.blame``.

    All of them for one feed twice; those for the first sample where only its mates were changed; and those where the
    second feed is the first sample alone. An answer that has no row for each sample is passed over in the latter two.
    """
    batch, other = (len(next(iter(feeds.values()))) if next(iter(feeds.values())).ndim else 1 for feeds in (first, second))
    if all(_gap(array, second[name], array, 0.0) == 0.0 for name, array in first.items()):
        return lambda a, b: _near(a, b, SAME)
    if batch == other:
        return lambda a, b: not (_has_rows(a, batch) and _has_rows(b, batch)) or _near(a[:1], b[:1], SAME)
    return lambda a, b: not (_has_rows(a, batch) and _has_rows(b, 1) and a.shape[1:] == b.shape[1:]) or _near(a[:1], b, FLOOR)


def _near(a: Array, b: Array, limit: float) -> bool:
    return _gap(a, b, a, 0.0) <= limit


def _place(model: Model, first: Arrays, second: Arrays, words: str) -> str:
    """Which layer it is, after ``words``; nothing where the framework cannot tell."""
    if model.blame is None:
        return ""
    try:
        return f"{words}{model.blame(first, second)}"
    except Exception:  # the finding stands without its place
        return ""


def _rows(answer: Arrays, batch: int) -> dict[str, Array]:
    """Outputs by sample; one that has no row for each sample is whole for every one of them."""
    return {name: array if _has_rows(array, batch) else np.broadcast_to(array, (batch, *array.shape)) for name, array in answer.items()}


def _has_rows(array: Array, batch: int) -> bool:
    return bool(array.ndim and array.shape[0] == batch)


def _louder(array: Array) -> Array:
    return (array * 3 + 1).astype(array.dtype) if array.dtype.kind == "f" else array


def _noisy(feeds: Arrays) -> dict[str, Array]:
    """Each floating-point number moved by about its own rounding, and never by less than ``NOISE``."""
    generator = np.random.default_rng(0)

    def moved(array: Array) -> Array:
        if array.dtype.kind != "f":
            return array
        return (array * (1 + max(NOISE, _epsilon(array)) * generator.standard_normal(array.shape))).astype(array.dtype)

    return {name: moved(array) for name, array in feeds.items()}


def _epsilon(array: Array) -> float:
    """The rounding of a float type coarser than float32, for which ``NOISE`` stands; 0 for all others."""
    return float(np.finfo(array.dtype).eps) if array.dtype == np.float16 else 0.0


def _plural(count: int) -> str:
    return "sample" if count == 1 else "samples"
