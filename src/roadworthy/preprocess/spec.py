"""The contract as a person writes it: the name of a preset or a TOML file, read strictly and checked for contradictions.

torchvision's and Keras's models see images differently, and ``layout`` tells the two apart: CHW or HWC. A resize here works on
whole pixel values. torchvision's own resize does so too, and with antialias, which is the default here. Keras's way
(``image_dataset_from_directory``, ``layers.Resizing``, ``tf.image.resize``: bilinear, no antialias) is ``antialias = false``,
and equals it up to the rounding: half a pixel value. Keras's ``load_img`` is ``filter = "nearest"``. A single size keeps
the aspect, for a centre crop after it (what Keras calls ``crop_to_aspect_ratio``); two numbers do not, which is Keras's default.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from roadworthy.core import codec
from roadworthy.core.errors import DataError
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.steps import (
    KINDS,
    PIXEL_LIMIT,
    ChannelsFirst,
    Crop,
    Decode,
    Normalize,
    Resize,
    ReverseChannels,
    Step,
)
from roadworthy.preprocess.steps.base import pair

Layout: TypeAlias = Literal["CHW", "HWC"]


@dataclass(frozen=True)
class ResizeTable:
    """The table ``[image.resize]``; see ``steps.Resize``."""

    size: int | tuple[int, int]
    filter: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear"
    antialias: bool = True


@dataclass(frozen=True)
class ImageTable:
    """The table ``[image]``, and the image part of a bundle of format 1: the usual steps in the usual order, each by its values.

    They are: decode, resize, centre crop, order of the colours, layout, normalise. The pixel value ``p`` (0..255) becomes
    ``(p * scale - mean) / std`` by channel; ``mean`` and ``std`` hold one number for each channel, or one for all, in the order of
    ``color``. ``uint8`` keeps the pixel as it is; ``int8``, for quantised models, is the nearest whole number to that, from -128 to 127.
    """

    color: Literal["RGB", "BGR", "L"] = "RGB"
    resize: ResizeTable | None = None
    crop: int | tuple[int, int] | None = None
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Layout = "CHW"
    dtype: Literal["float32", "uint8", "int8"] = "float32"
    pixel_limit: int = PIXEL_LIMIT

    def steps(self) -> tuple[Step, ...]:
        """The table as steps; raises DataError where its values contradict each other."""
        self._check()
        return tuple(self._steps())

    def _steps(self) -> Iterator[Step]:
        yield Decode("L" if self.color == "L" else "RGB", self.pixel_limit)
        if self.resize is not None:
            yield Resize(self.resize.size, self.resize.filter, self.resize.antialias)
        if self.crop is not None:
            yield Crop(self.crop)
        if self.color == "BGR":
            yield ReverseChannels()
        if self.layout == "CHW":
            yield ChannelsFirst()
        # A table that says uint8 keeps the pixels.
        if self.dtype != "uint8":
            yield Normalize(self.scale, self.mean, self.std, 0 if self.layout == "CHW" else 2, self.dtype)

    def _check(self) -> None:
        if self.dtype == "uint8" and (self.scale != 1 or any(self.mean) or any(value != 1 for value in self.std)):
            raise DataError("dtype uint8 keeps the pixels as they are: set scale = 1 and leave mean and std out, or use float32")
        if self.crop is not None and self.resize is not None:
            (height, width), (below, across) = map(pair, (self.crop, self.resize.size))
            if height > below or width > across:
                raise DataError(f"crop {height} x {width} is larger than resize {below} x {across}")


@dataclass(frozen=True)
class SpecFile:
    """A TOML file. ``image`` is the table ``[image]``, or the steps one by one as ``[[image]]``, each with its ``kind``."""

    image: ImageTable | tuple[Step, ...] | None = None
    answer: Answer = field(default_factory=Answer)

    def contract(self) -> Contract:
        """The contract, checked; raises DataError where its values make no sense."""
        image = self.image.steps() if isinstance(self.image, ImageTable) else self.image or ()
        contract = Contract(image, self.answer)
        contract.check()
        return contract


PRESETS: dict[str, ImageTable] = {
    # The evaluation transform of torchvision's reference classifiers.
    "imagenet": ImageTable(resize=ResizeTable(256), crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    # Mean and deviation of the training set's pixels.
    "cifar10": ImageTable(resize=ResizeTable((32, 32)), mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)),
    "mnist": ImageTable(color="L", resize=ResizeTable((28, 28)), mean=(0.1307,), std=(0.3081,)),
    "unit": ImageTable(),
    # What keras.applications calls its modes: the weights that came from TensorFlow, and those that came from Caffe.
    "tf": ImageTable(scale=1 / 127.5, mean=(1.0,)),
    "caffe": ImageTable(color="BGR", scale=1.0, mean=(103.939, 116.779, 123.68)),
    "raw": ImageTable(scale=1.0),
}
"""By name. The last four keep the size that the image has: ``unit`` is RGB in 0..1, ``tf`` in -1..1, ``raw`` in 0..255, and ``caffe``
BGR in 0..255 less the mean colour of ImageNet. With a size behind the name, for example ``tf:224``, they resize to a square."""


def is_spec(spec: str) -> bool:
    """Whether ``spec`` is the name of a preset, or of a TOML file."""
    return spec.partition(":")[0] in PRESETS or spec.endswith(".toml")


def read(spec: str | Path, layout: Layout = "CHW") -> Contract:
    """The contract of a preset, or of a TOML file with the tables ``[image]``, ``[image.resize]`` and ``[answer]``.

    ``layout`` is what the model's framework takes: that of a preset, and of an ``[image]`` table that does not state its own. Raises
    DataError for a name that is neither, a file that cannot be read, an unknown key or step, and values that contradict each other.
    """
    if isinstance(spec, str) and (preset := _preset(spec, layout)):
        return SpecFile(preset).contract()
    path = Path(spec)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{spec} is neither a file nor a preset; the presets are {', '.join(PRESETS)}") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read as a preprocessing spec: {_reason(problem)}") from None
    found = _parsed(text, layout, str(path))
    try:
        return found.contract()
    except DataError as problem:
        raise DataError(f"{path}: {problem.message}") from None


def _parsed(text: str, layout: Layout, what: str) -> SpecFile:
    try:
        found = codec.from_toml(SpecFile, text, error=DataError, what=what)
    except DataError as problem:
        if ".kind" in problem.message:
            raise DataError(f"{problem.message}; the steps are {', '.join(KINDS)}") from None
        raise
    if isinstance(found.image, ImageTable) and "layout" not in tomllib.loads(text)["image"]:
        return replace(found, image=replace(found.image, layout=layout))
    return found


def _preset(spec: str, layout: Layout) -> ImageTable | None:
    name, _, size = spec.partition(":")
    image = PRESETS.get(name)
    if image is None or (size and not re.fullmatch(r"[1-9]\d{0,4}", size)):
        return None
    if not size:
        return replace(image, layout=layout)
    if image.resize is not None:
        raise DataError(f"the preset {name} has its own size; write a TOML file for another")
    # Each framework's own resize: torchvision's with antialias, TensorFlow's without.
    return replace(image, layout=layout, resize=ResizeTable((int(size), int(size)), antialias=layout == "CHW"))


def _reason(problem: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(problem, UnicodeDecodeError) else str(problem.strerror or problem)
