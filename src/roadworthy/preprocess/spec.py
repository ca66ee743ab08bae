"""The contract as a person gives it: a preset's name or a TOML file, read strictly and checked for sense.

torchvision's and Keras's models see images differently, and ``layout`` tells the two apart: CHW or HWC. A resize here works on
whole pixel values. torchvision's own resize does so too, and with antialias, which is the default here. Keras's way
(``image_dataset_from_directory``, ``layers.Resizing``, ``tf.image.resize``: bilinear, no antialias) is ``antialias = false``,
and equals it up to the rounding: half a pixel value. Keras's ``load_img`` is ``filter = "nearest"``. A single size keeps
the aspect, for a centre crop behind it (what Keras calls ``crop_to_aspect_ratio``); two numbers do not, which is Keras's default.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

from roadworthy.core import codec
from roadworthy.core.contract import Contract, ImageInput, Resize
from roadworthy.core.errors import DataError
from roadworthy.preprocess import names

Layout: TypeAlias = Literal["CHW", "HWC"]

PRESETS: dict[str, Contract] = {
    # The evaluation transform of torchvision's reference classifiers.
    "imagenet": Contract(ImageInput(resize=Resize(256), crop=224, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))),
    # Mean and deviation of the training set's pixels.
    "cifar10": Contract(ImageInput(resize=Resize((32, 32)), mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))),
    "mnist": Contract(ImageInput(color="L", resize=Resize((28, 28)), mean=(0.1307,), std=(0.3081,))),
    "unit": Contract(ImageInput()),
    # What keras.applications calls its modes: the weights that came from TensorFlow, and those that came from Caffe.
    "tf": Contract(ImageInput(scale=1 / 127.5, mean=(1.0,))),
    "caffe": Contract(ImageInput(color="BGR", scale=1.0, mean=(103.939, 116.779, 123.68))),
    "raw": Contract(ImageInput(scale=1.0)),
}
"""By name. The last four keep the size the image has: ``unit`` is RGB in 0..1, ``tf`` in -1..1, ``raw`` in 0..255, and ``caffe``
BGR in 0..255 less the mean colour of ImageNet. With a size behind the name, ``tf:224`` say, they resize to a square."""

PILLOW_LIMIT = 89_478_485
"""Pillow's own limit on pixels, above which it warns of a decompression bomb."""


def read(spec: str | Path, layout: Layout = "CHW") -> Contract:
    """The contract of a preset, or of a TOML file with the tables ``[image]``, ``[image.resize]`` and ``[answer]``.

    ``layout`` is what the model's framework takes: that of a preset, and of a file that does not say its own. Raises
    DataError for a name that is neither, a file that cannot be read, a key that means nothing and values that make no sense.
    """
    if isinstance(spec, str) and (preset := _preset(spec, layout)):
        return preset
    path = Path(spec)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(f"{spec} is neither a file nor a preset; the presets are {', '.join(PRESETS)}") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(f"{path} cannot be read as a preprocessing spec: {_reason(problem)}") from None
    contract = codec.from_toml(Contract, text, error=DataError, what=str(path))
    if contract.image is not None and "layout" not in tomllib.loads(text)["image"]:
        contract = replace(contract, image=replace(contract.image, layout=layout))
    try:
        return validate(contract)
    except DataError as problem:
        raise DataError(f"{path}: {problem.message}") from None


def _preset(spec: str, layout: Layout) -> Contract | None:
    name, _, size = spec.partition(":")
    image = PRESETS[name].image if name in PRESETS else None
    if image is None or (size and not re.fullmatch(r"[1-9]\d{0,4}", size)):
        return None
    if size and image.resize is not None:
        raise DataError(f"the preset {name} has a size of its own; write a TOML file for another")
    # Each framework's own resize: torchvision's with antialias, TensorFlow's without.
    resize = Resize((int(size), int(size)), antialias=layout == "CHW") if size else image.resize
    return validate(replace(PRESETS[name], image=replace(image, layout=layout, resize=resize)))


def validate(contract: Contract) -> Contract:
    """The same contract; raises DataError where its values contradict each other or would give nonsense."""
    if contract.image is not None:
        _check_image(contract.image)
    if contract.answer.top_k < 1:
        raise DataError(f"top_k is {contract.answer.top_k}; it must be at least 1")
    return contract


def with_labels(contract: Contract, labels: str | Path | Sequence[str]) -> Contract:
    """The contract with class names in the order of the model's outputs: from a file (``names.read`` says of which forms), or as given."""
    found = names.read(Path(labels)).labels if isinstance(labels, str | Path) else tuple(labels)
    return replace(contract, answer=replace(contract.answer, labels=found))


def sample_spec(image: ImageInput) -> tuple[str, tuple[int | None, ...]]:
    """NumPy dtype name and shape of one sample, without the batch; ``None`` for a height or width that the image decides."""
    height, width = _fixed_size(image)
    channels = channels_of(image)
    return image.dtype, (channels, height, width) if image.layout == "CHW" else (height, width, channels)


def channels_of(image: ImageInput) -> int:
    """Channels of one sample: 1 for grey, otherwise 3."""
    return 1 if image.color == "L" else 3


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a crop, which one number makes a square."""
    return (size, size) if isinstance(size, int) else size


def _fixed_size(image: ImageInput) -> tuple[int | None, int | None]:
    if image.crop is not None:
        return pair(image.crop)
    if image.resize is not None and not isinstance(image.resize.size, int):
        return image.resize.size
    return None, None


def _check_image(image: ImageInput) -> None:
    if not 1 <= image.pixel_limit <= PILLOW_LIMIT:
        raise DataError(f"pixel_limit is {image.pixel_limit}; it must lie between 1 and {PILLOW_LIMIT}")
    _check_sizes(image)
    channels = channels_of(image)
    for name, values in (("mean", image.mean), ("std", image.std)):
        if len(values) not in (1, channels):
            raise DataError(f"{name} has {len(values)} numbers; color {image.color} needs 1 or {channels}")
        if not all(map(math.isfinite, values)):
            raise DataError(f"{name} holds a number that is not finite")
    if not all(value > 0 for value in image.std):
        raise DataError("std must be greater than 0 in every channel")
    if not (math.isfinite(image.scale) and image.scale != 0):
        raise DataError(f"scale is {image.scale}; it must be finite and not 0")
    if image.dtype == "int8":
        _check_int8(image)
    reached = [pixel * image.scale - mean for pixel in (1, 255) for mean in (0.0, *image.mean)]
    if not all(1e-30 < abs(value) / std < 1e30 or value == 0 for value in reached for std in image.std):
        raise DataError("scale, mean and std together lead out of the range of float32")
    if image.dtype == "uint8" and (image.scale != 1 or any(image.mean) or any(value != 1 for value in image.std)):
        raise DataError("dtype uint8 keeps the pixels as they are: set scale = 1 and leave mean and std out, or use float32")


def _check_int8(image: ImageInput) -> None:
    """Whole numbers are useless where the contract leads to values that lie close together, or past what int8 holds."""
    means, stds = (values * channels_of(image) if len(values) == 1 else values for values in (image.mean, image.std))
    for mean, std in zip(means, stds, strict=True):
        low, high = sorted((pixel * image.scale - mean) / std for pixel in (0, 255))
        if low < -128.5 or high > 127.5 or high - low < 2:
            raise DataError(f"dtype int8 holds -128 to 127, and scale, mean and std lead from {low:.4g} to {high:.4g}")


def _check_sizes(image: ImageInput) -> None:
    sizes = [("crop", pair(image.crop))] if image.crop is not None else []
    if image.resize is not None:
        sizes.append(("resize.size", pair(image.resize.size)))
        if not image.resize.antialias and image.resize.filter not in ("nearest", "bilinear", "bicubic"):
            raise DataError(f"the filter {image.resize.filter} exists only with antialias = true")
    for name, (height, width) in sizes:
        if height < 1 or width < 1:
            raise DataError(f"{name} is {height} x {width}; both must be at least 1")
        if height * width > image.pixel_limit:
            raise DataError(f"{name} is {height} x {width}, more than the pixel_limit of {image.pixel_limit}")
    if len(sizes) == 2:
        (_, (height, width)), (_, (below, across)) = sizes
        if height > below or width > across:
            raise DataError(f"crop {height} x {width} is larger than resize {below} x {across}")


def _reason(problem: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(problem, UnicodeDecodeError) else str(problem.strerror or problem)
