"""The tables of a TOML file about images: the usual steps in the usual order, each by its values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from roadworthy.core.errors import DataError
from roadworthy.preprocess.resampling import Centers, Filter, Like
from roadworthy.preprocess.steps import (
    PIXEL_LIMIT,
    ChannelsFirst,
    Crop,
    CropFraction,
    CropToAspect,
    Decode,
    Grey,
    Letterbox,
    Normalize,
    Resize,
    ReverseChannels,
    Step,
)
from roadworthy.preprocess.steps.base import pair

Layout: TypeAlias = Literal["CHW", "HWC"]


@dataclass(frozen=True)
class ResizeTable:
    """The table ``[image.resize]``; see ``steps.Resize``. ``crop_to_aspect`` cuts to the aspect of ``size`` first."""

    size: int | tuple[int, int] | None = None
    filter: Filter = "bilinear"
    antialias: bool = True
    longest: int | None = None
    centers: Centers = "half"
    rounded: bool = True
    like: Like = "pillow"
    crop_to_aspect: bool = False

    def steps(self) -> Iterator[Step]:
        """The crop where there is one, and the resize."""
        if self.crop_to_aspect:
            if not isinstance(self.size, tuple):
                raise DataError("resize.crop_to_aspect needs a size of two numbers: size = [height, width]")
            yield CropToAspect(self.size)
        yield Resize(self.size, self.filter, self.antialias, self.longest, self.centers, self.rounded, self.like)


@dataclass(frozen=True)
class LetterboxTable:
    """The table ``[image.letterbox]``; see ``steps.Letterbox``."""

    size: int | tuple[int, int]
    stride: int | None = None
    value: int = 114
    scale_up: bool = True
    centered: bool = True
    filter: Filter = "bilinear"
    antialias: bool = False


@dataclass(frozen=True)
class CropTable:
    """The table ``[image.crop]``, for a crop that needs more than its size; see ``steps.Crop``."""

    size: int | tuple[int, int]
    rounding: Literal["even", "down", "floor"] = "even"
    larger: Literal["pad", "resize"] = "pad"


@dataclass(frozen=True)
class ImageTable:
    """The table ``[image]``, and the image part of a bundle of format 1.

    The steps are, in this order: decode, crop to a fraction, resize, letterbox, centre crop, grey, order of the colours, layout,
    normalise. The pixel value ``p`` (0..255) becomes ``(p * scale - mean) / std`` by channel; ``mean`` and ``std`` hold one number for
    each channel, or one for all, in the order of ``color``. ``uint8`` keeps the pixel as it is; ``int8``, for quantised models, is the
    nearest whole number to that, from -128 to 127.
    """

    color: Literal["RGB", "BGR", "L"] = "RGB"
    resize: ResizeTable | None = None
    crop: int | tuple[int, int] | CropTable | None = None
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Layout = "CHW"
    dtype: Literal["float32", "uint8", "int8"] = "float32"
    pixel_limit: int = PIXEL_LIMIT
    orient: bool = False
    deep: Literal["upper", "clip"] = "upper"
    crop_fraction: float | None = None
    letterbox: LetterboxTable | None = None
    grey: Literal[1, 3] | None = None
    arithmetic: Literal["fused", "torch", "numpy", "keras"] = "fused"

    def steps(self) -> tuple[Step, ...]:
        """The table as steps; raises DataError where its values contradict each other."""
        self._check()
        return tuple(self._steps())

    def _steps(self) -> Iterator[Step]:
        yield Decode("L" if self.color == "L" else "RGB", self.pixel_limit, self.orient, self.deep)
        if self.crop_fraction is not None:
            yield CropFraction(self.crop_fraction)
        if self.resize is not None:
            yield from self.resize.steps()
        if self.letterbox is not None:
            yield Letterbox(**asdict(self.letterbox))
        if self.crop is not None:
            yield Crop(**asdict(self.crop)) if isinstance(self.crop, CropTable) else Crop(self.crop)
        if self.grey is not None:
            yield Grey(self.grey)
        if self.color == "BGR":
            yield ReverseChannels()
        if self.layout == "CHW":
            yield ChannelsFirst()
        # A table that says uint8 keeps the pixels.
        if self.dtype != "uint8":
            yield Normalize(self.scale, self.mean, self.std, 0 if self.layout == "CHW" else 2, self.dtype, self.arithmetic)

    def _check(self) -> None:
        if self.dtype == "uint8" and (self.scale != 1 or any(self.mean) or any(value != 1 for value in self.std)):
            raise DataError("dtype uint8 keeps the pixels as they are: set scale = 1 and leave mean and std out, or use float32")
        if self.dtype == "uint8" and self.resize is not None and not self.resize.rounded:
            raise DataError("dtype uint8 needs whole pixels: leave resize.rounded out, or use float32")
        if self.color == "BGR" and self.grey is not None:
            raise DataError('grey pixels have no order of colours: leave color = "BGR" out')
        if self.crop is not None and self.resize is not None and self.resize.size is not None:
            size = self.crop.size if isinstance(self.crop, CropTable) else self.crop
            (height, width), (below, across) = map(pair, (size, self.resize.size))
            if height > below or width > across:
                raise DataError(f"crop {height} x {width} is larger than resize {below} x {across}")
