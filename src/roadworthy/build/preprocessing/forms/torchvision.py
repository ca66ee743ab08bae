"""torchvision: ``Compose`` and v2's, ``Weights.X`` and its ``transforms()``; read by names of classes and attributes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from roadworthy.build.preprocessing.forms._transforms import (
    OF_TENSORS,
    TO_TENSOR,
    TransformReader,
    filter_of,
    flat,
    is_transform,
    named,
    numbers_of,
    pair_of,
)
from roadworthy.build.preprocessing.found import Found
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.spec import Layout

PRESETS = "torchvision.transforms._presets"
OTHER_PRESETS = {"VideoClassification": "the frames of a video", "OpticalFlow": "two images"}
"""By class, what is one sample there."""
AS_PILLOW = Note(
    "torchvision resizes Pillow images and tensors by different kernels, up to 1 level apart: taken as for Pillow images, as in training"
)


def of_object(value: Any, layout: Layout) -> Found | None:
    """A list of transforms, a preset, a member of a weights enum, or a single transform. The pixels are CHW, whatever ``layout`` is."""
    if isinstance(value, type):
        _refuse_enum(value)
        return None
    if _is_weights(type(value)):
        return _of_weights(value)
    if type(value).__module__ == PRESETS:
        return _of_preset(value)
    return _of_list(value) if is_transform(value) else None


def _is_weights(kind: type) -> bool:
    return any(base.__name__ == "WeightsEnum" and base.__module__.startswith("torchvision.") for base in kind.__mro__)


def _refuse_enum(kind: type) -> None:
    """Raise DataError where the weights of a model are named and no member of them."""
    if _is_weights(kind):
        members = [f"{kind.__name__}.{name}" for name in getattr(kind, "__members__", {})]
        raise DataError(f"{kind.__name__} holds several weights, each with its own preprocessing; name one: {', '.join(members)}")


def _of_weights(member: Any) -> Found:
    preset = member.transforms()
    found = _of_preset(preset)
    names = tuple(str(name) for name in member.meta.get("categories") or ())
    single = type(preset).__name__ == "ImageClassification"
    answer = Answer(labels=names) if names and single else Answer()
    return replace(found, contract=replace(found.contract, answer=answer), origin=f"torchvision {type(member).__name__}.{member.name}")


def _of_preset(preset: Any) -> Found:
    name = type(preset).__name__
    if name in OTHER_PRESETS:
        many = OTHER_PRESETS[name]
        raise DataError(
            f"torchvision's {name} makes one sample of {many}, and the steps are for one image: give the samples as arrays (--data)"
        )
    if name not in ("ImageClassification", "SemanticSegmentation", "ObjectDetection"):
        raise DataError(f"torchvision's {name} is a preset of no known kind; write the steps as a TOML file (docs/preprocessing.md)")
    reader = TransformReader()
    notes: tuple[Note, ...] = ()
    if (size := getattr(preset, "resize_size", None)) is not None:
        reader.resize(preset, size[0] if len(size) == 1 else pair_of(size), filter_of(preset), None, getattr(preset, "antialias", True))
        notes = (AS_PILLOW,)
    if (crop := getattr(preset, "crop_size", None)) is not None:
        reader.crop(preset, pair_of(crop))
    reader.to_tensor()
    reader.to_floats(scale=1 / 255)
    if hasattr(preset, "mean"):
        reader.normalize(preset, numbers_of(preset.mean), numbers_of(preset.std))
    return Found(Contract(reader.finished()), f"torchvision {named(preset)}", (*notes, *reader.notes))


def _of_list(value: Any) -> Found:
    transforms = list(flat(value))
    names = {type(one).__name__ for one in transforms}
    # What becomes floats, and is made no tensor of, is a tensor from the start.
    tensors = not names & {*TO_TENSOR} and bool(names & {*OF_TENSORS})
    reader = TransformReader(tensor=tensors)
    for transform in transforms:
        reader.read(transform)
    notes = tuple(reader.notes)
    if tensors:
        notes = (Note("the transforms make no tensor of a Pillow image: an image goes in as a tensor of uint8"), *notes)
    return Found(Contract(reader.finished()), f"torchvision {type(value).__name__} of {', '.join(map(_short, transforms))}", notes)


def _short(transform: Any) -> str:
    return type(transform).__name__ if not hasattr(transform, "__name__") else str(transform.__name__)
