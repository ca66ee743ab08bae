"""What the layers of a model take and give while it runs, in one form for every framework, and where two runs begin to differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from roadworthy.build.sources.model import SameAnswer
from roadworthy.core.types import Array


@dataclass(frozen=True)
class LayerEvent:
    """A call of ``layer`` began, with its inputs in ``arrays``, or ended, with its outputs.

    ``parent`` is the name of the layer whose call was running, ``None`` for the model itself. ``training`` is the mode that the
    layer was called in, where it was called in one.
    """

    layer: Any
    name: str
    kind: str
    parent: str | None
    begins: bool
    arrays: tuple[Array, ...]
    training: bool | None = None


def first_difference(
    first: Sequence[LayerEvent], second: Sequence[LayerEvent], same: SameAnswer, call_of: Callable[[str | None], str]
) -> str:
    """The layer whose answers begin to differ between two runs, in words.

    Inputs count as well: a layer whose inputs differ, while every answer before it agrees, was given something that its parent
    computed without a layer. ``call_of`` words the call of a layer, or of the model itself for ``None``.
    """
    for one, other in zip(first, second, strict=False):
        if (one.name, one.begins) != (other.name, other.begins) or len(one.arrays) != len(other.arrays):
            return f"{call_of(one.parent)}, which runs another way the second time"
        model = one.parent is None
        if (model and one.begins) or all(map(same, one.arrays, other.arrays)):
            continue
        if one.begins:
            return f"{call_of(one.parent)}, before it calls {one.name!r}"
        return f"{call_of(None)}, after its last layer" if model else f"{one.name!r} ({one.kind})"
    return call_of(None)
