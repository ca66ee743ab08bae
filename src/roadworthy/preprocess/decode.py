"""One image in any form to 8-bit pixels: encoded bytes, files, Pillow images and arrays, from clients that are not trusted.

It reads what torchvision's ``ImageFolder`` reads, which is what most models were trained on: EXIF orientation is applied only where
``orient`` says so, colour profiles are not, transparency is dropped and not blended, the first frame of an animation counts, and 16-bit
colour is read by its upper 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

# Pillow finds these three by itself, but on the first WebP only after it has imported every format it knows.
from PIL import ExifTags, Image, ImageOps, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array
from roadworthy.preprocess.pixels import ImageLike

FORMATS = (JpegImagePlugin.JpegImageFile.format, PngImagePlugin.PngImageFile.format, WebPImagePlugin.WebPImageFile.format)
GREY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV")

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

    ``orient`` turns and mirrors an image as its EXIF data say. ``draft`` gives the (height, width) after the resize that follows, by
    that of the image: a JPEG that is much larger is then decoded at a half, a quarter or an eighth of its own size, never below
    ``DRAFT_MARGIN`` times the size that the resize wants.
    """

    color: Literal["RGB", "L"]
    pixel_limit: int
    orient: bool = False
    draft: Callable[[int, int], tuple[int, int]] | None = None

    def decode(self, item: ImageLike, name: str = "the image") -> Decoded:
        """``item`` is the bytes or the path of a JPEG, PNG or WebP file (told by content), a Pillow image, or uint8 pixels [H,W,3] in
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

    def _from_file(self, file: BinaryIO, name: str) -> Decoded:
        if not file.read(1):
            raise DataError(f"{name} is empty")
        file.seek(0)
        return self._guarded(file, name)

    def _guarded(self, item: BinaryIO | Image.Image, name: str) -> Decoded:
        """The image decoded; every exception of Pillow becomes a DataError."""
        try:
            if isinstance(item, Image.Image):
                self._checked(item, name)
                image = self._convert(item)
                return Decoded(image, image.size)
            with Image.open(item, formats=FORMATS) as image:
                size = self._checked(image, name)
                extent = self._reduce(image, size)
                converted = self._convert(image)
                return Decoded(converted, size if extent else converted.size, extent)
        except DataError:
            raise
        except UnidentifiedImageError:
            raise DataError(f"{name} is not a JPEG, PNG or WebP image, or its header is damaged") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise TooManyPixels(f"{name} has more pixels than the limit of {self.pixel_limit}") from None
        except Exception as problem:
            # Fed with damaged bytes, a decoder raises errors of many types: OSError, SyntaxError, ValueError, struct.error, ...
            raise DataError(f"{name} is damaged or truncated: {str(problem) or type(problem).__name__}") from None

    def _reduce(self, image: Image.Image, size: tuple[int, int]) -> tuple[float, float] | None:
        """Have a large JPEG decoded at a part of its size, and return the extent; None for every other image."""
        if self.draft is None or self._turned(image):
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
        if image.mode not in GREY_MODES + COLOUR_MODES:
            raise DataError(f"{name} has the mode {image.mode}, which does not fit in 8 bits a channel; convert it to 8-bit grey or RGB")
        return width, height

    def _convert(self, image: Image.Image) -> Image.Image:
        """``image`` decoded to ``color``."""
        if image.mode in ("P", "PA"):
            # Pillow warns when a palette with transparency goes to RGB in one step; in two the colours are the same.
            image = image.convert("RGBA")
        if self.color == "L" and image.mode in COLOUR_MODES:
            image = image.convert("RGB")
        image.load()
        if self._turned(image):
            image = ImageOps.exif_transpose(image)
        return image.convert(self.color) if image.mode != self.color else image

    def _turned(self, image: Image.Image) -> bool:
        return self.orient and image.getexif().get(ExifTags.Base.Orientation, 1) != 1


def _from_array(pixels: Array, name: str) -> Image.Image:
    grey = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1)
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise DataError(
            f"{name}: an array of {pixels.dtype} {list(pixels.shape)} is not an image; give uint8 [height, width, 3] or [height, width]"
        )
    if pixels.size == 0:
        raise DataError(f"{name} has no pixels")
    return Image.fromarray(pixels.reshape(pixels.shape[:2]) if grey else np.ascontiguousarray(pixels))
