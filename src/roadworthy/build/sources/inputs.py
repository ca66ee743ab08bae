"""The inputs of a model: as the user, the samples or the file states them, in that order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from roadworthy.build.sources.input_syntax import option
from roadworthy.build.sources.parsers.batch_symbol import UNNAMED
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.text import identifier
from roadworthy.core.types import ANY_RANK, BATCH, BYTES, TensorSpec

CARRIED = {"bfloat16": "float32"}
"""What carries the values of a type that arrays do not have."""


def resolve(known: tuple[TensorSpec, ...], said: tuple[TensorSpec, ...], samples: SampleSet | None) -> tuple[TensorSpec, ...]:
    """The inputs of a model whose file states ``known``, in the file's order and under its names; where it states none, as given.

    What the user states (``said``) gives the sizes that the file leaves open, a number or a symbol, and may not contradict it; it may
    leave out known inputs. Samples must fit. Sizes that are not stated stay symbols. Raises UsageError where they do not fit.
    """
    if not (known or said or samples):
        example = option(TensorSpec("x", "float32", (BATCH, 224, 224, 3)))
        raise UsageError(f"what the model takes cannot be known from its file; say it, for example {example}")
    if not known:
        specs = said or of_samples(samples)
    else:
        if stray := [spec.name for spec in said if spec.name not in {own.name for own in known}]:
            raise UsageError(f"the model has no input {stray[0]!r}; it takes {listed(known)}")
        specs = aligned(_closed_by(tuple(map(_told_apart, known)), said))
    specs = with_samples(specs, samples)
    refuse_unknown_rank(specs)
    return specs


def of_samples(samples: SampleSet | None) -> tuple[TensorSpec, ...]:
    """The specs of the samples, under their own names, samples first; none where there are no samples."""
    if samples is None:
        return ()
    return tuple(TensorSpec(name, str(array.dtype), (BATCH, *array.shape[1:])) for name, array in samples.open().items())


def with_samples(specs: tuple[TensorSpec, ...], samples: SampleSet | None) -> tuple[TensorSpec, ...]:
    """``specs`` with what the samples show: a rank, and which axis of fixed size counts the samples; UsageError where they do not fit."""
    if samples is None:
        return specs
    given = _named(of_samples(samples), specs)
    return tuple(_fitted(spec, given[spec.name]) if spec.name in given else spec for spec in specs)


def sizes_of(specs: tuple[TensorSpec, ...], samples: SampleSet) -> dict[str, int]:
    """The size that each symbol but the batch has in the samples; UsageError where one symbol has two sizes."""
    given = _named(of_samples(samples), specs)
    found: dict[str, int] = {}
    for spec in specs:
        for symbol, size in zip(spec.sample_shape, given[spec.name].shape[1:], strict=True) if spec.name in given else ():
            if isinstance(symbol, str) and found.setdefault(symbol, int(size)) != size:
                raise UsageError(f"{symbol} is {found[symbol]} and {size} in the data; give axes of different sizes different names")
    return found


def aligned(specs: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """``specs`` of which some have the batch: an input without it holds for the whole call.

    Where every size is a number, the first size of the first input counts its samples, and an input whose first size is another has
    them on its only axis of that size, if there is one: states are often [layers, batch, hidden].
    """
    if any(spec.batched for spec in specs):
        return tuple(spec if spec.batched or ANY_RANK in spec.shape else replace(spec, sample_axis=None) for spec in specs)
    first = next((spec for spec in specs if spec.shape), None)
    if first is None or first.sample_axis is None or any(spec.symbols for spec in specs):
        return specs
    return tuple(replace(spec, sample_axis=axis_of(spec.shape, first.samples)) for spec in specs)


def in_call(spec: TensorSpec, samples: int) -> TensorSpec:
    """``spec``, all of numbers, for any number of samples where one call of it has ``samples``: along the axis of that size, if any."""
    axis = axis_of(spec.shape, samples)
    shape = tuple(BATCH if number == axis else size for number, size in enumerate(spec.shape))
    return replace(spec, shape=shape, sample_axis=axis)


def axis_of(shape: tuple[int | str, ...], samples: int | str | None) -> int | None:
    """The axis of size ``samples``: the first one of the shape if it has that size, else the only one that has."""
    if shape[:1] == (samples,):
        return 0
    axes = [axis for axis, size in enumerate(shape) if size == samples]
    return axes[0] if len(axes) == 1 else None


def stated_samples(specs: tuple[TensorSpec, ...]) -> int | None:
    """The number of samples in a call, where one of ``specs`` states it."""
    return next((spec.samples for spec in specs if isinstance(spec.samples, int)), None)


def symbols_of(specs: tuple[TensorSpec, ...]) -> tuple[str, ...]:
    """The symbols of ``specs`` but the batch, each once."""
    return tuple(dict.fromkeys(symbol for spec in specs for symbol in spec.symbols.values() if symbol != BATCH))


def refuse_unknown_rank(specs: tuple[TensorSpec, ...]) -> None:
    """UsageError where not even the number of axes is known."""
    for spec in specs:
        if ANY_RANK in spec.shape:
            example = option(spec, sizes=(224, 224, 3))
            raise UsageError(f"the model leaves the shape of {spec.name!r} open; say it, for example {example}")


def refuse_type(spec: TensorSpec, path: Path) -> None:
    """SourceError for a tensor of the file at ``path`` whose type no array has."""
    if spec.dtype != BYTES and not hasattr(np, spec.dtype):
        raise SourceError(f"{path}: {spec.name!r} is {spec.dtype}, a type that arrays do not have; export the model with float32 there")


def agree(known: tuple[TensorSpec, ...], said: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """The names of ``said`` with the shapes of ``known``; UsageError where the two do not describe the same tensors."""
    by_name = {spec.name: spec for spec in known}
    if len(said) > 1 and {spec.name for spec in said} == set(by_name):
        known = tuple(by_name[spec.name] for spec in said)
    matched = len(known) == len(said) and all(_same(own, other) for own, other in zip(known, said, strict=True))
    if not matched:
        raise UsageError(f"the inputs were said to be {listed(said)}, and are {listed(known)}")
    return aligned(tuple(replace(_closed(own, other), name=other.name) for own, other in zip(known, said, strict=True)))


def listed(specs: tuple[TensorSpec, ...]) -> str:
    """The specs, separated by commas."""
    return ", ".join(map(str, specs))


def _named(given: tuple[TensorSpec, ...], known: tuple[TensorSpec, ...]) -> dict[str, TensorSpec]:
    """The samples under the model's names: their own, or by position where those are not the model's."""
    if {spec.name for spec in given} <= {spec.name for spec in known}:
        return {spec.name: spec for spec in given}
    if len(given) != len(known):
        raise UsageError(f"the data holds {listed(given)}, and the model takes {listed(known)}")
    return {own.name: replace(spec, name=own.name) for spec, own in zip(given, known, strict=True)}


def _told_apart(spec: TensorSpec) -> TensorSpec:
    """``spec`` with symbols that can be written on a command line, one of its own for each axis that the file leaves open without a name.

    Equal symbols have equal sizes.
    """
    if ANY_RANK in spec.shape:
        return spec
    named = (f"{spec.name}_{axis}" if size == UNNAMED else size for axis, size in enumerate(spec.shape))
    return replace(spec, shape=tuple(identifier(size) if isinstance(size, str) else size for size in named))


def _fitted(own: TensorSpec, given: TensorSpec) -> TensorSpec:
    """``own`` as samples of the spec ``given``, samples first, show it."""
    sizes = given.shape[1:]
    if own.dtype == given.dtype and ANY_RANK in own.shape:
        return replace(own, shape=given.shape, sample_axis=0)
    # A fixed size may be the number of samples in a call, or belong to each sample: the data tells.
    others = () if own.batched else (None, *(axis for axis, size in enumerate(own.shape) if isinstance(size, int)))
    for axis in (own.sample_axis, *others):
        read = replace(own, sample_axis=axis)
        if own.dtype == given.dtype and _fit(sizes, read.sample_shape):
            return read
    raise UsageError(f"{own.name!r} was given as {given}, and the model takes {own}")


def _fit(sizes: tuple[int | str, ...], wanted: tuple[int | str, ...]) -> bool:
    return len(sizes) == len(wanted) and all(isinstance(b, str) or a == b for a, b in zip(sizes, wanted, strict=True))


def _closed_by(known: tuple[TensorSpec, ...], said: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    by_name = {spec.name: spec for spec in said}
    if wrong := [own for own in known if own.name in by_name and not _same(own, by_name[own.name])]:
        raise UsageError(f"{wrong[0].name!r} was said to be {by_name[wrong[0].name]}, and the model takes {wrong[0]}")
    return tuple(_closed(own, by_name[own.name]) if own.name in by_name else own for own in known)


def _closed(own: TensorSpec, said: TensorSpec) -> TensorSpec:
    """``own`` with the sizes of ``said`` where it leaves them open. An axis that ``said`` calls the batch counts the samples."""
    if ANY_RANK in own.shape:
        return replace(own, shape=said.shape, sample_axis=said.sample_axis)
    shape = tuple(b if isinstance(a, str) else a for a, b in zip(own.shape, said.shape, strict=True))
    if BATCH in said.shape:
        return replace(own, shape=shape, sample_axis=said.shape.index(BATCH))
    kept = own.sample_axis if own.shape and own.sample_axis is not None and isinstance(shape[own.sample_axis], int) else None
    return replace(own, shape=shape, sample_axis=kept)


def _same(own: TensorSpec, other: TensorSpec) -> bool:
    if own.dtype != CARRIED.get(other.dtype, other.dtype) or (len(own.shape) != len(other.shape) and ANY_RANK not in own.shape):
        return False
    if ANY_RANK in own.shape:
        return True
    return all(a == b or isinstance(a, str) or b == BATCH for a, b in zip(own.shape, other.shape, strict=True))
