"""What operators do with channels: which axis of their answer has them, and in which order.

Operators are those that torch itself runs, below all spellings of a call. One that is not known here stops the channels that go into it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from roadworthy.build.compress.torch.channels.ties import FIXED, Ties
from roadworthy.core.types import Array


@dataclass(frozen=True)
class Held:
    """The channels in a tensor: along which axis, and the number of each, int64."""

    axis: int
    channels: Array


class Mixed(Exception):
    """The operator does something with its channels that cannot be followed; the message is in words after "its output"."""


Find = Callable[[Tensor], Held | None]
"""The channels of a tensor that is followed."""

ELEMENTWISE = frozenset(
    (
        "hardswish",
        "_prelu_kernel",
        "_to_copy",
        "clone",
        "detach",
        "alias",
        "zeros_like",
        "ones_like",
        "full_like",
        "empty_like",
        "rand_like",
        "lift_fresh",
        "hardswish_",
        "celu",
        "rrelu",
    )
)
"""Beside those that torch itself marks as such."""
MOVING = frozenset(
    (
        "view",
        "_unsafe_view",
        "reshape",
        "permute",
        "transpose",
        "t",
        "expand",
        "squeeze",
        "unsqueeze",
        "slice",
        "select",
        "split",
        "split_with_sizes",
        "chunk",
        "unbind",
        "cat",
        "stack",
        "flip",
        "roll",
        "repeat",
        "pixel_shuffle",
        "pixel_unshuffle",
        "channel_shuffle",
        "narrow",
    )
)
"""They only move elements: the numbers of the channels, moved in the same way, say where the channels are."""
JOINING = frozenset(("cat", "stack"))
SPATIAL = re.compile(
    r"_?(max_pool|avg_pool|adaptive_avg_pool|adaptive_max_pool|upsample_\w+?|reflection_pad|replication_pad)([123])d(_with_indices|_aa)?"
)
ALONG = frozenset(
    ("mean", "sum", "amax", "amin", "max", "min", "var", "std", "prod", "logsumexp", "_softmax", "_log_softmax", "cumsum", "any", "all")
)
"""They combine elements along the axes in their second argument."""


def follow(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any], answer: Any, find: Find, ties: Ties) -> list[tuple[Tensor, Held]]:
    """The tensors of ``answer`` that hold channels, and which; ``ties`` learns what the operator combines. Raises Mixed."""
    name = operator.overloadpacket.__name__
    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    if torch.Tag.pointwise in operator.tags or name in ELEMENTWISE:
        return _elementwise(name, tensors, answer, find, ties)
    if name == "constant_pad_nd":
        return [(answer, _padded(find(args[0]), args[0], args[1]))]
    if name in MOVING:
        return _moved(operator, name, args, kwargs, answer, find)
    if len(tensors) == 1 and (spatial := SPATIAL.fullmatch(name)):
        return _spatial(int(spatial[2]), tensors[0], answer, find)
    if len(tensors) == 1 and name in ALONG and len(args) > 1 and args[1] is not None:
        return _along(args[1], tensors[0], answer, find)
    raise Mixed(f"goes into {_word(name)}, which does not keep channels apart or is not known to")


def _elementwise(name: str, tensors: list[Tensor], answer: Any, find: Find, ties: Ties) -> list[tuple[Tensor, Held]]:
    if not isinstance(answer, Tensor):
        raise Mixed(f"goes into {_word(name)}")
    every = [(tensor, found) for tensor in tensors if (found := find(tensor)) is not None]
    held = [(tensor, found) for tensor, found in every if len(found.channels) > 1] or every
    for _, found in every:
        if len(found.channels) == 1 < len(held[0][1].channels):
            ties.stop(found.channels, f"is {combined(name)} every channel of another layer")
    from_end = {tensor.ndim - found.axis for tensor, found in held}
    first = held[0][1].channels
    if len(from_end) > 1 or any(len(found.channels) != len(first) for _, found in held):
        raise Mixed(f"goes into {_word(name)} with other channels along another axis")
    place, reason = from_end.pop(), f"is {combined(name)} values that no layer makes"
    for tensor in tensors:
        if find(tensor) is None and tensor.ndim >= place and tensor.shape[-place] > 1:
            ties.tie(first, np.full(len(first), FIXED), reason)
    for _, found in held[1:]:
        ties.tie(first, found.channels, reason)
    return [(answer, Held(answer.ndim - place, first))]


def _padded(held: Held | None, tensor: Tensor, widths: Sequence[int]) -> Held:
    if held is None:
        raise Mixed("is the size of a padding")
    pair = 2 * (tensor.ndim - 1 - held.axis)
    before, after = widths[pair : pair + 2] if pair < len(widths) else (0, 0)
    if before < 0 or after < 0:
        raise Mixed("loses some of its channels by their position")
    return Held(held.axis, np.pad(held.channels, (before, after), constant_values=FIXED))


def _moved(operator: Any, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], answer: Any, find: Find) -> list[tuple[Tensor, Held]]:
    def numbers(leaf: Any) -> Any:
        return _spread(leaf, find(leaf)) if isinstance(leaf, Tensor) else leaf

    given, named = pytree.tree_map(numbers, (tuple(args), dict(kwargs)))
    moved = given[0].reshape(*given[1:]) if name in ("view", "_unsafe_view") else operator(*given, **named)
    every = np.unique(torch.cat([leaf.flatten() for leaf in pytree.tree_leaves(given) if isinstance(leaf, Tensor)]).numpy())
    found = []
    for tensor, where in zip(pytree.tree_leaves(answer), pytree.tree_leaves(moved), strict=True):
        held = _held(where)
        if name not in JOINING and not np.isin(every, held.channels).all():
            raise Mixed(f"is parted by the position of its channels ({_word(name)})")
        found.append((tensor, held))
    return found


def _spread(tensor: Tensor, held: Held | None) -> Tensor:
    """The number of the channel of each element."""
    if held is None:
        return torch.zeros(tensor.shape, dtype=torch.int64)
    shape = [1] * tensor.ndim
    shape[held.axis] = -1
    return torch.from_numpy(held.channels).reshape(shape).expand(tensor.shape).contiguous()


def _held(numbers: Tensor) -> Held:
    """The one axis along which ``numbers`` change."""
    axes = [axis for axis in range(numbers.ndim) if bool((numbers != numbers.narrow(axis, 0, 1)).any())]
    if len(axes) != 1:
        raise Mixed("is parted into single channels" if not axes else "is laid out so that its channels are no longer along one axis")
    index = [0] * numbers.ndim
    return Held(axes[0], numbers[(*index[: axes[0]], slice(None), *index[axes[0] + 1 :])].numpy().copy())


def _spatial(axes: int, tensor: Tensor, answer: Any, find: Find) -> list[tuple[Tensor, Held]]:
    held = find(tensor)
    if held is None or held.axis != tensor.ndim - 1 - axes:
        raise Mixed("is pooled or resized along the axis of its channels")
    return [(leaf, held) for leaf in pytree.tree_leaves(answer)]


def _along(axes: int | Sequence[int], tensor: Tensor, answer: Any, find: Find) -> list[tuple[Tensor, Held]]:
    held = find(tensor)
    listed = {axis % tensor.ndim for axis in ([axes] if isinstance(axes, int) else axes)}
    if held is None or held.axis in listed or not listed:
        raise Mixed("is summed up or compared over its channels")
    leaves = pytree.tree_leaves(answer)
    gone = 0 if leaves[0].ndim == tensor.ndim else sum(axis < held.axis for axis in listed)
    return [(leaf, Held(held.axis - gone, held.channels)) for leaf in leaves]


def combined(name: str) -> str:
    """What the operator does with two tensors, in words behind "is"."""
    plain = name.strip("_")
    return {"add": "added to", "sub": "added to", "mul": "multiplied with"}.get(plain, f"combined ({plain}) with")


def _word(name: str) -> str:
    """The operator's name as users know it."""
    return {"cat": "a concatenation"}.get(name.strip("_"), name.strip("_"))
