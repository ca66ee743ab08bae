"""The signature of a live model, found by running it: which inputs and how many samples it takes, which outputs it gives."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from roadworthy.build.sources import NO_MAKING, Loaded, inference_mode, inputs
from roadworthy.build.sources.model import Model
from roadworthy.build.sources.samples import fixed, made, ranges, sampling
from roadworthy.build.sources.samples.made import Making
from roadworthy.core.errors import NotInference, SourceError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import BYTES, Array, Quantization, Signature, TensorSpec

SIZES = (2, 1, 3, 4, 5)
"""Batch sizes that the model is tried at; two first, because one sample alone hides what depends on the batch."""
OTHER_SIZES = (8, 16, 32, 64, 128, 256)
"""Where none of those runs, a size may have been fixed when the model was traced."""


def prove_and_keep(
    model: Model, said: tuple[TensorSpec, ...], samples: SampleSet | None, out: Path, *, allow: bool, making: Making = NO_MAKING
) -> Loaded:
    """``model`` in inference mode, proven, and kept in ``out`` with the signature that was found.

    ``said`` are the inputs as the user stated them, maybe none; with ``allow`` behaviour of training mode is intended. Without
    ``samples``, samples are made up, of values that the model takes. Raises UsageError for inputs that do not fit, SourceError for a
    model that does not run or whose outputs do not follow the batch, NotInference where a proof fails, DataError where it takes
    byte strings, or refuses all whole numbers that were made up, and there are no samples.
    """
    said, bound = fixed.split(said, making.stated)
    model = fixed.bind(model, bound)
    known = model.inputs or (model.otherwise if not said and samples is None else ())
    specs = inputs.resolve(known, said, samples)
    model = replace(model, notes=(*model.notes, *fixed.notes(bound)))
    if samples is not None:
        return _kept(model, specs, samples, out, allow)
    fills = ranges.learn(model, specs, making.stated)
    with tempfile.TemporaryDirectory() as scratch:
        samples = made.write(making.out or Path(scratch) / "made", specs, fills, making.count)
        loaded = _kept(model, specs, samples, out, allow)
    return replace(loaded, samples=samples if making.out else None, fills=fills)


def _kept(model: Model, specs: tuple[TensorSpec, ...], samples: SampleSet, out: Path, allow: bool) -> Loaded:
    if model.settle is not None:
        model, specs = model.settle(model, specs, samples)
    specs, sizes, limit = _sizes(model, specs, samples)
    answers = {size: sampling.answer(model, sampling.draw(specs, size, samples)) for size in sizes}
    quantised = {spec.name: spec.quantization for spec in model.outputs}
    outputs = tuple(
        _output(name, {size: answer[name] for size, answer in answers.items() if name in answer}, sizes, quantised.get(name))
        for name in dict.fromkeys(name for answer in answers.values() for name in answer)
    )
    symbolic, batch = len(sizes) > 1, max(sizes)
    rows = symbolic or all(len(spec.shape) > 1 and spec.samples == batch for spec in (*specs, *outputs))
    signature = Signature(specs, outputs, limit)
    case = inference_mode.ModelUnderProof(model, signature, batch, symbolic, rows)
    proofs = (*model.proofs, *inference_mode.prove(case, samples, allow=allow))
    most = () if limit is None else (f"the model takes at most {limit} {'sample' if limit == 1 else 'samples'} a call",)
    graph = model.keep(signature, out)
    return Loaded(graph, model.parameters, proofs, (*model.notes, *most))


def _sizes(model: Model, specs: tuple[TensorSpec, ...], samples: SampleSet) -> tuple[tuple[TensorSpec, ...], tuple[int, ...], int | None]:
    """The specs, the batch sizes the model was seen to take (ascending), and the largest when there is one."""
    if not all(spec.batched for spec in specs):
        size = inputs.stated_samples(specs) or 1
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
    """The spec of the output that was ``arrays`` in calls of ``sizes`` samples.

    For example shapes [2, 10] for 2 samples and [1, 10] for 1 are float32[batch, 10]; where all are [10], it is float32[10].
    """
    if len(arrays) != len(sizes):
        raise SourceError(f"the model gives the output {name!r} at some batch sizes only")
    dtype = next(iter(arrays.values())).dtype
    if dtype.kind in "US":
        raise SourceError(f"output {name!r} holds text of the type {dtype}; give byte strings as objects")
    spec = TensorSpec(name, BYTES if dtype == np.dtype(BYTES) else str(dtype), arrays[sizes[0]].shape, quantization)
    follows = len(sizes) > 1 and all(spec.count(array) == size for size, array in arrays.items())
    if len({spec.shape_of_one(array) if follows else array.shape for array in arrays.values()}) > 1:
        shapes = ", ".join(f"{list(array.shape)} for {size}" for size, array in arrays.items())
        raise SourceError(f"output {name!r} has the shape {shapes} samples; only its first dimension may follow the batch")
    return spec.with_batch() if follows else spec
