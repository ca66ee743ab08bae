"""The specs of a model's outputs: which of their sizes follow the number of samples or another symbol, by its answers at several sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.build.sources import inputs
from roadworthy.core.errors import SourceError
from roadworthy.core.text import identifier
from roadworthy.core.types import BATCH, BYTES, Array, Arrays, Quantization, TensorSpec


@dataclass(frozen=True)
class SizedAnswer:
    """What the model gave for ``count`` samples with its symbolic axes at ``sizes``."""

    count: int
    sizes: Mapping[str, int]
    outputs: Arrays


def of_answers(answers: Sequence[SizedAnswer], specs: tuple[TensorSpec, ...], known: Mapping[str, Quantization]) -> tuple[TensorSpec, ...]:
    """The outputs in the order of the first answer; ``specs`` are the inputs, ``known`` the quantised outputs that the file states.

    Raises SourceError for an output of some answers only, and for one whose samples cannot be told apart.
    """
    names = dict.fromkeys(name for answer in answers for name in answer.outputs)
    followed = {BATCH: tuple(answer.count for answer in answers)} if any(spec.batched for spec in specs) else {}
    followed |= {symbol: tuple(answer.sizes[symbol] for answer in answers) for symbol in inputs.symbols_of(specs)}
    follows = {sizes: symbol for symbol, sizes in reversed(followed.items())}
    return tuple(_output(name, answers, specs, follows, known.get(name)) for name in names)


def _output(
    name: str,
    answers: Sequence[SizedAnswer],
    specs: tuple[TensorSpec, ...],
    follows: dict[tuple[int, ...], str],
    quantization: Quantization | None,
) -> TensorSpec:
    """Its spec. An axis with a size that depends on a symbol without being it gets a symbol of its own, which ``follows`` then holds."""
    arrays = [answer.outputs[name] for answer in answers if name in answer.outputs]
    if len(arrays) != len(answers):
        raise SourceError(f"the model gives the output {name!r} at some sizes only")
    if arrays[0].dtype.kind in "US":
        raise SourceError(f"output {name!r} holds text of the type {arrays[0].dtype}; give byte strings as objects")
    if len({array.ndim for array in arrays}) > 1:
        raise _odd(name, answers, arrays)
    shape: list[int | str] = []
    for axis, sizes in enumerate(zip(*(array.shape for array in arrays), strict=True)):
        if len(set(sizes)) == 1:
            shape.append(sizes[0])
        elif _of_count_alone(sizes, answers) and sizes not in follows:
            raise _odd(name, answers, arrays)
        else:
            shape.append(follows.setdefault(sizes, _free(identifier(f"{name}_{axis}"), follows)))
    if shape.count(BATCH) > 1:
        raise SourceError(
            f"output {name!r} has the shape {list(shape)}: two of its axes count the samples, so each sample's answer depends on the others"
        )
    dtype = BYTES if arrays[0].dtype == np.dtype(BYTES) else str(arrays[0].dtype)
    counted = shape.index(BATCH) if BATCH in shape else None if BATCH in follows.values() else _of_fixed(tuple(shape), specs)
    return TensorSpec(name, dtype, tuple(shape), quantization, counted)


def _free(symbol: str, follows: dict[tuple[int, ...], str]) -> str:
    return next(one for number in range(len(follows) + 1) if (one := f"{symbol}{'_' * number}") not in follows.values())


def _of_count_alone(sizes: tuple[int, ...], answers: Sequence[SizedAnswer]) -> bool:
    """Whether a size changes with the number of samples while the symbolic axes keep theirs."""
    pairs = [(size, dict(answer.sizes)) for size, answer in zip(sizes, answers, strict=True)]
    return any(size != other and at == there for size, at in pairs for other, there in pairs)


def _of_fixed(shape: tuple[int | str, ...], specs: tuple[TensorSpec, ...]) -> int | None:
    """The samples' axis where one number of samples was proven: the first axis if it has that size, else the only one that has."""
    counted = next((spec.samples for spec in specs if spec.samples is not None), None)
    return None if counted is None else inputs.axis_of(shape, counted)


def _odd(name: str, answers: Sequence[SizedAnswer], arrays: Sequence[Array]) -> SourceError:
    base = dict(answers[0].sizes)
    shapes = ", ".join(
        f"{list(array.shape)} for {answer.count}" for answer, array in zip(answers, arrays, strict=True) if dict(answer.sizes) == base
    )
    return SourceError(f"output {name!r} has the shape {shapes} samples; one axis of it must be as long as the batch, or none may change")
