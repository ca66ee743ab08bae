"""Where the numbers of one sample lie: in images with their channels last, or in ONNX's own order of axes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from roadworthy.core.errors import StepFailed


@dataclass(frozen=True)
class Integers:
    """Whole numbers of 16 bits, from ``low`` to ``high``. Each stands for the number ``scale`` times as large, and so 0 for 0."""

    scale: float
    low: int
    high: int


@dataclass(frozen=True)
class Image:
    """Rows, columns and channels, channels innermost, with rows and columns of zeros around them: ``Image`` of the C++ files.

    ``integers`` is what its numbers are stored as, None for floats.
    """

    height: int
    width: int
    channels: int
    border_h: int = 0
    border_w: int = 0
    integers: Integers | None = None

    @property
    def row(self) -> int:
        """Numbers from one row to the next."""
        return (self.width + 2 * self.border_w) * self.channels

    @property
    def size(self) -> int:
        """Numbers of one sample."""
        return (self.height + 2 * self.border_h) * self.row

    @property
    def origin(self) -> int:
        """Where the first pixel is."""
        return self.border_h * self.row + self.border_w * self.channels


@dataclass(eq=False)
class Storage:
    """Memory for one value. A border may still be added, unless it is ``pinned``: a caller's memory, or memory read in ONNX's order.

    ``pointer`` is the C++ expression of the caller's memory. ``whole`` is the storage whose memory this is, seen as another image.
    ``integers`` is what the owner's memory holds, None for floats.
    """

    image: Image
    pointer: str = ""
    pinned: bool = False
    whole: Storage | None = None
    integers: Integers | None = None

    @property
    def owner(self) -> Storage:
        """The storage that has the memory."""
        return self.whole.owner if self.whole else self

    def has_border(self, height: int, width: int) -> bool:
        """Whether there is a border as wide as that, after one was added where it can be."""
        image = self.image
        if not self.pinned:
            border = max(image.border_h, height), max(image.border_w, width)
            self.image = replace(image, border_h=border[0], border_w=border[1])
        return self.image.border_h >= height and self.image.border_w >= width


@dataclass(frozen=True, eq=False)
class Value:
    """One sample's part of a tensor: its sizes in ONNX's order, without the axis that counts the samples."""

    sizes: tuple[int, ...]
    storage: Storage
    last: bool

    @property
    def image(self) -> Image:
        """As rows, columns and channels; in ONNX's order all numbers are the channels of one pixel."""
        return replace(self.storage.image if self.last else Image(1, 1, math.prod(self.sizes)), integers=self.integers)

    @property
    def integers(self) -> Integers | None:
        """What its numbers are stored as, None for floats."""
        return self.storage.owner.integers

    @property
    def scale(self) -> float:
        """What the stored number 1 stands for."""
        return self.integers.scale if self.integers else 1.0

    @property
    def strides(self) -> tuple[int, ...]:
        """Numbers from one index of each axis to the next one."""
        if self.last:
            image = self.storage.image
            return (1, *(image.row, image.channels)[-(len(self.sizes) - 1) :])
        return tuple(math.prod(self.sizes[axis + 1 :]) for axis in range(len(self.sizes)))

    @property
    def origin(self) -> int:
        """Where its first number is."""
        return self.image.origin


def last(sizes: tuple[int, ...], integers: Integers | None = None) -> Value:
    """A new value of channels, rows and columns, or channels and columns, in memory of its own, channels last."""
    if len(sizes) not in (2, 3):
        raise StepFailed(f"a tensor of {len(sizes) + 1} axes where images have 3 or 4")
    height, width = (1, *sizes[1:])[-2:]
    return Value(sizes, Storage(Image(height, width, sizes[0]), integers=integers), last=True)


def plain(sizes: tuple[int, ...], pointer: str = "", integers: Integers | None = None) -> Value:
    """A new value in ONNX's order: in memory of its own, or at ``pointer``, the caller's."""
    return Value(sizes, Storage(Image(1, 1, math.prod(sizes)), pointer, pinned=True, integers=integers), last=False)


def like(value: Value, integers: Integers | None = None) -> Value:
    """A new value with the sizes and the layout of another."""
    return last(value.sizes, integers) if value.last else plain(value.sizes, integers=integers)
