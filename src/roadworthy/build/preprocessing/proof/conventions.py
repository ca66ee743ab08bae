"""The usual ways to prepare images for a classifier, as steps: ranges of the values, and ways to the model's size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from roadworthy.build.preprocessing import image_input
from roadworthy.core.errors import DataError
from roadworthy.core.types import TensorSpec
from roadworthy.preprocess import spec
from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.convention import Convention
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import ChannelsFirst, Crop, Decode, Normalize, Resize, ReverseChannels, Step

SHORTER = 0.875
"""The crop's part of the shorter side: 224 of 256."""
RANGES: tuple[tuple[str, bool, float, tuple[float, ...], tuple[float, ...]], ...] = (
    ("ImageNet's mean and std", False, 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ("values of 0 to 1", False, 1 / 255, (0.0,), (1.0,)),
    ("values of -1 to 1", False, 1 / 127.5, (1.0,), (1.0,)),
    ("values of 0 to 255", False, 1.0, (0.0,), (1.0,)),
    ("BGR less ImageNet's mean colour (caffe)", True, 1.0, (103.939, 116.779, 123.68), (1.0,)),
)
"""In words, whether BGR, scale, mean, std."""
GREY_RANGES: tuple[tuple[str, bool, float, tuple[float, ...], tuple[float, ...]], ...] = (
    *((words, bgr, scale, mean, std) for words, bgr, scale, mean, std in RANGES if len(mean) == 1),
    ("MNIST's mean and std", False, 1 / 255, (0.1307,), (0.3081,)),
)
PIXELS = (("pixels as they are", False), ("BGR pixels", True))


@dataclass(frozen=True)
class Usual:
    """The ``ranges`` to try, each with the first of the ``geometries``; then the other geometries with the best range.

    ``layout`` is that of the model's input.
    """

    layout: Layout
    ranges: tuple[Convention, ...]
    geometries: tuple[Convention, ...]


def usual(model: TensorSpec, given: Convention | None, *, fits: bool) -> Usual | None:
    """What to try for a model with the input ``model``; ``None`` where that takes no images of one size in grey or colour.

    ``given`` is what the user states: then all ranges are tried with its geometry. ``fits`` says that all images have the model's size.
    """
    image = image_input.of_spec(model)
    if image is None or image.size is None or model.dtype not in ("float32", "uint8"):
        return None
    layout, size, channels = image.layout, image.size, image.channels
    values = tuple(_values(model.dtype, layout, channels))
    decode = given.geometry[:1] if given else (Decode("L" if channels == 1 else "RGB"),)
    geometries = tuple(Convention(name, (*decode, *steps), ()) for name, steps in _geometries(size, fits=fits))
    first = given.geometry if given else geometries[0].geometry
    name = "" if given else f"; {geometries[0].name}"
    ranges = tuple(Convention(f"{words}{name}", first, steps) for words, steps in values)
    others = tuple(one for one in geometries if one.geometry != first and _gives(one, values[0][1], model))
    return Usual(layout, tuple(one for one in ranges if given is None or one.values != given.values), others)


def plain(layout: Layout, size: tuple[int, int], *, grey: bool) -> tuple[Step, ...]:
    """The simplest steps to samples of a size, (height, width): resized whole, values of 0 to 1."""
    first: tuple[Step, ...] = (ChannelsFirst(),) if layout == "CHW" else ()
    return (Decode("L" if grey else "RGB"), Resize(size), *first, Normalize(axis=0 if layout == "CHW" else 2))


def preset_of(convention: Convention, layout: Layout) -> str:
    """The name of the preset that has exactly these steps, with its size where it takes one; empty where there is none."""
    resize = next((step for step in convention.geometry if isinstance(step, Resize)), None)
    size = resize.size[0] if resize and isinstance(resize.size, tuple) and resize.size[0] == resize.size[1] else None
    for name in spec.PRESETS:
        texts = [name, f"{name}:{size}"] if size else [name]
        for text in texts:
            try:
                if spec.read(text, layout).image == convention.steps:
                    return text
            except DataError:
                # Not every preset takes a size.
                continue
    return ""


def _values(dtype: str, layout: Layout, channels: int) -> Iterator[tuple[str, tuple[Step, ...]]]:
    first: tuple[Step, ...] = (ChannelsFirst(),) if layout == "CHW" else ()
    if dtype == "uint8":
        for name, bgr in PIXELS if channels == 3 else PIXELS[:1]:
            yield name, (*((ReverseChannels(),) if bgr else ()), *first)
        return
    for name, bgr, scale, mean, std in RANGES if channels == 3 else GREY_RANGES:
        reverse: tuple[Step, ...] = (ReverseChannels(),) if bgr else ()
        yield name, (*reverse, *first, Normalize(scale, mean, std, 0 if layout == "CHW" else 2))


def _geometries(size: tuple[int, int], *, fits: bool) -> Iterator[tuple[str, tuple[Step, ...]]]:
    height, width = size
    if fits:
        yield "at the size that they have", ()
        return
    square = height if height == width else size
    for filter in ("bilinear", "bicubic"):
        for antialias in (True, False):
            how = f"{filter}{'' if antialias else ' without antialias'}"
            yield f"resized to {height} x {width}, {how}", (Resize(size, filter, antialias),)
            shorter = round(min(size) / SHORTER)
            yield f"shorter side to {shorter} and cropped, {how}", (Resize(shorter, filter, antialias), Crop(square))


def _gives(geometry: Convention, values: tuple[Step, ...], model: TensorSpec) -> bool:
    """Whether the convention gives what the model takes."""
    try:
        Contract((*geometry.geometry, *values)).check_input((model,))
    except DataError:
        return False
    return True
