"""Any live model, to an original of a proven signature: what it takes, in what numbers, and that it is in inference mode."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from roadworthy.build.sources import NO_MAKING, Loaded, inference_mode, inputs
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import made, ranges, sampling
from roadworthy.build.sources.samples.made import Making
from roadworthy.core.errors import NotInference, SourceError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import BATCH, BYTES, Array, Quantization, Signature, TensorSpec

SIZES = (2, 1, 3, 4, 5)
"""Batch sizes that the model is tried at; two first, since one alone hides what depends on the batch."""
OTHER_SIZES = (8, 16, 32, 64, 128, 256)
"""Where none of those runs, a size may have been baked in when the model was traced."""


def settle_and_keep(
    model: Model, said: tuple[TensorSpec, ...], samples: SampleSet | None, out: Path, *, allow: bool, making: Making = NO_MAKING
) -> Loaded:
    """``model`` in inference mode, proven, and kept in ``out`` with the signature that was learnt.

    ``said`` are the inputs in the user's words, maybe none; ``allow`` says that what looks like training mode is meant. Without
    ``samples`` they are made up, of values that the model takes. Raises UsageError for inputs that do not fit, SourceError for a
    model that does not run or whose outputs do not follow the batch, NotInference where a proof fails, DataError where it takes
    byte strings, or refuses all whole numbers that were made up, and there are no samples.
    """
    known = model.inputs or (model.otherwise if not said and samples is None else ())
    specs = inputs.resolve(known, said, samples)
    if samples is not None:
        return _kept(model, specs, samples, out, allow)
    fills = ranges.learn(model, specs, making.ranges)
    with tempfile.TemporaryDirectory() as scratch:
        samples = made.write(making.out or Path(scratch) / "made", specs, fills, making.count)
        loaded = _kept(model, specs, samples, out, allow)
    return replace(loaded, samples=samples if making.out else None, fills=fills)


def _kept(model: Model, specs: tuple[TensorSpec, ...], samples: SampleSet, out: Path, allow: bool) -> Loaded:
    specs, sizes, limit = _sizes(model, specs, samples)
    answers = {size: sampling.answer(model, sampling.draw(specs, size, samples)) for size in sizes}
    quantised = {spec.name: spec.quantization for spec in model.outputs}
    outputs = tuple(
        _output(name, {size: answer[name] for size, answer in answers.items() if name in answer}, sizes, quantised.get(name))
        for name in dict.fromkeys(name for answer in answers.values() for name in answer)
    )
    symbolic, batch = len(sizes) > 1, max(sizes)
    rows = symbolic or all(len(spec.shape) > 1 and spec.shape[0] == batch for spec in (*specs, *outputs))
    subject = inference_mode.Subject(model, specs, outputs, batch, symbolic, rows)
    proofs = (*model.proofs, *inference_mode.prove(subject, samples, allow=allow))
    most = () if limit is None else (f"the model takes at most {limit} {'sample' if limit == 1 else 'samples'} a call",)
    graph = model.keep(Signature(specs, outputs, limit), out)
    return Loaded(graph, model.parameters, proofs, (*model.notes, *most))


def _sizes(model: Model, specs: tuple[TensorSpec, ...], samples: SampleSet) -> tuple[tuple[TensorSpec, ...], tuple[int, ...], int | None]:
    """The specs, the batch sizes the model was seen to take (ascending), and the largest when there is one."""
    if not all(spec.batched for spec in specs):
        size = next((size for spec in specs for size in spec.shape[:1] if isinstance(size, int)), 1)
        return tuple(spec.fixed(size) for spec in specs), (size,), size
    taken = [size for size in SIZES if _takes(model, specs, samples, size)]
    if {1, 2} <= set(taken):
        limit = next((size - 1 for size in sorted(SIZES) if size not in taken), None)
        taken = [size for size in sorted(taken) if limit is None or size <= limit]
        return specs, tuple(taken), max(taken) if limit is not None else None
    only = taken or [size for size in OTHER_SIZES if _takes(model, specs, samples, size)]
    if not only:
        sampling.answer(model, sampling.draw(specs, 2, samples))
    if len(only) > 1:
        try:
            sampling.answer(model, sampling.draw(specs, 1, samples))
        except SourceError as problem:
            raise NotInference(
                f"the model takes several samples and not a single one: {problem.message}", detail=problem.detail
            ) from problem
    return tuple(spec.fixed(only[0]) for spec in specs), (only[0],), only[0]


def _takes(model: Model, specs: tuple[TensorSpec, ...], samples: SampleSet, size: int) -> bool:
    feeds = sampling.draw(specs, size, samples)
    try:
        sampling.answer(model, feeds)
    except SourceError:
        return False
    return True


def _output(name: str, arrays: dict[int, Array], sizes: tuple[int, ...], quantization: Quantization | None) -> TensorSpec:
    if len(arrays) != len(sizes):
        raise SourceError(f"the model gives the output {name!r} at some batch sizes only")
    shapes = {size: array.shape for size, array in arrays.items()}
    first = shapes[sizes[0]]
    follows = len(sizes) > 1 and bool(first) and all(shape and shape[0] == size for size, shape in shapes.items())
    if len({shape[1:] if follows else shape for shape in shapes.values()}) > 1:
        said = ", ".join(f"{list(shape)} for {size}" for size, shape in shapes.items())
        raise SourceError(f"output {name!r} has the shape {said} samples; only its first dimension may follow the batch")
    dtype = next(iter(arrays.values())).dtype
    if dtype.kind in "US":
        raise SourceError(f"output {name!r} holds text of the type {dtype}; give byte strings as objects")
    spec = TensorSpec(name, BYTES if dtype == np.dtype(BYTES) else str(dtype), (BATCH, *first[1:]) if follows else first)
    return replace(spec, quantization=quantization)
