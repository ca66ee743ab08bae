"""The signature of a live model, found by running it: which inputs, samples and sizes it takes, which outputs it gives."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.build.sources import NO_MAKING, Loaded, inference_mode, inputs
from roadworthy.build.sources.axes import open_axes, sample_axis
from roadworthy.build.sources.axes.outputs import SizedAnswer, of_answers
from roadworthy.build.sources.axes.sample_axis import Possible
from roadworthy.build.sources.axes.sized_calls import SizedCalls
from roadworthy.build.sources.input_syntax import option
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import fixed, made, ranges
from roadworthy.build.sources.samples.made import Fill, Making
from roadworthy.core.errors import DataError, NotInference, SourceError, UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Signature, TensorSpec

SIZES = (2, 1, 3, 4, 5)
"""Batch sizes that the model is tried at; two first, because one sample alone hides what depends on the batch."""
OTHER_SIZES = (8, 16, 32, 64, 128, 256)
"""Where none of those runs, a size may have been fixed when the model was traced."""
OPEN_SIZES = (16, 32, 64, 128, 256, 512, 1024, 8, 4, 2, 1)
"""The sizes to try for axes that are left open, where no samples show any."""
OF_PICTURES = (64, 128, 256)
"""What is tried first where two axes of one tensor are open, as those of pictures are."""
FEW = 16
"""Made-up samples that are enough to find the samples' axis."""


@dataclass(frozen=True)
class _Found:
    """The inputs with the samples' axis that was found, and the samples to call the model with; ``fills`` where they are made up."""

    calls: SizedCalls
    samples: SampleSet
    fills: tuple[Fill, ...] = ()


def prove_and_keep(
    model: Model,
    said: tuple[TensorSpec, ...],
    samples: SampleSet | None,
    out: Path,
    *,
    allow: bool,
    making: Making = NO_MAKING,
    examples: Sequence[tuple[int, ...]] = (),
) -> Loaded:
    """``model`` in inference mode, proven, and kept in ``out`` with the signature that was found.

    ``said`` are the inputs as the user stated them, maybe none; with ``allow`` behaviour of training mode is intended. ``examples`` are
    the shapes of one call, where ``said`` was read from example arrays. Without ``samples``, samples are made up, of values that the
    model takes. Raises UsageError for inputs that do not fit, SourceError for a model that does not run or whose outputs do not follow
    the batch, NotInference where a proof fails, DataError where it takes byte strings, or refuses all whole numbers that were made up,
    and there are no samples.
    """
    said, bound = fixed.split(said, making.stated)
    model = fixed.bind(model, bound)
    model = replace(model, notes=(*model.notes, *fixed.notes(bound)))
    known = model.inputs or (model.otherwise if not said and samples is None else ())
    specs = inputs.resolve(known, said, samples)
    named = frozenset(spec.name for spec in said)
    free = model.free or not (known or said)
    possible = sample_axis.possible(specs, named, free=free, data=samples is not None, examples=examples)
    if model.single:
        possible = Possible((), specs)
    with tempfile.TemporaryDirectory() as scratch:
        found = _found(model, possible, named, samples, making, Path(scratch))
        loaded = _kept(_refined(found), found.samples, out, allow, stated=inputs.symbols_of(said))
    if samples is not None:
        return loaded
    return replace(loaded, samples=found.samples if making.out else None, fills=found.fills)


def _refined(found: _Found) -> SizedCalls:
    """The calls with what is known of the model only after one with samples that it accepts."""
    calls, model = found.calls, found.calls.model
    if model.refine is None:
        return calls
    model, specs = model.refine(model, tuple(spec.at(calls.base) for spec in calls.specs), found.samples)
    pairs = zip(calls.specs, specs, strict=True)
    return replace(calls, model=model, specs=tuple(now if now.batched and not before.batched else before for before, now in pairs))


def _found(model: Model, possible: Possible, said: frozenset[str], samples: SampleSet | None, making: Making, scratch: Path) -> _Found:
    """The first possibility along whose axis the samples are independent, else the one that is taken without evidence."""
    chosen, few = possible.otherwise, replace(making, count=FEW, out=None)
    if samples is None and sample_axis.of_fixed_size(chosen):
        # Nothing but the model's answers says whether a file of numbers alone, such as [480,640,3], has a batch.
        tried = _calls(model, chosen, None, few, scratch / "fixed")
        chosen = sample_axis.without_samples(chosen) if sample_axis.is_one_sample(tried.calls, said) else chosen
    for number, specs in enumerate(possible.specs):
        try:
            tried = _calls(model, specs, samples, few, scratch / str(number))
        except (UsageError, SourceError, DataError):
            continue
        if sample_axis.counts_samples(tried.calls):
            chosen = possible.stated(specs)
            break
    return _calls(model, chosen, samples, making, scratch / "made")


def _calls(model: Model, specs: tuple[TensorSpec, ...], samples: SampleSet | None, making: Making, scratch: Path) -> _Found:
    """Calls of ``model`` with the samples, or with made-up ones; their sizes are the first that the model takes."""
    if samples is not None:
        specs = inputs.with_samples(specs, samples)
        return _Found(SizedCalls(model, specs, samples, inputs.sizes_of(specs, samples)), samples)
    symbols = inputs.symbols_of(specs)
    problem: Exception | None = None
    pictures = any(len(inputs.symbols_of((spec,))) > 1 for spec in specs)
    for size in ((*OF_PICTURES, *OPEN_SIZES) if pictures else OPEN_SIZES) if symbols else (1,):
        base = dict.fromkeys(symbols, size)
        closed = tuple(spec.at(base) for spec in specs)
        try:
            fills = ranges.learn(model, closed, making.stated)
        except (SourceError, DataError) as failure:
            problem = problem or failure
            continue
        given = made.write(making.out or scratch, closed, fills, making.count)
        return _Found(SizedCalls(model, specs, given, base), given, fills)
    raise problem or AssertionError("unreachable")


def _kept(calls: SizedCalls, samples: SampleSet, out: Path, allow: bool, stated: tuple[str, ...]) -> Loaded:
    """The model with its signature, proven; ``stated`` are the symbols that the user named: they are kept, or refused."""
    specs, sizes, limit = _sizes(_alone(calls))
    found = open_axes.find(replace(calls, specs=specs), min(sizes))
    _refuse_closed(replace(calls, specs=specs), found, stated)
    calls = replace(calls, specs=found.specs)
    model, base = calls.model, {symbol: calls.base[symbol] for symbol in inputs.symbols_of(found.specs)}
    draft = Signature(found.specs, (), limit, found.ranges)
    at = [(size, base) for size in sizes] + [(sizes[number % len(sizes)], case) for number, case in enumerate(draft.size_cases())]
    answers = [SizedAnswer(size, case, calls.answer(size, case)) for size, case in at]
    outputs = of_answers(answers, found.specs, {spec.name: spec.quantization for spec in model.outputs if spec.quantization})
    signature = replace(draft, outputs=outputs)
    proofs = (*model.proofs, *_inference_mode(calls, samples, signature, sizes, allow), *map(open_axes.proof, found.ranges))
    most = () if limit is None else (f"the model takes at most {limit} {'sample' if limit == 1 else 'samples'} a call",)
    if calls.model.neighbours and limit == 1:
        most = (f"one sample a call: {calls.model.neighbours}, so the answer for a sample would depend on the others in its call",)
    graph = model.keep(signature, out)
    return Loaded(graph, model.parameters, proofs, (*model.notes, *most, *found.notes(calls.base)), inner=model.inner)


def _alone(calls: SizedCalls) -> SizedCalls:
    """``calls`` of one sample, where the model is known to make its answers depend on the others in a call."""
    if not calls.model.neighbours:
        return calls
    return replace(calls, specs=tuple(spec.fixed(1) for spec in calls.specs))


def _inference_mode(calls: SizedCalls, samples: SampleSet, signature: Signature, sizes: tuple[int, ...], allow: bool) -> tuple[str, ...]:
    """The proofs of inference mode, at the sizes of the samples; where samples see each other, another axis may count them."""
    symbolic, batch = len(sizes) > 1, max(sizes)
    tensors = (*signature.inputs, *signature.outputs)
    rows = symbolic or (batch > 1 and all(spec.samples == batch for spec in tensors if spec.sample_axis is not None))
    closed = replace(signature, inputs=tuple(spec.at(calls.base) for spec in signature.inputs))
    case = inference_mode.ModelUnderProof(calls.model, closed, batch, symbolic, rows)
    try:
        return inference_mode.prove(case, samples, allow=allow)
    except NotInference as problem:
        if (other := sample_axis.advice(calls)) is None:
            raise
        raise NotInference(f"{problem.message}. {other}", detail=problem.detail) from problem


def _refuse_closed(calls: SizedCalls, found: open_axes.OpenAxes, stated: tuple[str, ...]) -> None:
    for symbol in stated:
        if symbol in found.closed:
            pairs = zip(calls.specs, found.specs, strict=True)
            closed = next(now for before, now in pairs if symbol in before.symbols.values())
            raise UsageError(
                f"--input leaves {symbol} open, and the model takes it at {calls.base[symbol]} alone ({found.closed[symbol]}); "
                f"say the number: {option(closed)}"
            )


def _sizes(calls: SizedCalls) -> tuple[tuple[TensorSpec, ...], tuple[int, ...], int | None]:
    """The specs, the batch sizes the model was seen to take (ascending), and the largest when there is one."""
    specs = calls.specs
    if not any(spec.batched for spec in specs):
        size = inputs.stated_samples(specs) or 1
        return tuple(spec.fixed(size) for spec in specs), (size,), size
    taken = [size for size in SIZES if calls.takes(size)]
    if {1, 2} <= set(taken):
        limit = next((size - 1 for size in sorted(SIZES) if size not in taken), None)
        taken = [size for size in sorted(taken) if limit is None or size <= limit]
        return specs, tuple(taken), max(taken) if limit is not None else None
    only = taken or [size for size in OTHER_SIZES if calls.takes(size)]
    if not only:
        calls.answer(2)
    if len(only) > 1:
        try:
            calls.answer(1)
        except SourceError as problem:
            raise NotInference(
                f"the model takes several samples and not a single one: {problem.message}", detail=problem.detail
            ) from problem
    return tuple(spec.fixed(only[0]) for spec in specs), (only[0],), only[0]
