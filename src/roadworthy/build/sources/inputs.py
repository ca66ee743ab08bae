"""The inputs of a model: as the user, the samples or the file states them, in that order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from roadworthy.build.sources.input_syntax import EXAMPLE_SIZE, option
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import ANY_RANK, BATCH, BYTES, TensorSpec


def resolve(known: tuple[TensorSpec, ...], said: tuple[TensorSpec, ...], samples: SampleSet | None) -> tuple[TensorSpec, ...]:
    """The inputs of a model whose file states ``known``, in the file's order and under its names; where it states none, as given.

    What the user states (``said``) or the samples have gives the sizes that the file leaves open, and may not contradict it. ``said`` may
    leave out known inputs. Raises UsageError where they do not fit, or a size stays unknown.
    """
    given = of_samples(samples)
    if not (known or said or given):
        example = option(TensorSpec("x", "float32", (BATCH, 224, 224, 3)))
        raise UsageError(f"what the model takes cannot be known from its file; say it, for example {example}")
    if not known:
        if said and given:
            agree(given, said)
        specs = said or given
    else:
        if stray := [spec.name for spec in said if spec.name not in {own.name for own in known}]:
            raise UsageError(f"the model has no input {stray[0]!r}; it takes {listed(known)}")
        specs = _closed_by(_closed_by(known, said, "said to be"), _named(given, known), "given as")
    refuse_open(specs)
    return specs


def of_samples(samples: SampleSet | None) -> tuple[TensorSpec, ...]:
    """The specs of the samples, under their own names; none where there are no samples."""
    if samples is None:
        return ()
    return tuple(TensorSpec(name, str(array.dtype), (BATCH, *array.shape[1:])) for name, array in samples.open().items())


def stated_samples(specs: tuple[TensorSpec, ...]) -> int | None:
    """The number of samples in a call, where one of ``specs`` states it."""
    return next((spec.samples for spec in specs if isinstance(spec.samples, int)), None)


def refuse_open(specs: tuple[TensorSpec, ...]) -> None:
    """UsageError where a size other than the batch is still open."""
    for spec in specs:
        if ANY_RANK in spec.shape:
            example = option(spec, sizes=(224, 224, 3))
            raise UsageError(f"the model leaves the shape of {spec.name!r} open; say it, for example {example}")
        if spec.open_sizes:
            sizes = tuple(EXAMPLE_SIZE if size in spec.open_sizes else size for size in spec.shape)
            example = option(replace(spec, shape=sizes))
            opened = ", ".join(spec.open_sizes)
            raise UsageError(f"the model leaves {opened} of {spec} open; say the sizes it is to be deployed with, for example {example}")


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
    return tuple(replace(own, name=other.name, shape=_closed(own, other)) for own, other in zip(known, said, strict=True))


def listed(specs: tuple[TensorSpec, ...]) -> str:
    """The specs, separated by commas."""
    return ", ".join(map(str, specs))


def _named(given: tuple[TensorSpec, ...], known: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """The samples under the model's names: their own, or by position where those are not the model's."""
    if {spec.name for spec in given} <= {spec.name for spec in known}:
        return given
    if len(given) != len(known):
        raise UsageError(f"the data holds {listed(given)}, and the model takes {listed(known)}")
    return tuple(replace(spec, name=own.name) for spec, own in zip(given, known, strict=True))


def _closed_by(known: tuple[TensorSpec, ...], given: tuple[TensorSpec, ...], words: str) -> tuple[TensorSpec, ...]:
    by_name = {spec.name: spec for spec in given}
    if wrong := [own for own in known if own.name in by_name and not _same(own, by_name[own.name])]:
        raise UsageError(f"{wrong[0].name!r} was {words} {by_name[wrong[0].name]}, and the model takes {wrong[0]}")
    return tuple(replace(own, shape=_closed(own, by_name[own.name])) if own.name in by_name else own for own in known)


def _closed(own: TensorSpec, said: TensorSpec) -> tuple[int | str, ...]:
    """The sizes of ``own``; those that it leaves open are the sizes of ``said``, where a symbol cannot replace the batch."""
    if ANY_RANK in own.shape:
        return said.shape
    return tuple(
        b if isinstance(a, str) and (axis != own.sample_axis or isinstance(b, int)) else a
        for axis, (a, b) in enumerate(zip(own.shape, said.shape, strict=True))
    )


def _same(own: TensorSpec, other: TensorSpec) -> bool:
    if own.dtype != other.dtype or (len(own.shape) != len(other.shape) and ANY_RANK not in own.shape):
        return False
    if ANY_RANK in own.shape:
        return True
    return all(
        a == b or isinstance(a, str) or (axis == own.sample_axis and b == BATCH)
        for axis, (a, b) in enumerate(zip(own.shape, other.shape, strict=True))
    )
