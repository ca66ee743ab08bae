"""Steps that change the channels: grey, the order of the colours, the layout."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.preprocess.pixels import Pixels, SampleShape, as_array
from roadworthy.preprocess.steps.base import StepBase, want_pixels
from roadworthy.preprocess.steps.decode import GREY


class Grey(StepBase, frozen=True, tag="grey"):
    """RGB to grey: one channel, or ``channels`` = 3 equal ones. A grey image stays as it is, or is repeated.

    ``like`` says by whose arithmetic: "pillow" is ``Image.convert("L")`` (ITU-R 601-2 in 16-bit integers), which torchvision's
    ``Grayscale`` is for Pillow images; "torch" is torchvision's for tensors (float32 sums, cut off to whole levels).
    """

    channels: Literal[1, 3] = 1
    like: Literal["pillow", "torch"] = "pillow"

    def apply(self, pixels: Pixels) -> Pixels:
        from roadworthy.preprocess import geometry

        array = as_array(pixels)
        if array.shape[2] != GREY:
            array = geometry.grey(array, self.like)
        return array if self.channels == GREY else np.repeat(array, self.channels, axis=2)

    def shape(self, before: SampleShape) -> SampleShape:
        want_pixels("grey", before)
        if before.dtype != "uint8":
            raise DataError(f"grey takes uint8 pixels; the steps before it give {before}: put it before the resize that is not rounded")
        return msgspec.structs.replace(before, channels=self.channels)

    def describe(self) -> str:
        return f"grey in {self.channels} channel{'s' if self.channels > 1 else ''}{', as torch' if self.like == 'torch' else ''}"


class ReverseChannels(StepBase, frozen=True, tag="reverse_channels"):
    """RGB to BGR, as OpenCV and Caffe order the colours."""

    def apply(self, pixels: Pixels) -> Pixels:
        return as_array(pixels)[:, :, ::-1]

    def shape(self, before: SampleShape) -> SampleShape:
        want_pixels("reverse_channels", before)
        return before

    def describe(self) -> str:
        return "channels in the order BGR"


class ChannelsFirst(StepBase, frozen=True, tag="channels_first"):
    """[H,W,C] to [C,H,W], as PyTorch's convolutions take it."""

    def apply(self, pixels: Pixels) -> Pixels:
        return as_array(pixels).transpose(2, 0, 1)

    def shape(self, before: SampleShape) -> SampleShape:
        if before.channels_first:
            raise DataError("channels_first occurs twice")
        return msgspec.structs.replace(before, channels_first=True)

    def describe(self) -> str:
        return "laid out as CHW"
