"""The inputs that the user gave one value: bound into the model where the size is known, values of the samples where it is not.

``sr:int64[] = 16000`` is a constant of the deployed model. ``mask:int64[batch,seq] = ones`` has the size of each request, so it stays an
input; its samples hold ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from roadworthy.build.sources.inputs import listed
from roadworthy.build.sources.model import Model
from roadworthy.core.errors import DataError, SourceError, UsageError
from roadworthy.core.samples import SampleSet, write_array
from roadworthy.core.types import BoundInput, Fixed, Stated, TensorSpec


def split(said: tuple[TensorSpec, ...], stated: tuple[Stated, ...]) -> tuple[tuple[TensorSpec, ...], tuple[BoundInput, ...]]:
    """The inputs of ``said`` that remain, and those that are bound: one value, and every axis a number."""
    values = {one.name: one.value for one in stated if isinstance(one, Fixed)}
    bound = tuple(
        BoundInput(spec.name, spec.dtype, tuple(size for size in spec.shape if isinstance(size, int)), values[spec.name])
        for spec in said
        if spec.name in values and not spec.symbols
    )
    names = {one.name for one in bound}
    return tuple(spec for spec in said if spec.name not in names), bound


def bind(model: Model, bound: tuple[BoundInput, ...]) -> Model:
    """``model`` without its ``bound`` inputs; UsageError where it has none of that name and form, SourceError where it cannot be."""
    if not bound:
        return model
    own = model.inputs or model.otherwise
    known = {spec.name: spec for spec in own}
    bound = tuple(fitted(one, known[one.name]) if one.name in known else one for one in bound)
    if known and (stray := [one.name for one in bound if one.name not in known]):
        raise UsageError(f"the model has no input {stray[0]!r}; it takes {listed(own)}")
    if known and len(known) == len(bound):
        raise UsageError("every input of the model has a fixed value, so there is nothing left to send it; leave one open")
    if model.bind is None:
        raise SourceError(
            f"the input {bound[0].name!r} cannot be fixed in a file of this format; convert the model again with the value inside, or "
            f"state it without a value and send it with each request"
        )
    return model.bind(bound)


def fitted(one: BoundInput, own: TensorSpec) -> BoundInput:
    """``one`` in the shape of the model's ``own`` input; UsageError where it is another input."""
    single = one.shape == () and own.shape == (1,)
    fits = len(one.shape) == len(own.shape) and all(isinstance(b, str) or a == b for a, b in zip(one.shape, own.shape, strict=True))
    if one.dtype != own.dtype or not (single or fits):
        raise UsageError(f"{one.name!r} was said to be {one.spec}, and the model takes {own}")
    return replace(one, shape=(1,)) if single else one


def notes(bound: tuple[BoundInput, ...]) -> tuple[str, ...]:
    """A sentence about each."""
    return tuple(f"{one.name!r} is {one.value!r} in every call, as --input states: it is no input of the deployment" for one in bound)


def filled(samples: SampleSet, said: tuple[TensorSpec, ...], stated: tuple[Stated, ...]) -> SampleSet:
    """``samples`` with the inputs that the user gave one value and the data does not hold, and without those that are bound.

    A named axis has the size that it has in an input of the data. Raises DataError where none shows it.
    """
    free, bound = split(said, stated)
    gone = {one.name for one in bound}
    names = [name for name in samples.inputs if name not in gone]
    values = {one.name: one.value for one in stated if isinstance(one, Fixed) and one.name not in gone}
    missing = [spec for spec in free if spec.name in values and spec.name not in names]
    if missing:
        arrays = samples.open()
        sizes = {
            symbol: size
            for spec in free
            if spec.name in arrays
            for symbol, size in zip(spec.sample_shape, arrays[spec.name].shape[1:], strict=False)
        }
        for spec in missing:
            shape = [sizes.get(size, size) for size in spec.sample_shape]
            if unknown := [size for size in shape if isinstance(size, str)]:
                raise DataError(f"the data has no input {spec.name!r}, and nothing shows its size {unknown[0]}; add it to the data")
            value = np.full((samples.count, *shape), values[spec.name], spec.dtype)
            write_array(Path(samples.path), spec.name, value)
            names.append(spec.name)
    return replace(samples, inputs=tuple(names))
