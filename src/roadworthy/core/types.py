"""Names, dtypes and shapes: what flows into a model and out of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Arrays: TypeAlias = Mapping[str, Array]

BATCH = "batch"
"""The symbolic dimension whose size is the number of samples in one call."""


BYTES = "object"
"""The dtype of byte strings (an encoded file, say): NumPy arrays of ``bytes`` objects, each of its own length."""


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
    """One named tensor: a NumPy dtype name, and a size or a symbol for each dimension."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    quantization: Quantization | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.dtype}[{','.join(str(size) for size in self.shape)}]"

    @property
    def batched(self) -> bool:
        """Whether the first dimension is the number of samples."""
        return bool(self.shape) and self.shape[0] == BATCH

    def fixed(self, batch: int) -> TensorSpec:
        """The same tensor with the symbolic batch replaced by a number."""
        return replace(self, shape=tuple(batch if size == BATCH else size for size in self.shape))


@dataclass(frozen=True)
class Range:
    """The values that the input ``name`` may hold, both ends included, as the user states them."""

    name: str
    low: int | float
    high: int | float


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives, in the order of its own call.

    ``max_batch`` is the largest number of samples one call was proven to take;
    ``None`` says that no limit was found. A model proven at one size only has that
    size, and no symbol, in its shapes.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch: int | None = None

    @property
    def batched(self) -> bool:
        """Whether every input and output carries the symbolic batch first."""
        return all(spec.batched for spec in self.inputs + self.outputs)

    def call_size(self, wanted: int) -> int:
        """How many samples one call takes where ``wanted`` are at hand: never more than was proven, or the one size proven."""
        if any(spec.batched for spec in self.inputs):
            return min(wanted, self.max_batch or wanted)
        return self.max_batch or next((spec.shape[0] for spec in self.inputs if spec.shape and isinstance(spec.shape[0], int)), 1)

    def fixed(self, batch: int) -> Signature:
        """The same signature for exactly ``batch`` samples a call."""
        return Signature(
            tuple(spec.fixed(batch) for spec in self.inputs),
            tuple(spec.fixed(batch) for spec in self.outputs),
            batch,
        )


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
    takes any size, a number only itself.
    """
    ours, theirs = {spec.name: spec for spec in wanted}, {spec.name: spec for spec in found}
    if ours.keys() != theirs.keys():
        return f"it has {', '.join(theirs) or 'none'} where the signature has {', '.join(ours) or 'none'}"
    for name, spec in ours.items():
        other = theirs[name]
        if other.dtype != spec.dtype:
            return f"{name} is {other.dtype} where the signature has {spec.dtype}"
        if sizes and not (len(other.shape) == len(spec.shape) and all(map(_covers, other.shape, spec.shape))):
            return f"it has {other} where the signature has {spec}"
    return None


def _covers(found: int | str, wanted: int | str) -> bool:
    return isinstance(found, str) or found == wanted
