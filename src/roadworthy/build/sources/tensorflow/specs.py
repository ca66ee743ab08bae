"""Tensors of TensorFlow as users know them: names, and specs of what a model takes and gives."""

from __future__ import annotations

from typing import Any

from roadworthy.core.types import ANY_RANK, BATCH, BYTES, TensorSpec


def name_of(tensor: Any) -> str:
    """A tensor's name as users know it: ``x`` for ``x:0``."""
    return str(tensor.name).removesuffix(":0")


def spec_of(name: str, dtype: Any, shape: Any, *, alone: bool = True) -> TensorSpec:
    """A tensor of TensorFlow as a spec: BATCH where the first size is open, symbols for other open sizes.

    A single value is one sample a call where the model takes nothing else (``alone``); beside others it is a setting for the whole call.
    """
    kind = BYTES if dtype.name == "string" else dtype.name
    if shape.rank is None:
        return TensorSpec(name, kind, (ANY_RANK,))
    if shape.rank == 0:
        return TensorSpec(name, kind, (1,)) if alone else TensorSpec(name, kind, (), sample_axis=None)
    sizes = shape.as_list()
    return TensorSpec(
        name, kind, tuple(size if size is not None else f"{name}_{axis}" if axis else BATCH for axis, size in enumerate(sizes))
    )
