"""One image to one sample: decode, colours, resize, centre crop, normalise, lay out; images of strangers included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np

# Pillow finds these three by itself, but on the first WebP only after importing every format it knows.
from PIL import Image, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin

from roadworthy.core.contract import Contract, ImageInput
from roadworthy.core.errors import DataError
from roadworthy.core.types import Array
from roadworthy.preprocess import geometry, spec

ImageLike: TypeAlias = bytes | Path | Image.Image | Array

FORMATS = (JpegImagePlugin.JpegImageFile.format, PngImagePlugin.PngImageFile.format, WebPImagePlugin.WebPImageFile.format)
GREY = ("1", "L", "LA")
COLOURED = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV")

DRAFT_MARGIN = 2
"""How many times larger than the resize wants a JPEG still is when it is decoded at a part of its size."""


class TooManyPixels(DataError):
    """An image above the pixel limit; it was not decoded."""


@dataclass(frozen=True)
class _Decoded:
    """An image in grey or RGB, and the ``size`` (width, height) that it has in its file.

    Where it was decoded at a part of that, ``extent`` is as many of its own pixels as that is, which need not be whole.
    """

    image: Image.Image
    size: tuple[int, int]
    extent: tuple[float, float] | None = None


class Preprocessor:
    """Carries out one ``ImageInput``; safe to share between threads.

    It does what torchvision's evaluation transforms do to a file read by ``ImageFolder``, which is what most
    models were trained on: EXIF orientation and colour profiles are not applied, transparency is dropped and not
    blended, the first frame of an animation counts, and 16-bit colour is read by its upper 8 bits.

    With ``draft`` a JPEG that is at least twice the size that the contract's resize wants is decoded at a half, a quarter or an
    eighth of its own, never below ``DRAFT_MARGIN`` times what is wanted: several times faster, and the pixels are a little
    different ones. It does nothing where there is no resize with antialias, which is what makes them alike.
    """

    def __init__(self, image: ImageInput, *, draft: bool = False) -> None:
        spec.validate(Contract(image))
        self.image = image
        self._draft = draft
        self._crop = None if image.crop is None else spec.pair(image.crop)
        channels = spec.channels_of(image)
        shape = (channels, 1, 1) if image.layout == "CHW" else (channels,)
        mean, std = (np.broadcast_to(np.array(values, np.float64), channels).reshape(shape) for values in (image.mean, image.std))
        # (p * scale - mean) / std as one multiplication and one addition.
        self._factor = (image.scale / std).astype(np.float32)
        self._offset = (-mean / std).astype(np.float32) if any(image.mean) else None

    def one(self, item: ImageLike, *, out: Array | None = None, name: str = "the image") -> Array:
        """One sample, [C,H,W] or [H,W,C] as the layout says, C-contiguous, in the contract's dtype; into ``out`` where given.

        ``item`` is the bytes or the path of a JPEG, PNG or WebP file (told by content), a Pillow image, or uint8
        pixels [H,W,3] in RGB order, [H,W,1] or [H,W]. Raises DataError, naming the path or ``name``, for anything else, for an
        image above the pixel limit (before it is decoded), and for a damaged or truncated one.
        """
        pixels = self._pixels(item, str(item) if isinstance(item, Path) else name)
        if self.image.layout == "CHW":
            pixels = pixels.transpose(2, 0, 1)
        if out is not None and out.shape != pixels.shape:
            raise DataError(
                f"{item if isinstance(item, Path) else name}: gives a sample of shape {list(pixels.shape)} where {list(out.shape)} "
                "is wanted; make all sizes one by resize or crop in the preprocessing"
            )
        pixels = np.ascontiguousarray(pixels)
        if self.image.dtype == "uint8":
            if out is not None:
                return _filled(out, pixels)
            return pixels if pixels.flags.writeable else pixels.copy()
        if self.image.dtype == "int8":
            whole = np.rint(pixels * self._factor + (0 if self._offset is None else self._offset)).clip(-128, 127).astype(np.int8)
            return whole if out is None else _filled(out, whole)
        sample = np.multiply(pixels, self._factor, out=out)
        if self._offset is not None:
            sample += self._offset
        return np.asarray(sample)

    def many(self, items: Sequence[ImageLike]) -> Array:
        """All of ``items`` as one array, samples first; raises DataError as ``one`` does, and where the sizes differ."""
        if len(items) == 0:
            raise DataError("there are no images")
        first = self.one(items[0], name="image 0")
        samples = np.empty((len(items), *first.shape), first.dtype)
        samples[0] = first
        for index in range(1, len(items)):
            self.one(items[index], out=samples[index], name=f"image {index}")
        return samples

    def _pixels(self, item: ImageLike, name: str) -> Array:
        """The pixels [H,W,C] in the contract's colours and size, uint8."""
        if isinstance(item, Path):
            try:
                with open(item, "rb") as file:
                    decoded = self._decode(file, name)
            except OSError as problem:
                raise DataError(f"{name} cannot be read: {problem.strerror or problem}") from None
        elif isinstance(item, bytes | bytearray | memoryview):
            decoded = self._decode(BytesIO(item), name)
        elif isinstance(item, Image.Image):
            decoded = self._decode(item, name)
        elif isinstance(item, np.ndarray):
            image = _from_array(item, name)
            decoded = _Decoded(size=self._checked(image, name), image=self._convert(image))
        else:
            raise DataError(f"{name}: a {type(item).__name__} is no image; give bytes, a path, a Pillow image or a uint8 array")
        image = self._shape(decoded, name)
        pixels = np.asarray(image)
        if self.image.color == "L":
            return pixels[:, :, None]
        return pixels[:, :, ::-1] if self.image.color == "BGR" else pixels

    def _decode(self, file: BinaryIO | Image.Image, name: str) -> _Decoded:
        try:
            if isinstance(file, Image.Image):
                return _Decoded(size=self._checked(file, name), image=self._convert(file))
            if not file.read(1):
                raise DataError(f"{name} is empty")
            file.seek(0)
            with Image.open(file, formats=FORMATS) as image:
                size = self._checked(image, name)
                if self._draft and (how := self.image.resize) is not None and how.antialias:
                    height, width = geometry.resized_size((size[1], size[0]), how.size)
                    # Only a JPEG takes it up, by a part that leaves it no smaller than this.
                    if (drafted := image.draft(None, (width * DRAFT_MARGIN, height * DRAFT_MARGIN))) is not None:
                        return _Decoded(self._convert(image), size, drafted[1][2:])
                return _Decoded(self._convert(image), size)
        except DataError:
            raise
        except UnidentifiedImageError:
            raise DataError(f"{name} is not a JPEG, PNG or WebP image, or its header is damaged") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise TooManyPixels(f"{name} has more pixels than the limit of {self.image.pixel_limit}") from None
        except Exception as problem:
            # A decoder fed with damaged bytes raises whatever it likes: OSError, SyntaxError, ValueError, struct.error, ...
            raise DataError(f"{name} is damaged or truncated: {str(problem) or type(problem).__name__}") from None

    def _checked(self, image: Image.Image, name: str) -> tuple[int, int]:
        """The size (width, height) of an image of which no more than the header needs to be read."""
        width, height = image.size
        if width * height > self.image.pixel_limit:
            raise TooManyPixels(f"{name} has {width} x {height} pixels, more than the limit of {self.image.pixel_limit}")
        if width * height == 0:
            raise DataError(f"{name} has no pixels")
        if image.mode not in GREY + COLOURED:
            raise DataError(f"{name} has the mode {image.mode}, which does not fit in 8 bits a channel; convert it to 8-bit grey or RGB")
        return width, height

    def _convert(self, image: Image.Image) -> Image.Image:
        """``image`` decoded to grey or RGB."""
        mode = "L" if self.image.color == "L" else "RGB"
        if image.mode in ("P", "PA"):
            # Pillow warns when a palette with transparency goes to RGB in one step; in two the colours are the same.
            image = image.convert("RGBA")
        if mode == "L" and image.mode in COLOURED:
            image = image.convert("RGB")
        image.load()
        return image.convert(mode) if image.mode != mode else image

    def _shape(self, decoded: _Decoded, name: str) -> Image.Image:
        """The image at the contract's size."""
        image, size, how = decoded.image, decoded.size, self.image.resize
        if how is not None:
            height, width = geometry.resized_size((size[1], size[0]), how.size)
            # Columns are resized before rows, so the step between must fit as well as the result.
            if max(height, size[1]) * width > self.image.pixel_limit:
                raise TooManyPixels(
                    f"{name} of {size[0]} x {size[1]} pixels takes more than the limit of {self.image.pixel_limit} "
                    f"on its way to {width} x {height}"
                )
            image = geometry.resize(image, (height, width), how, decoded.extent)
        if self._crop is not None and self._crop != (image.height, image.width):
            image = image.crop(geometry.crop_box((image.height, image.width), self._crop))
        return image


def _filled(out: Array, values: Array) -> Array:
    out[...] = values
    return out


def _from_array(pixels: Array, name: str) -> Image.Image:
    grey = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1)
    if pixels.dtype != np.uint8 or not (grey or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise DataError(
            f"{name}: an array of {pixels.dtype} {list(pixels.shape)} is no image; give uint8 [height, width, 3] or [height, width]"
        )
    if pixels.size == 0:
        raise DataError(f"{name} has no pixels")
    return Image.fromarray(pixels.reshape(pixels.shape[:2]) if grey else np.ascontiguousarray(pixels))
