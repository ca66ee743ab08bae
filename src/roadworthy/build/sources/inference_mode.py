"""Inference mode, proven by running the model: it draws nothing at random, and no sample affects another's answer.

Three experiments decide. The same samples three times, under different random seeds and with another call in between, must give the
same bits (or differ by float32 rounding where threads add in another order). A sample in a batch must keep its answer when
the others are replaced and the size of the batch stays: the kernels are the same then, so anything beyond rounding is
coupling. A sample alone must give what it gives in the batch, within what the model itself makes of rounding: ten times
its response to input noise of 1e-7, and never less than 1e-5 of the output's scale; a quantised output may differ by one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.build.sources import same_answers
from roadworthy.build.sources.model import Model, SameAnswer
from roadworthy.build.sources.samples import sampling
from roadworthy.core.errors import NotInference, SourceError
from roadworthy.core.numerics import bounds_of, nudged, output_error, scale_of
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, Arrays, Signature, TensorSpec

FLOOR, NOISE, FACTOR = 1e-5, 1e-7, 10.0
TELLING = 0.05
"""A limit above this proves nothing, and the sentence says so."""
STATES = 4
"""States that a message names."""
MEANT = "If that is meant, say so with --allow-training-behaviour"


@dataclass(frozen=True)
class ModelUnderProof:
    """A model called with ``batch`` samples of ``signature`` at once.

    ``symbolic`` says that it also takes fewer, ``rows`` that the sample axes of its inputs and outputs count the samples.
    """

    model: Model
    signature: Signature
    batch: int
    symbolic: bool
    rows: bool

    def draw(self, samples: SampleSet, seed: int) -> dict[str, Array]:
        """Inputs for one call; other ones for another ``seed``."""
        return sampling.draw(self.signature.inputs, self.batch, samples, seed=seed)

    def rows_of(self, feeds: Arrays, samples: int) -> dict[str, Array]:
        """The answers to ``samples`` samples as rows; one that does not count the samples is the row of each of them."""
        return _rows(sampling.answer(self.model, feeds), self.signature.outputs, samples)


def prove(case: ModelUnderProof, samples: SampleSet, *, allow: bool) -> tuple[str, ...]:
    """One sentence for each proof; NotInference, naming the layer if possible, where a proof fails and ``allow`` does not cover it."""
    return (_repeats(case, samples, allow), *_independent(case, samples, allow))


def training_found(sentence: str, allow: bool) -> str:
    """What looks like training: NotInference, unless the user said that it is meant."""
    if allow:
        return f"the user says it is meant: {sentence}"
    raise NotInference(f"{sentence}. {MEANT}")


def _repeats(case: ModelUnderProof, samples: SampleSet, allow: bool) -> str:
    feeds, others = (case.draw(samples, seed) for seed in (0, 1))
    runs = []
    for seed, given in ((0, feeds), (1, feeds), (2, others), (3, feeds)):
        case.model.seed(seed)
        runs.append(sampling.answer(case.model, given))
    first, second, _, third = runs
    worst = max(same_answers.difference(first, second), same_answers.difference(first, third))
    if worst > same_answers.SAME:
        if state := _kept_state(case.model, feeds):
            raise NotInference(
                f"the model keeps a state between calls ({state}): the same input gave two answers (they differ by {worst:.1e} of the "
                "output's scale), and on a server one request would change the answer to the next; make the state an input and an output "
                "of the model"
            )
        place = _place(case.model, feeds, feeds, lambda a, b: _near(a, b, same_answers.SAME), ", and the first to differ is ")
        sentence = f"the same input gave two answers (they differ by {worst:.1e} of the output's scale){place}"
        return training_found(f"{sentence}: a dropout left on, a random number, or a state that is kept between calls", allow)
    how = "bit-identical outputs" if worst == 0 else f"outputs within {worst:.1e} of their scale"
    return f"the same {case.batch} {_plural(case.batch)} gave {how} three times, under different random seeds"


def _kept_state(model: Model, feeds: Arrays) -> str:
    """The states that a call changes and that change its answer, in words; empty where random numbers explain what was seen."""
    answers = []
    for _ in range(2):
        model.seed(0)
        answers.append(sampling.answer(model, feeds))
    if same_answers.difference(*answers) <= same_answers.SAME:
        return ""
    if model.states is None:
        return ", ".join(model.keeps[:STATES])
    before = model.states()
    sampling.answer(model, feeds)
    changed = [name for name, value in model.states().items() if not _equal(value, before.get(name))]
    more = f" and {len(changed) - STATES} more" if len(changed) > STATES else ""
    return f"{', '.join(changed[:STATES])}{more}" if changed else ""


def _equal(value: Array, before: Array | None) -> bool:
    return before is not None and np.array_equal(value, before, equal_nan=value.dtype.kind in "fc")


def _independent(case: ModelUnderProof, samples: SampleSet, allow: bool) -> tuple[str, ...]:
    counted = any(spec.sample_axis is not None for spec in case.signature.inputs)
    if case.batch < 2 and counted:
        return ("the model takes one sample a call, so no sample can see another",)
    if not (case.rows and counted):
        return ("whether samples see each other was not tested: the model's shapes name no batch",)
    feeds = case.draw(samples, 0)
    here = case.rows_of(feeds, case.batch)
    replaced, coupled = _with_others_replaced(case, feeds, case.draw(samples, 2), here)
    if coupled > same_answers.SAME:
        place = _place(case.model, feeds, replaced, _same_first_sample(case.batch), ", beginning at ")
        sentence = f"the answer for a sample changes with the others in its batch (by {coupled:.1e} of the output's scale){place}"
        why = "a BatchNorm that uses the batch's own statistics, or something else taken over the whole batch"
        return (training_found(f"{sentence}: {why}", allow),)
    proof = f"a sample's answer stayed the same when the {case.batch - 1} others in its batch were replaced"
    return (proof, _same_alone(case, feeds, here, allow)) if case.symbolic else (proof,)


def _with_others_replaced(case: ModelUnderProof, feeds: Arrays, others: Arrays, here: Arrays) -> tuple[Arrays, float]:
    """The first sample of ``feeds`` in a batch with ``others``, and how far its answer is from that in ``here``, relative to the scale.

    The others come as they are, then amplified, which shows more; that the model refuses such values means nothing.
    """
    replaced, worst = feeds, 0.0
    for change in (np.asarray, _amplified):
        given = {
            spec.name: spec.joined([spec.take(feeds[spec.name], slice(1)), change(spec.take(others[spec.name], slice(1, None)))])
            for spec in case.signature.inputs
        }
        try:
            there = case.rows_of(given, case.batch)
        except SourceError:
            if change is np.asarray:
                raise
            break
        found = same_answers.difference({name: rows[:1] for name, rows in here.items()}, {name: rows[:1] for name, rows in there.items()})
        if found > worst:
            replaced, worst = given, found
    return replaced, worst


def _same_alone(case: ModelUnderProof, feeds: Arrays, batch: Arrays, allow: bool) -> str:
    noise = same_answers.difference(batch, case.rows_of(_noisy(feeds), case.batch))
    limit = max(FLOOR, FACTOR * noise, FACTOR * max(_epsilon(rows) for rows in batch.values()))
    alone = [{spec.name: spec.take(feeds[spec.name], slice(row, row + 1)) for spec in case.signature.inputs} for row in range(case.batch)]
    worst = 0.0
    for row, single in enumerate(alone):
        inside = {name: rows[row : row + 1] for name, rows in batch.items()}
        worst = max(worst, same_answers.difference(inside, case.rows_of(single, 1), scales=batch, outputs=case.signature.outputs))
    if worst > limit:
        place = _place(case.model, feeds, alone[0], _same_alone_inside(case.batch), ", beginning at ")
        return training_found(
            f"a sample alone gets another answer than inside a batch of {case.batch} (they differ by {worst:.1e} of the output's scale, "
            f"and rounding explains {limit:.1e}){place}: the batch's size enters the computation",
            allow,
        )
    seen = f"within {worst:.1e} of the output's scale (limit {limit:.1e})"
    if limit > TELLING:
        seen += f", which says little: rounding alone moves these answers by {noise:.1e} of their scale"
    return f"each of {case.batch} samples alone gave what it gave in a batch of {case.batch}, {seen}"


def same_rows(batch: Arrays, singles: Sequence[Arrays], outputs: tuple[TensorSpec, ...]) -> bool:
    """Whether every output of a call counts its samples, and each row is what the sample gave alone, but for rounding."""
    specs = {spec.name: spec for spec in outputs}
    if not all(specs[name].count(array) == len(singles) for name, array in batch.items()):
        return False
    rows = _rows(batch, outputs, len(singles))
    inside = [{name: array[row : row + 1] for name, array in rows.items()} for row in range(len(singles))]
    alone = [_rows(single, outputs, 1) for single in singles]
    return max(same_answers.difference(a, b, scales=rows, outputs=outputs) for a, b in zip(inside, alone, strict=True)) <= FLOOR


# What a layer inside the model gives has no signature: where its first axis is as long as the batch, that counts as the sample axis.


def _same_first_sample(batch: int) -> SameAnswer:
    """Whether two answers agree for the first sample; those that do not count the samples are passed over."""
    return lambda a, b: not (_counts(a, batch) and _counts(b, batch)) or _near(a[:1], b[:1], same_answers.SAME)


def _same_alone_inside(batch: int) -> SameAnswer:
    """Whether the answer for the first sample in a batch is the answer for it alone."""
    return lambda a, b: not (_counts(a, batch) and _counts(b, 1) and a.shape[1:] == b.shape[1:]) or _near(a[:1], b, FLOOR)


def _counts(array: Array, samples: int) -> bool:
    return bool(array.ndim and array.shape[0] == samples)


def _near(a: Array, b: Array, limit: float) -> bool:
    return output_error(b, a, scale_of(a)) <= limit


def _place(model: Model, first: Arrays, second: Arrays, same: SameAnswer, words: str) -> str:
    """Which layer it is, after ``words``; nothing where the framework cannot tell."""
    if model.locate is None:
        return ""
    try:
        return f"{words}{model.locate(first, second, same)}"
    except Exception:  # the finding holds without its place
        return ""


def _rows(answer: Arrays, outputs: tuple[TensorSpec, ...], samples: int) -> dict[str, Array]:
    rows = {}
    for spec in outputs:
        array = answer[spec.name]
        counts = spec.count(array) == samples
        rows[spec.name] = spec.to_rows(array, samples) if counts else np.broadcast_to(array, (samples, *array.shape))
    return rows


def _amplified(array: Array) -> Array:
    return np.asarray(array * 3 + 1, array.dtype) if array.dtype.kind == "f" else array


def _noisy(feeds: Arrays) -> dict[str, Array]:
    """Each floating-point number moved by about its own rounding, and never by less than ``NOISE``."""
    generator = np.random.default_rng(0)

    def moved(array: Array) -> Array:
        if array.dtype.kind != "f":
            return array
        return nudged(array, max(NOISE, _epsilon(array)) * np.abs(array), generator, bounds_of(array))

    return {name: moved(array) for name, array in feeds.items()}


def _epsilon(array: Array) -> float:
    """The rounding of a float type coarser than float32, for which ``NOISE`` stands; 0 for all others."""
    return float(np.finfo(array.dtype).eps) if array.dtype == np.float16 else 0.0


def _plural(count: int) -> str:
    return "sample" if count == 1 else "samples"
