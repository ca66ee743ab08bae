"""One image to one sample: the contract's steps carried out in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.types import Array
from roadworthy.preprocess import geometry, placement
from roadworthy.preprocess import steps as contract_steps
from roadworthy.preprocess.decode import Decoded, ImageDecoder, TooManyPixels
from roadworthy.preprocess.pixels import ImageLike, Pixels, SampleShape, as_array
from roadworthy.preprocess.placement import Placement
from roadworthy.preprocess.steps import Decode, Resize, Step


class Preprocessor:
    """Carries out the ``steps`` of a contract; safe to share between threads.

    With ``draft`` a JPEG that is at least twice the size that the first resize wants is decoded at a part of its own size (see
    ``ImageDecoder``): several times faster, and the pixels differ a little. It has no effect where the first step after decoding is no
    resize with antialias, which is what makes the pixels nearly the same.
    """

    def __init__(self, steps: tuple[Step, ...], *, draft: bool = False) -> None:
        contract_steps.check(steps)
        first, *after = steps
        assert isinstance(first, Decode)
        resize = after[0] if after else None
        drafted = (
            resize.resized if draft and isinstance(resize, Resize) and resize.antialias and geometry.by_pillow(resize.kernel) else None
        )
        self._steps = steps
        self._first, self._decoder = first, ImageDecoder(first.color, first.pixel_limit, first.orient, first.deep, drafted)
        # The size of an image is followed as far as a step may make it larger.
        followed = max((place for place, step in enumerate(after, 1) if step.grows), default=0)
        self._followed, self._after = tuple(after[:followed]), tuple(after[followed:])

    @property
    def pixel_limit(self) -> int:
        """The most pixels that an image may have."""
        return self._decoder.pixel_limit

    def one(self, item: ImageLike, *, out: Array | None = None, name: str = "the image") -> Array:
        """One sample, C-contiguous, in the shape and dtype that the steps give; into ``out`` where given.

        ``item`` is what ``ImageDecoder.decode`` takes. Raises DataError, naming the path or ``name``, as it does, and TooManyPixels
        for an image that would pass the pixel limit in a later step.
        """
        name = str(item) if isinstance(item, Path) else name
        sample = np.ascontiguousarray(as_array(self._applied(self._decoder.decode(item, name), name)))
        if out is None:
            return sample if sample.flags.writeable else sample.copy()
        if out.shape != sample.shape:
            raise DataError(
                f"{name}: gives a sample of shape {list(sample.shape)} where {list(out.shape)} is wanted; "
                "make all sizes one by resize or crop in the preprocessing"
            )
        out[...] = sample
        return out

    def placement(self, item: ImageLike, *, name: str = "the image") -> Placement:
        """Where the pixels of the sample that ``one`` makes of ``item`` lie in the image.

        Only its header is read; the errors are those of ``one``.
        """
        size, orientation = self._decoder.measured(item, str(item) if isinstance(item, Path) else name)
        return placement.of_steps(self._steps, size, orientation)

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

    def _applied(self, decoded: Decoded, name: str) -> Pixels:
        pixels: Pixels = decoded.image
        width, height = decoded.size
        shape, extent = self._first.decoded(height, width), decoded.extent
        for step in self._followed:
            self._admit(step, shape, name)
            shape = step.shape(shape)
            if extent is not None and isinstance(step, Resize):
                # The first resize of an image that was decoded at a part of its size, for the size of the whole.
                pixels, extent = _resize_draft(step, decoded, shape), None
            else:
                pixels = step.apply(pixels)
        for step in self._after:
            pixels = step.apply(pixels)
        return pixels

    def _admit(self, step: Step, shape: SampleShape, name: str) -> None:
        if step.grows and step.peak(shape) > self.pixel_limit:
            after = step.shape(shape)
            raise TooManyPixels(
                f"{name} of {shape.width} x {shape.height} pixels takes more than the limit of {self.pixel_limit} "
                f"on its way to {after.width} x {after.height}"
            )


def _resize_draft(step: Resize, decoded: Decoded, after: SampleShape) -> Pixels:
    assert after.height is not None and after.width is not None
    return geometry.resize(decoded.image, (after.height, after.width), step.kernel, decoded.extent)
