"""Names, dtypes and shapes: what flows into a model and out of it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]

BATCH = "batch"
OUT = "_out"
"""The symbol of an axis whose size is the number of samples in one call."""


BYTES = "object"
"""The dtype of byte strings (an encoded file, say): NumPy arrays of ``bytes`` objects, each of its own length."""
STRING = "string"
"""The word for that dtype in what users write and read."""
ANY_RANK = "..."
"""The only size in the shape of a tensor whose number of axes a file does not state."""
UNKNOWN = "unknown"
"""The dtype of what a file does not state, or of what is not a tensor."""


@dataclass(frozen=True)
class Quantization:
    """The values that the whole numbers of a quantised tensor represent: ``(q - zero_point) * scale``, one pair for the whole tensor."""

    scale: float
    zero_point: int

    def values(self, numbers: Array) -> Array:
        """The values of ``numbers``, float32."""
        real: Array = ((numbers.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)
        return real


@dataclass(frozen=True)
class TensorSpec:
    """One named tensor: a NumPy dtype name, and a size or a symbol for each axis.

    ``sample_axis`` is the axis whose size is the number of samples in one call; ``None`` where the tensor holds for the whole
    call. A tensor without axes has no sample axis either. Raises ValueError for an axis that the shape does not have.

    Sample sets, golden samples and references keep every tensor as *rows*, [samples, ...], whatever the model's own layout;
    ``to_call`` and ``to_rows`` lead from one to the other. A tensor of shape [time, batch, features] has ``sample_axis=1``,
    its ``sample_shape`` is [time, features], and three rows of it are an array [3, time, features].
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    quantization: Quantization | None = None
    sample_axis: int | None = 0

    def __post_init__(self) -> None:
        if self.sample_axis is not None and not 0 <= self.sample_axis < max(1, len(self.shape)):
            raise ValueError(f"{self} has no axis {self.sample_axis} to count samples")

    def __str__(self) -> str:
        return f"{self.name}:{STRING if self.dtype == BYTES else self.dtype}[{','.join(str(size) for size in self.shape)}]"

    @cached_property
    def samples(self) -> int | str | None:
        """The size of the sample axis: a number, a symbol, or ``None`` where there is no such axis."""
        return None if self._axis is None else self.shape[self._axis]

    @cached_property
    def batched(self) -> bool:
        """Whether any number of samples fits into one call."""
        return self.samples == BATCH

    @cached_property
    def sample_shape(self) -> tuple[int | str, ...]:
        """The shape of one sample."""
        return tuple(size for axis, size in enumerate(self.shape) if axis != self._axis)

    @property
    def symbols(self) -> dict[int, str]:
        """The axes whose size is open, each with its symbol; equal symbols have equal sizes."""
        return {axis: size for axis, size in enumerate(self.shape) if isinstance(size, str)}

    @property
    def open_sizes(self) -> tuple[str, ...]:
        """The symbols in the shape of one sample."""
        return tuple(symbol for axis, symbol in self.symbols.items() if axis != self._axis)

    def fixed(self, batch: int) -> TensorSpec:
        """The same tensor with the symbolic batch replaced by a number."""
        return self.at({BATCH: batch})

    def at(self, sizes: Mapping[str, int]) -> TensorSpec:
        """The same tensor with the symbols of ``sizes`` replaced by numbers."""
        return replace(self, shape=tuple(sizes.get(size, size) if isinstance(size, str) else size for size in self.shape))

    def resized(self, array: Array, sizes: Mapping[str, int], *, rows: bool = False) -> Array:
        """``array``, a call or ``rows`` [samples, ...], with the axes of the symbols in ``sizes`` at those sizes.

        They are cut, or continued from their beginning: the values stay among those that were there.
        """
        for axis, symbol in enumerate(("", *self.sample_shape) if rows else self.shape):
            if isinstance(symbol, str) and array.shape[axis] != (size := sizes.get(symbol, array.shape[axis])):
                array = np.take(array, np.arange(size) % array.shape[axis], axis=axis)
        return array

    def with_batch(self) -> TensorSpec:
        """The same tensor for any number of samples."""
        return replace(self, shape=tuple(BATCH if axis == self._axis else size for axis, size in enumerate(self.shape)))

    def count(self, array: Array) -> int | None:
        """The number of samples in ``array``; ``None`` where no axis counts them."""
        return None if self._axis is None or array.ndim <= self._axis else array.shape[self._axis]

    def take(self, array: Array, which: slice | Array) -> Array:
        """The samples ``which`` of ``array``: a view for a slice, a copy for indices; all of it where no axis counts samples."""
        if self._axis == 0:
            return np.asarray(array[which])
        return array if self._axis is None else np.asarray(array[(slice(None),) * self._axis + (which,)])

    def shape_of_one(self, array: Array) -> tuple[int, ...]:
        """The shape of one sample of ``array``."""
        if self._axis == 0:
            return array.shape[1:]
        return array.shape if self._axis is None else array.shape[: self._axis] + array.shape[self._axis + 1 :]

    def joined(self, arrays: Sequence[Array]) -> Array:
        """The samples of ``arrays`` in one array; the first array where no axis counts samples."""
        return arrays[0] if self._axis is None else np.concatenate(arrays, axis=self._axis)

    def to_call(self, rows: Array) -> Array:
        """``rows`` [samples, ...] in the layout of the model; the first row where the tensor holds for the whole call.

        Rows of another rank stay as they are: they do not fit the signature, and its check says so.
        """
        if rows.ndim != 1 + len(self.sample_shape):
            return rows
        return np.asarray(rows[0]) if self._axis is None else np.moveaxis(rows, 0, self._axis)

    def to_rows(self, array: Array, samples: int) -> Array:
        """``array`` as rows [samples, ...], a view; what holds for the whole call is the row of each of its ``samples``."""
        if self._axis is None:
            return np.broadcast_to(array, (samples, *array.shape))
        return np.moveaxis(array, self._axis, 0) if array.ndim > self._axis else array

    def with_sample_axis(self, array: Array) -> Array:
        """``array`` as a call of one sample, where it is one sample without its axis and one may be called; else as it is."""
        alone = self._axis is not None and self.samples in (BATCH, 1) and array.ndim == len(self.shape) - 1
        return np.expand_dims(array, self._axis) if self._axis is not None and alone else array

    @cached_property
    def _axis(self) -> int | None:
        return self.sample_axis if self.shape else None


class Range(msgspec.Struct, frozen=True, tag=True):
    """The values that the input ``name`` may hold, both ends included, as the user states them."""

    name: str
    low: int | float
    high: int | float

    def __str__(self) -> str:
        return f"in {self.low}..{self.high}"


class Fixed(msgspec.Struct, frozen=True, tag=True):
    """The one value that every element of the input ``name`` has, as the user states it: it is no input of a deployment."""

    name: str
    value: int | float | bool | bytes

    def __str__(self) -> str:
        return f"= {str(self.value).lower() if isinstance(self.value, bool) else _quoted(self.value)}"


class Distribution(msgspec.Struct, frozen=True, tag=True):
    """The distribution of the floats of the input ``name``, as the user states it: standard normal, or uniform from 0 to 1."""

    name: str
    kind: Literal["normal", "uniform"]

    def __str__(self) -> str:
        return f"~ {self.kind}"


Stated: TypeAlias = Range | Fixed | Distribution
"""What a user states of the values of one input; its ``str`` is what they write behind the input's shape."""


@dataclass(frozen=True)
class BoundInput:
    """An input that a model was given one value for, in every element and every call: the deployed model has no such input."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    value: int | float | bool | bytes

    @property
    def spec(self) -> TensorSpec:
        """The input that it was."""
        return TensorSpec(self.name, self.dtype, self.shape, sample_axis=None)

    @property
    def array(self) -> Array:
        """What the model is given."""
        return np.full(self.shape, self.value, self.dtype)


def _quoted(value: float | bytes) -> str:
    return f'"{value.decode(errors="surrogateescape")}"' if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class SizeRange:
    """The axis ``symbol`` may have any size from ``least`` to ``most`` that is a multiple of ``multiple``; ``None``: no limit was found.

    The answers are compared at each of ``sizes``, of which the first is the size of the samples.
    """

    symbol: str
    sizes: tuple[int, ...]
    least: int = 1
    most: int | None = None
    multiple: int = 1

    def __str__(self) -> str:
        limits = f"{self.least} to {self.most}" if self.most is not None else f"at least {self.least}"
        return f"{limits}, in multiples of {self.multiple}" if self.multiple > 1 else limits

    def until(self, size: int) -> SizeRange:
        """The range from ``size`` on, where that is below the size of the samples, or up to it; it is compared there too."""
        low, high = (size, self.most) if size < self.sizes[0] else (self.least, size)
        limited = replace(self, least=low, most=high)
        return replace(limited, sizes=tuple(one for one in dict.fromkeys((*self.sizes, size)) if limited.allows(one)))

    def both(self, other: SizeRange) -> SizeRange:
        """What both allow."""
        limits = [one for one in (self.most, other.most) if one is not None]
        shared = replace(
            self, least=max(self.least, other.least), most=min(limits, default=None), multiple=math.lcm(self.multiple, other.multiple)
        )
        return replace(shared, sizes=tuple(size for size in dict.fromkeys((*self.sizes, *other.sizes)) if shared.allows(size)))

    def allows(self, size: int) -> bool:
        """Whether the axis may have this size."""
        return self.least <= size <= (self.most or size) and size % self.multiple == 0


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives, in the order of its own call.

    ``max_batch`` is the largest number of samples one call was proven to take;
    ``None`` says that no limit was found. A model proven at one size only has that
    size, and no symbol, in its shapes. ``sizes`` holds the limits of each other symbol of
    the inputs; a symbol of the outputs alone is a size that follows from those.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch: int | None = None
    sizes: tuple[SizeRange, ...] = ()

    @cached_property
    def batched(self) -> bool:
        """Whether samples can share a call: every input carries the symbolic batch, and every output does, or is a constant."""
        constants = all(spec.batched or spec.sample_axis is None for spec in self.outputs)
        return all(spec.batched for spec in self.inputs) and constants and self.dynamic

    @cached_property
    def dynamic(self) -> bool:
        """Whether the number of samples in a call is free."""
        return any(spec.batched for spec in self.inputs)

    def call_size(self, wanted: int) -> int:
        """How many samples one call takes where ``wanted`` are at hand: never more than was proven, or the one size proven."""
        if self.dynamic:
            return min(wanted, self.max_batch or wanted)
        return self.max_batch or next((spec.samples for spec in self.inputs if isinstance(spec.samples, int)), 1)

    def count(self, feeds: Arrays) -> int:
        """The number of samples in the inputs ``feeds``, 1 where none of them counts them."""
        counts = (spec.count(feeds[spec.name]) for spec in self.inputs if spec.name in feeds)
        return next((count for count in counts if count is not None), 1)

    @cached_property
    def whole_call(self) -> bool:
        """Whether an input holds for the whole call: samples share a call only where they have the same value of it."""
        return any(spec.sample_axis is None for spec in self.inputs)

    def fixed(self, batch: int) -> Signature:
        """The same signature for exactly ``batch`` samples a call."""
        inputs, outputs = (tuple(spec.fixed(batch) for spec in specs) for specs in (self.inputs, self.outputs))
        return replace(self, inputs=inputs, outputs=outputs, max_batch=batch)

    def closed(self) -> Signature:
        """The same signature with every symbolic axis but the batch at the size of the samples.

        A size of an output that follows from those stays a symbol.
        """
        base = {one.symbol: one.sizes[0] for one in self.sizes}
        inputs, outputs = (tuple(spec.at(base) for spec in specs) for specs in (self.inputs, self.outputs))
        return replace(self, inputs=inputs, outputs=outputs, sizes=())

    def size_cases(self) -> tuple[dict[str, int], ...]:
        """What is compared beside the sizes of the samples: each symbolic axis alone at each of its other sizes, then all at once.

        At once, neighbouring axes take their sizes from different places in their lists: axes that were confused show.
        """
        base = {one.symbol: one.sizes[0] for one in self.sizes}
        alone = [base | {one.symbol: size} for one in self.sizes for size in one.sizes[1:]]
        if len(self.sizes) < 2:
            return tuple(alone)
        return (*alone, {one.symbol: one.sizes[1:][number % (len(one.sizes) - 1)] for number, one in enumerate(self.sizes)})

    def size_fault(self, found: Mapping[str, int]) -> str | None:
        """In words, which axis of the sizes ``found`` is beyond its limits; ``None`` where none is."""
        for one in self.sizes:
            size = found.get(one.symbol, one.least)
            if not one.allows(size):
                return f"{one.symbol} is {size}; this model takes {one.symbol} of {one}"
        return None

    def to_call(self, rows: Arrays) -> dict[str, Array]:
        """Inputs as rows [samples, ...] in the layouts of the model, C-contiguous; an unknown name is passed on as it is."""
        specs = {spec.name: spec for spec in self.inputs}
        return {name: np.asarray(specs[name].to_call(array), order="C") if name in specs else array for name, array in rows.items()}

    def to_rows(self, outputs: Arrays, samples: int) -> dict[str, Array]:
        """The outputs of a call with ``samples`` samples as rows; ValueError, in words, for one that does not have so many."""
        specs = {spec.name: spec for spec in self.outputs}
        rows = {}
        for name, array in outputs.items():
            spec = specs.get(name) or TensorSpec(name, str(array.dtype), array.shape)
            if spec.sample_axis is not None and spec.count(array) != samples:
                raise ValueError(
                    f"output {name!r} has shape {list(array.shape)} for {samples} samples: its axis {spec.sample_axis} must count "
                    "the samples, or no answer can be assigned to a sample"
                )
            rows[name] = spec.to_rows(array, samples)
        return rows


def output_names(signature: Signature, found: Collection[str] | None = None) -> tuple[str, ...]:
    """The outputs' names in a file whose tensors share one set of names: an output that is called like an input gets ``_out`` behind it.

    ``found`` are the names that a file has; an output that has its own name there keeps it.
    """
    taken = {spec.name for spec in signature.inputs}
    names = tuple(f"{spec.name}{OUT}" if spec.name in taken else spec.name for spec in signature.outputs)
    if found is None:
        return names
    return tuple(name if name in found else spec.name for name, spec in zip(names, signature.outputs, strict=True))


def zeros(specs: tuple[TensorSpec, ...], batch: int = 1) -> dict[str, Array]:
    """Arrays of zeros (of empty byte strings) that fit ``specs``; symbols other than the batch become 1."""
    return {
        spec.name: np.full(
            [size if isinstance(size, int) else batch if size == BATCH else 1 for size in spec.shape],
            b"" if spec.dtype == BYTES else 0,
            dtype=spec.dtype,
        )
        for spec in specs
    }


def difference(found: Iterable[TensorSpec], wanted: Iterable[TensorSpec], *, sizes: bool) -> str | None:
    """In words, how the tensors of a loaded file differ from a signature's; ``None`` where they fit.

    Order is free. With ``sizes`` a tensor of the file must take every shape that the signature promises: a symbol
    takes any size, a number only itself. What the signature leaves unknown, a dtype or the number of axes, fits.
    """
    ours, theirs = {spec.name: spec for spec in wanted}, {spec.name: spec for spec in found}
    if ours.keys() != theirs.keys():
        return f"it has {', '.join(theirs) or 'none'} where the signature has {', '.join(ours) or 'none'}"
    for name, spec in ours.items():
        other = theirs[name]
        if spec.dtype not in (other.dtype, UNKNOWN):
            return f"{name} is {other.dtype} where the signature has {spec.dtype}"
        if (
            sizes
            and ANY_RANK not in spec.shape
            and not (len(other.shape) == len(spec.shape) and all(map(_covers, other.shape, spec.shape)))
        ):
            return f"it has {other} where the signature has {spec}"
    return None


def _covers(found: int | str, wanted: int | str) -> bool:
    return isinstance(found, str) or found == wanted
