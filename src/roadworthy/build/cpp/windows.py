"""What convolutions and pooling share: kernels that move over one or two axes, and the padding around an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from roadworthy.build.cpp.values import Image
from roadworthy.build.onnx_graph import Node
from roadworthy.core.errors import StepFailed

AXES = ("h", "w")
NEAR = 48 * 1024
"""Most numbers of the input that are read before all output channels had their turn: they fit the second cache."""
POSITIONS = 96, 1024


@dataclass(frozen=True)
class Window:
    """Sizes along rows and columns; ``begin`` and ``end`` are the padding before and behind, ``border`` what of it is ever read."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    begin: tuple[int, int]
    end: tuple[int, int]
    border: tuple[int, int]

    def fields(self, *names: str) -> dict[str, int]:
        """Those of the sizes, as fields of a C++ structure."""
        return {f"{word}_{axis}": size for name, word in map(_split, names) for axis, size in zip(AXES, getattr(self, name), strict=True)}

    def positions(self, channels: int) -> int:
        """How many output positions are computed before the next ones, of an input of that many channels."""
        near = NEAR // (self.stride[0] * self.stride[1] * channels)
        return min(max(POSITIONS[0], near), POSITIONS[1])


def _split(name: str) -> tuple[str, str]:
    return name, "pad" if name == "begin" else name


def window(node: Node, kernel: Sequence[int], sizes: Sequence[int], made: Sequence[int]) -> Window:
    """The window of ``node`` over an image of ``sizes`` [channels, rows, columns] whose output has the sizes ``made``; or without rows."""
    if len(sizes) not in (2, 3):
        raise StepFailed(f"{node}: a window over {len(sizes) - 1} axes; generated code has windows over 1 and 2")
    stride, dilation = (_two(node.attributes.get(name, ())) for name in ("strides", "dilations"))
    two = _two(kernel)
    begin, end, border = [], [], []
    pads = tuple(node.attributes.get("pads", ()))
    half = len(pads) // 2
    stated = _two(pads[:half], 0), _two(pads[half:], 0)
    automatic = node.attributes.get("auto_pad", "NOTSET")
    for axis, (size, result) in enumerate(zip(_two(sizes[1:]), _two(made[1:]), strict=True)):
        reached = (result - 1) * stride[axis] + (two[axis] - 1) * dilation[axis] + 1
        first, behind = stated[0][axis], stated[1][axis]
        if automatic in ("SAME_UPPER", "SAME_LOWER"):
            total = max(0, reached - size)
            first = (total + (automatic == "SAME_LOWER")) // 2
            behind = total - first
        elif automatic == "VALID":
            first = behind = 0
        begin.append(first)
        end.append(behind)
        border.append(max(0, first, reached - first - size))
    return Window(two, stride, dilation, (begin[0], begin[1]), (end[0], end[1]), (border[0], border[1]))


def _two(sizes: Sequence[int], missing: int = 1) -> tuple[int, int]:
    """Sizes of rows and columns, of which ``sizes`` are the last ones."""
    filled = (*(missing,) * (2 - len(sizes)), *sizes)
    return filled[0], filled[1]


def segments(image: Image, depth: int, over: Window) -> Iterator[tuple[int, int]]:
    """Where the numbers under a kernel lie, as starts and lengths; what lies behind one another is one segment."""
    start, length = 0, 0
    for y in range(over.kernel[0]):
        for x in range(over.kernel[1]):
            at = y * over.dilation[0] * image.row + x * over.dilation[1] * image.channels
            if length and at == start + length:
                length += depth
            else:
                if length:
                    yield start, length
                start, length = at, depth
    yield start, length
