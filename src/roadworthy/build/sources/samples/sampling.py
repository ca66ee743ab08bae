"""Calls of a live model of any framework: the samples for one, and its answers or, in words, why there are none."""

from __future__ import annotations

from typing import Any

import numpy as np

from roadworthy.build.sources.model import Model
from roadworthy.core.errors import DataError, EnvironmentFault, SourceError
from roadworthy.core.exact import cast_exactly
from roadworthy.core.samples import SampleSet
from roadworthy.core.text import first_line
from roadworthy.core.types import BYTES, Array, Arrays, TensorSpec


def draw(specs: tuple[TensorSpec, ...], count: int, samples: SampleSet | None, *, seed: int = 0) -> dict[str, Array]:
    """``count`` of ``samples`` for each input, from the first one on, and from the beginning again where they are fewer.

    With another ``seed`` than 0 they begin at another sample, so that each place in the call has another one. Without samples the
    values are made up (normal; whole numbers of 0 and 1; all bytes), and a model need not accept them. Raises DataError for byte
    strings without samples, and for samples that do not fit.
    """
    generator = np.random.default_rng(seed)
    feeds = {}
    for number, spec in enumerate(specs):
        real = _real(spec, number, samples)
        if spec.dtype == BYTES:
            strings = _strings(spec, real)
            array = strings[_rows(count, len(strings), seed)]
        elif real is None:
            array = _made(spec, (count, *(int(size) for size in spec.sample_shape)), generator)
        else:
            array = cast_exactly(spec.name, real[_rows(count, len(real), seed)], np.dtype(spec.dtype))
        feeds[spec.name] = np.asarray(spec.to_call(array), order="C")
    return feeds


def _real(spec: TensorSpec, number: int, samples: SampleSet | None) -> Array | None:
    """The samples of an input: by its name, or by its position where the names are not the model's."""
    if samples is None:
        return None
    name = spec.name if spec.name in samples.inputs else samples.inputs[number] if number < len(samples.inputs) else None
    if name is None:
        raise DataError(f"the data has no input {spec.name!r}; it holds {', '.join(samples.inputs)}")
    real = samples.open()[name]
    if spec.dtype != BYTES and (real.dtype.kind not in "biufc" or real.shape[1:] != spec.sample_shape or not len(real)):
        raise DataError(f"the data for {spec.name!r} is {real.dtype}{list(real.shape)}; the model takes {spec}")
    return real


def _rows(count: int, of: int, seed: int) -> Array:
    """``count`` indices below ``of``; for another seed a sample moves to another place, where there is more than one."""
    shift = next((shift for shift in (seed * count, seed, 1) if shift % of), 0) if seed else 0
    return (np.arange(count) + shift) % of


def _strings(spec: TensorSpec, real: Array | None) -> Array:
    if real is None or not len(real) or real.dtype != np.dtype(BYTES):
        raise DataError(f"the model takes byte strings ({spec}), and those cannot be made up; give real ones: --data")
    return real


def _made(spec: TensorSpec, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    kind = np.dtype(spec.dtype)
    if kind.kind == "f":
        return generator.standard_normal(shape).astype(kind)
    if kind.itemsize == 1 and kind.kind in "iu" and (kind == np.uint8 or spec.quantization):
        return generator.integers(0, 256, shape, np.uint8).view(kind)
    return generator.integers(0, 2, shape).astype(kind)


def answer(model: Model, feeds: Arrays) -> dict[str, Array]:
    """Every output by name, in memory of its own; SourceError saying what was given when the model raises."""
    try:
        given: Any = model.call({name: array.copy() for name, array in feeds.items()})
        return {name: np.array(array) for name, array in given.items()}
    except (SourceError, EnvironmentFault):
        raise
    except Exception as problem:
        shapes = ", ".join(f"{name}:{array.dtype}{list(array.shape)}" for name, array in feeds.items())
        raise SourceError(f"the model does not take {shapes}: {first_line(problem)}", detail=str(problem)) from problem
