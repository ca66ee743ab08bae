"""The first nodes of a graph file that scale its input: arithmetic with constants of one number, or of one for each channel.

A BatchNorm that came first is arithmetic too in some files, and says nothing of pixels. It multiplies each channel before it adds; a
normalisation subtracts before it divides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.build.sources.pixels.affine import arithmetic
from roadworthy.core.stages import InnerLayer


@dataclass(frozen=True)
class TensorNode:
    """One operation between named tensors. ``sign`` is ``+``, ``-``, ``*`` or ``/``; "=" where it changes no value, empty for others."""

    name: str
    sign: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def first_layers(
    start: str, nodes: Iterable[TensorNode], constant: Callable[[str], tuple[float, ...]], *, grey: bool
) -> tuple[InnerLayer, ...]:
    """The layers that ``start`` goes through, while each of its tensors has one reader; ``constant`` gives a tensor's values, or none.

    Of a ``grey`` input they are a guess: a BatchNorm of one channel looks like a rescaling.
    """
    readers: dict[str, list[TensorNode]] = defaultdict(list)
    for node in nodes:
        for name in node.inputs:
            readers[name].append(node)
    found: list[InnerLayer] = []
    tensor, seen = start, set[str]()
    while tensor not in seen and len(readers[tensor]) == 1 and readers[tensor][0].outputs:
        seen.add(tensor)
        (node,) = readers[tensor]
        if node.sign != "=":
            layer = _layer(node, tensor, constant)
            if layer is None or (_by_channel(layer) and not any(any(before.offset) for before in found)):
                break
            found.append(replace(layer, stated=not grey))
        tensor = node.outputs[0]
    return tuple(found)


def _by_channel(layer: InnerLayer) -> bool:
    """Whether it scales each channel on its own."""
    return len(layer.scale) > 1


def _layer(node: TensorNode, tensor: str, constant: Callable[[str], tuple[float, ...]]) -> InnerLayer | None:
    if not node.sign or len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
        return None
    if node.inputs[0] != tensor and node.sign in "-/":
        return None
    other = node.inputs[1] if node.inputs[0] == tensor else node.inputs[0]
    return arithmetic(shown(node.name or node.outputs[0]), node.sign, constant(other))
