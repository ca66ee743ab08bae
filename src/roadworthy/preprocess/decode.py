"""One image in any form to 8-bit pixels: encoded bytes, files, Pillow images and arrays, from clients that are not trusted.

It reads what torchvision's ``ImageFolder`` reads, which is what most models were trained on: EXIF orientation is applied only where
``orient`` says so (to a TIFF always, as Pillow does), colour profiles are not, transparency is dropped and not blended, and the first
frame of an animation counts. 16 bits a channel are read by the upper 8: Pillow does so for colour; grey it cuts off at 255, which makes
nearly every such image white, so that needs ``deep`` = "clip".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

# Pillow finds these by itself, but some only after it has imported every format it knows.
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array
from roadworthy.preprocess.pixels import ImageLike

FORMATS = tuple(
    plugin.format
    for plugin in (
        JpegImagePlugin.JpegImageFile,
        PngImagePlugin.PngImageFile,
        WebPImagePlugin.WebPImageFile,
        BmpImagePlugin.BmpImageFile,
        GifImagePlugin.GifImageFile,
        TiffImagePlugin.TiffImageFile,
    )
)
# An MPO, several JPEGs one after the other, is opened as a JPEG.
NAMES = "JPEG (or MPO), PNG, WebP, BMP, GIF or TIFF"
"""The formats in words."""

GREY_MODES = ("1", "L", "LA")
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
COLOUR_MODES = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV")

ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The values of EXIF's orientation that ask for something, and what turns the image upright."""

DRAFT_MARGIN = 2
"""How many times larger than the resize wants a JPEG still is when it is decoded at a part of its size."""


class TooManyPixels(DataError):
    """An image above the pixel limit; it was not decoded."""


@dataclass(frozen=True)
class Decoded:
    """An image in grey or RGB, and the ``size`` (width, height) that it has in its file.

    Where it was decoded at a part of that size, ``extent`` is the same area in its own pixels, which need not be whole.
    """

    image: Image.Image
    size: tuple[int, int]
    extent: tuple[float, float] | None = None


@dataclass(frozen=True)
class ImageDecoder:
    """Decodes images to ``color``; one of more than ``pixel_limit`` pixels is refused before it is decoded.

    ``orient`` turns and mirrors an image as its EXIF data say. ``deep`` says what becomes of 16-bit grey: its "upper" 8 bits, or "clip"
    for the value itself, at most 255. ``draft`` gives the (height, width) after the resize that follows, by
    that of the image: a JPEG that is much larger is then decoded at a half, a quarter or an eighth of its own size, never below
    ``DRAFT_MARGIN`` times the size that the resize wants.
    """

    color: Literal["RGB", "L"]
    pixel_limit: int
    orient: bool = False
    deep: Literal["upper", "clip"] = "upper"
    draft: Callable[[int, int], tuple[int, int]] | None = None

    def decode(self, item: ImageLike, name: str = "the image") -> Decoded:
        """``item`` is the bytes or the path of an image file (``NAMES``, told by content), a Pillow image, or uint8 pixels [H,W,3] in
        RGB order, [H,W,1] or [H,W].

        Raises DataError, with ``name`` in front, for anything else, for an image above the pixel limit, and for a damaged or truncated
        one.
        """
        if isinstance(item, Path):
            try:
                with open(item, "rb") as file:
                    return self._from_file(file, name)
            except OSError as problem:
                raise DataError(f"{name} cannot be read: {problem.strerror or problem}") from None
        if isinstance(item, bytes | bytearray | memoryview):
            return self._from_file(BytesIO(item), name)
        if isinstance(item, Image.Image):
            return self._guarded(item, name)
        if isinstance(item, np.ndarray):
            image = _from_array(item, name)
            return Decoded(size=self._checked(image, name), image=self._convert(image))
        raise DataError(f"{name}: a {type(item).__name__} is not an image; give bytes, a path, a Pillow image or a uint8 array")

    def measured(self, item: ImageLike, name: str = "the image") -> tuple[tuple[int, int], int]:
        """The (height, width) that the image has in its file, and the EXIF orientation that ``decode`` follows: 1 for none.

        ``item`` and the errors are those of ``decode``; no more than the header is read, of a PNG whose orientation is followed
        all of it.
        """
        if isinstance(item, np.ndarray):
            width, height = self._checked(_from_array(item, name), name)
            return (height, width), 1
        with self._faults(name):
            if isinstance(item, Image.Image):
                return self._stated(item, name)
            with Image.open(item if isinstance(item, Path) else BytesIO(item), formats=FORMATS) as image:
                return self._stated(image, name)

    def _stated(self, image: Image.Image, name: str) -> tuple[tuple[int, int], int]:
        width, height = self._checked(image, name)
        tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
        if not (self.orient or tiff):
            return (height, width), 1
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        # Pillow itself turns a TIFF, and its size is then that of the turned image.
        return ((width, height) if tiff and orientation in (5, 6, 7, 8) else (height, width)), orientation

    def _from_file(self, file: BinaryIO, name: str) -> Decoded:
        if not file.read(1):
            raise DataError(f"{name} is empty")
        file.seek(0)
        return self._guarded(file, name)

    def _guarded(self, item: BinaryIO | Image.Image, name: str) -> Decoded:
        """The image decoded; every exception of Pillow becomes a DataError."""
        with self._faults(name):
            if isinstance(item, Image.Image):
                self._checked(item, name)
                image = self._convert(item)
                return Decoded(image, image.size)
            with Image.open(item, formats=FORMATS) as image:
                size = self._checked(image, name)
                extent = self._reduce(image, size)
                converted = self._convert(image)
                return Decoded(converted, size if extent else converted.size, extent)

    @contextmanager
    def _faults(self, name: str) -> Iterator[None]:
        """Every exception of Pillow as a DataError that begins with ``name``."""
        try:
            yield
        except DataError:
            raise
        except UnidentifiedImageError:
            raise DataError(f"{name} is not a {NAMES} image, or its header is damaged") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise TooManyPixels(f"{name} has more pixels than the limit of {self.pixel_limit}") from None
        except Exception as problem:
            # Fed with damaged bytes, a decoder raises errors of many types: OSError, SyntaxError, ValueError, struct.error, ...
            raise DataError(f"{name} is damaged or truncated: {str(problem) or type(problem).__name__}") from None

    def _reduce(self, image: Image.Image, size: tuple[int, int]) -> tuple[float, float] | None:
        """Have a large JPEG decoded at a part of its size, and return the extent; None for every other image."""
        if self.draft is None or self._orientation(image):
            return None
        height, width = self.draft(size[1], size[0])
        # Only a JPEG can be decoded at a part of its size; Pillow chooses a part that leaves it no smaller than this.
        drafted = image.draft(None, (width * DRAFT_MARGIN, height * DRAFT_MARGIN))
        return None if drafted is None else drafted[1][2:]

    def _checked(self, image: Image.Image, name: str) -> tuple[int, int]:
        """The size (width, height) of an image of which no more than the header needs to be read."""
        width, height = image.size
        if width * height > self.pixel_limit:
            raise TooManyPixels(f"{name} has {width} x {height} pixels, more than the limit of {self.pixel_limit}")
        if width * height == 0:
            raise DataError(f"{name} has no pixels")
        if image.mode not in GREY_MODES + DEEP_MODES + COLOUR_MODES:
            raise DataError(
                f"{name} has the mode {image.mode}, which is neither grey nor RGB of 8 or 16 bits; convert it to 8-bit grey or RGB"
            )
        return width, height

    def _convert(self, image: Image.Image) -> Image.Image:
        """``image`` decoded to ``color``."""
        turned = self._orientation(image)
        if image.mode in ("P", "PA"):
            # Pillow warns when a palette with transparency goes to RGB in one step; in two the colours are the same.
            image = image.convert("RGBA")
        if self.color == "L" and image.mode in COLOUR_MODES:
            image = image.convert("RGB")
        image.load()
        if image.mode in DEEP_MODES:
            deep = np.asarray(image)
            image = Image.fromarray((deep >> 8 if self.deep == "upper" else deep.clip(0, 255)).astype(np.uint8))
        if image.mode != self.color:
            image = image.convert(self.color)
        return image if turned is None else image.transpose(ORIENTATIONS[turned])

    def _orientation(self, image: Image.Image) -> int | None:
        """The EXIF orientation that is to be applied; None where there is none."""
        # Pillow itself turns a TIFF when it loads it.
        if not self.orient or isinstance(image, TiffImagePlugin.TiffImageFile):
            return None
        found = image.getexif().get(ExifTags.Base.Orientation)
        return found if found in ORIENTATIONS else None


def _from_array(pixels: Array, name: str) -> Image.Image:
    grey = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1)
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise DataError(
            f"{name}: an array of {pixels.dtype} {list(pixels.shape)} is not an image; give uint8 [height, width, 3] or [height, width]"
        )
    if pixels.size == 0:
        raise DataError(f"{name} has no pixels")
    return Image.fromarray(pixels.reshape(pixels.shape[:2]) if grey else np.ascontiguousarray(pixels))
