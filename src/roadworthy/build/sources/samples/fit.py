"""The user's samples in the form that the model takes: its dtypes, its names, columns joined to one input. Values stay what they are.

Where the file does not state what it takes (a PyTorch module), the forms that the samples may have are tried on the model itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.sources.samples import casting
from roadworthy.core import samples as sample_sets
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, TensorSpec
from roadworthy.preprocess import texts

TRIES = 64
"""The most combinations of forms that are tried."""
FEW = 5
"""Samples of a call that tries one; they begin again where there are fewer."""
FLOAT = "float32"
"""The dtype of a module's weights: they are raised to it before its samples are fitted."""
WITHOUT_CHANNELS = 3
"""Samples on the first axis and a number, a sound or a grey picture on the others: PyTorch wants an axis of channels between."""


@dataclass(frozen=True)
class SampleForm:
    """The dtype of an input and the shape of its samples, which differs from the given one by axes of size 1 alone."""

    dtype: str
    shape: tuple[int, ...]

    def shaped(self, array: Array) -> Array:
        """``array`` in the shape of this form; its dtype stays."""
        return array.reshape(len(array), *self.shape)

    def fits(self, array: Array) -> bool:
        """Whether ``array`` has this form already."""
        return self == _own(array)


@dataclass(frozen=True)
class Taker:
    """What is known of a model before its signature: the inputs that its file or the user states (``specs``, maybe none), the
    ``names`` of its inputs in the order of the call (maybe none), and a call on arrays by name. ``optional``
    are the names of inputs that it can do without.
    """

    specs: tuple[TensorSpec, ...]
    names: tuple[str, ...]
    call: Callable[[Mapping[str, Array]], Any]
    optional: tuple[str, ...] = ()


def fitted(samples: SampleSet, taker: Taker, out: Path) -> tuple[SampleSet, tuple[str, ...]]:
    """``samples`` as the model takes them, in the new directory ``out`` where anything changes, and a sentence for each change.

    Raises DataError, naming the input and the row, where values would not stay the same.
    """
    rows = sample_sets.source_rows(samples)
    arrays, notes = _matched(samples, tuple(spec.name for spec in taker.specs) or taker.names, taker.optional, rows)
    forms = _stated(arrays, taker.specs) or _tried(arrays, taker)
    if tuple(arrays) == samples.inputs and all(forms[name].fits(array) for name, array in arrays.items()):
        return samples, ()
    written = casting.write(out, samples, {name: (forms[name].shaped(array), forms[name].dtype) for name, array in arrays.items()}, rows)
    return written, (*notes, *(note for name, array in arrays.items() for note in _notes(name, array, forms[name])))


def _notes(name: str, array: Array, form: SampleForm) -> Iterator[str]:
    """What changed in the samples of one input."""
    if form.dtype != str(array.dtype):
        yield f"the samples of {name!r} were cast from {array.dtype} to {form.dtype}, which the model takes"
    if form.shape != array.shape[1:]:
        yield f"each sample of {name!r} was given the shape {list(form.shape)} in place of {list(array.shape[1:])}"


def _matched(
    samples: SampleSet, names: tuple[str, ...], optional: tuple[str, ...], rows: Array
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """The samples under the model's ``names``: by name, one matrix of all columns for a single input, else by position."""
    arrays = samples.open()
    if names and set(names) <= set(arrays):
        names = (*names, *(name for name in optional if name in arrays))
        return {name: arrays[name] for name in names}, _left_out([name for name in arrays if name not in names])
    if not names and (known := [name for name in arrays if name in optional]):
        left = [name for name in arrays if name not in optional]
        return {name: arrays[name] for name in known}, _left_out(left)
    if names and len(arrays) > 1 and set(arrays) == {known[0] for known in texts.NAMES.values()}:
        # What a tokenizer gives, for a model that has other names for it.
        by_part = {part: known[0] for part, known in texts.NAMES.items()}
        return {name: arrays[by_part[part]] for name, part in texts.parts_of(names).items()}, ()
    if len(names) == 1 and len(arrays) > 1 and all(array.ndim == 1 for array in arrays.values()):
        listed = ", ".join(arrays) if len(arrays) <= 8 else f"{', '.join([*arrays][:8])} and {len(arrays) - 8} more"
        return {names[0]: casting.matrix(arrays, rows)}, (f"the input {names[0]!r} was made of the columns {listed}, in this order",)
    if len(names) == len(arrays):
        return dict(zip(names, arrays.values(), strict=True)), ()
    return arrays, ()


def _left_out(names: Sequence[str]) -> tuple[str, ...]:
    return (f"{', '.join(map(repr, names))} of the data were left out: the model has no input of that name",) if names else ()


def _stated(arrays: Mapping[str, Array], specs: Sequence[TensorSpec]) -> dict[str, SampleForm]:
    """The form of each array that ``specs`` state; empty where they state none."""
    known = {spec.name: spec for spec in specs}
    if not known:
        return {}
    return {name: _of_spec(array, known[name]) if name in known else _own(array) for name, array in arrays.items()}


def _own(array: Array) -> SampleForm:
    return SampleForm(str(array.dtype), array.shape[1:])


def _of_spec(array: Array, spec: TensorSpec) -> SampleForm:
    """The dtype of ``spec``, and its shape where only axes of size 1 tell the two apart."""
    shape = tuple(size for size in spec.sample_shape if isinstance(size, int))
    same = len(shape) == len(spec.sample_shape) and [size for size in shape if size != 1] == [size for size in array.shape[1:] if size != 1]
    return SampleForm(spec.dtype, shape if same else array.shape[1:])


def _tried(arrays: Mapping[str, Array], taker: Taker) -> dict[str, SampleForm]:
    """The first combination of forms that the model takes; where it takes none, the first, whose failure is then reported."""
    combinations = _combinations(arrays)
    first = next(combinations)
    several = list(islice(combinations, TRIES - 1))
    few = {name: np.array(array[:FEW])[np.arange(FEW) % len(array[:FEW])] for name, array in arrays.items()}
    return next((forms for forms in (first, *several) if several and _takes(taker, few, forms)), first)


def _takes(taker: Taker, few: Mapping[str, Array], forms: Mapping[str, SampleForm]) -> bool:
    """Whether the model runs on the samples ``few`` in these forms."""
    if not all(casting.castable(array, forms[name].dtype) for name, array in few.items()):
        return False
    feeds = {name: casting.cast(forms[name].shaped(array), forms[name].dtype, name, np.arange(len(array))) for name, array in few.items()}
    try:
        taker.call(feeds)
    except Exception:
        return False
    return True


def _combinations(arrays: Mapping[str, Array]) -> Iterator[dict[str, SampleForm]]:
    """Every form of all arrays together, those that change least first."""
    choices = [_forms(array) for array in arrays.values()]
    ranked = sorted(product(*map(range, map(len, choices))), key=sum)
    return ({name: choice[place] for name, choice, place in zip(arrays, choices, places, strict=True)} for places in ranked)


def _forms(array: Array) -> list[SampleForm]:
    """The forms that one array may have, the likeliest first."""
    own, kind = str(array.dtype), array.dtype.kind
    if kind == "f":
        dtypes = [FLOAT, own, "int64"]
    elif kind in "iub":
        dtypes = [own, "int64", FLOAT]
    else:
        dtypes = [own]
    shapes = [array.shape[1:], (1, *array.shape[1:])] if array.ndim <= WITHOUT_CHANNELS else [array.shape[1:]]
    return [SampleForm(dtype, shape) for shape in shapes for dtype in dict.fromkeys(dtypes)]
