"""An image processor's fields as steps, by the rules of its class and of the backend that its pixels are of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from roadworthy.build.preprocessing.huggingface.fields import Backend, Fields, Size
from roadworthy.build.preprocessing.pillow_filters import PILLOW_FILTERS
from roadworthy.core.evidence import Note
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import ChannelsFirst, Crop, Decode, Normalize, Resize, ReverseChannels, Step

ONLY_PILLOWS = ("box", "hamming")
WARPS_FROM = 384
"""The size from which on a ConvNeXt processor warps the image and crops nothing."""


def read(fields: Fields, backend: Backend, layout: Layout) -> tuple[tuple[Step, ...], tuple[Note, ...]]:
    """The steps and the notes on them. uint8 pixels are those of the backend, floats equal to the bit with it but for EfficientNet's,
    whose two normalisations are one here: they are within 1e-5.

    Raises DataError, naming the field, for what cannot be carried out as transformers does.
    """
    steps: list[Step] = [Decode(orient=True)]
    if fields.flag("do_resize", True):
        steps += _resized(fields, backend)
    if fields.kind.rule != "segformer" and fields.flag("do_center_crop", fields.kind.cropped):
        steps.append(Crop(fields.crop_size(), rounding="down"))
    if fields.kind.rule == "mobilevit" and fields.flag("do_flip_channel_order", True):
        steps.append(ReverseChannels())
    if layout == "CHW":
        steps.append(ChannelsFirst())
    steps.append(_normalized(fields, backend, 0 if layout == "CHW" else 2))
    _check_padding(fields, steps)
    return tuple(steps), (*_notes(fields, backend, steps), *fields.on_defaults())


def _resized(fields: Fields, backend: Backend) -> Iterator[Step]:
    size, rule = fields.size(), fields.kind.rule
    to = size.to
    if rule == "convnext":
        if not isinstance(to, int):
            raise fields.refused("size", "has no shortest_edge, without which this class of transformers fails")
        if to < WARPS_FROM:
            yield _resize(Size(int(to / fields.number("crop_pct", fields.kind.crop_pct or 1))), fields, backend)
            yield Crop((to, to), rounding="down")
        else:
            yield _resize(Size((to, to)), fields, backend)
        return
    if rule == "levit" and isinstance(to, int):
        size = Size(int(256 / 224 * to))
    if rule == "poolformer":
        part = fields.number("crop_pct", fields.kind.crop_pct or 1)
        height, width = (to, to) if isinstance(to, int) else to
        size = Size(int(height / part) if height == width else (int(height / part), int(width / part)))
    yield _resize(size, fields, backend)


def _resize(size: Size, fields: Fields, backend: Backend) -> Resize:
    filter = PILLOW_FILTERS[fields.resample()]
    if backend == "torch" and filter in ONLY_PILLOWS:
        raise fields.refused("resample", "exists in transformers' processors for Pillow alone")
    # torch's "nearest-exact", which it uses, is Pillow's nearest but for the rounding of float32: see _notes.
    return Resize(size.to, filter, longest=size.longest, like="pillow" if filter == "nearest" else backend)


def _normalized(fields: Fields, backend: Backend, axis: Literal[0, 2]) -> Normalize:
    kind = fields.kind
    scale = fields.number("rescale_factor", 1 / 255) if fields.flag("do_rescale", True) else 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    if kind.rule != "mobilevit" and fields.flag("do_normalize", kind.normalize):
        mean, std = fields.numbers("image_mean", kind.mean), fields.numbers("image_std", kind.std)
    if kind.rule == "efficientnet":
        mean, std = _of_efficientnet(fields, mean, std)
    if backend == "pillow":
        return Normalize(scale, mean, std, axis, arithmetic="numpy")
    if std == (1.0,) and not any(mean):
        return Normalize(scale, axis=axis)
    # Its backend of tensors scales mean and std once, in float32, and leaves the pixels in 0..255.
    factor = np.float32(1 / scale)
    mean, std = (tuple(float(np.float32(value) * factor) for value in values) for values in (mean, std))
    return Normalize(1.0, mean, std, axis, arithmetic="torch")


def _of_efficientnet(fields: Fields, mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """``rescale_offset`` takes 1 away after the scaling, and ``include_top`` divides by the deviation once more."""
    if fields.flag("rescale_offset", False) and fields.flag("do_rescale", True):
        mean = tuple(value + 1 for value in mean)
    if fields.flag("include_top", True):
        again = fields.numbers("image_std", fields.kind.std)
        channels = max(len(std), len(again))
        first, second = (values * channels if len(values) == 1 else values for values in (std, again))
        std = tuple(a * b for a, b in zip(first, second, strict=False))
    return mean, std


def _check_padding(fields: Fields, steps: list[Step]) -> None:
    if fields.flag("do_pad", False) and fields.values.get("pad_size") is not None:
        raise fields.refused("pad_size", "pads after the normalisation, which no step does")
    if (found := fields.values.get("data_format")) not in (None, "channels_first"):
        raise fields.refused("data_format", f"is {found}, where transformers 5 gives channels first")


def _notes(fields: Fields, backend: Backend, steps: list[Step]) -> Iterator[Note]:
    yield from fields.notes
    yield Note("images are turned as their EXIF orientation says, as transformers' pipelines and datasets do when they open a file")
    if fields.flag("do_convert_rgb", fields.kind.rgb):
        yield Note("transparency is dropped, where transformers 5 lays the image on white")
    size = fields.size() if fields.flag("do_resize", True) else None
    if size is not None and size.longest is not None:
        yield Note(f"of an image whose longer side would pass {size.longest}, transformers may round a side to one pixel more or less")
    if backend == "torch" and any(isinstance(step, Resize) and step.filter == "nearest" for step in steps):
        yield Note("where the centre of a new pixel falls on the edge of two old ones, transformers' tensors may take the other one")
    if fields.flag("do_pad", False) and not _one_size(steps):
        yield Note("do_pad makes the images of one batch equally large; here each image keeps its own size")
    if backend == "pillow" and _may_pad(steps):
        yield Note(
            "of an image that is smaller than the crop by an odd number of pixels, the odd one is padded after the image, where "
            "transformers' processor for Pillow pads it before",
            warning=True,
        )


def _one_size(steps: list[Step]) -> bool:
    return any(isinstance(step, Crop) or (isinstance(step, Resize) and not isinstance(step.size, int)) for step in steps)


def _may_pad(steps: list[Step]) -> bool:
    """Whether some image is smaller than the crop by an odd number of pixels on a side."""
    before: Resize | None = None
    for step in steps:
        if isinstance(step, Crop):
            height, width = step.size if isinstance(step.size, tuple) else (step.size, step.size)
            if before is None or before.size is None:
                return True
            if isinstance(before.size, int):
                return max(height, width) > before.size or before.longest is not None
            return any(crop > side and (crop - side) % 2 for crop, side in zip((height, width), before.size, strict=True))
        if isinstance(step, Resize):
            before = step
    return False
