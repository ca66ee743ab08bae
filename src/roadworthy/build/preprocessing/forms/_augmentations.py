"""torchvision's random transforms: those that leave an evaluation image as it is, and those without which its size is open."""

from __future__ import annotations

from typing import Any

from roadworthy.build.preprocessing.forms._written_code import where_written
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note

AUGMENTING = (
    "RandomHorizontalFlip", "RandomVerticalFlip", "ColorJitter", "RandomGrayscale", "RandomErasing", "RandomAffine",
    "RandomPerspective", "RandomRotation", "RandomInvert", "RandomPosterize", "RandomSolarize", "RandomAdjustSharpness",
    "RandomAutocontrast", "RandomEqualize", "RandomChannelPermutation", "RandomPhotometricDistort", "GaussianBlur", "GaussianNoise",
    "ElasticTransform", "JPEG", "AutoAugment", "RandAugment", "TrivialAugmentWide", "AugMix", "CutMix", "MixUp",
)  # fmt: skip
"""They change pixels at random and keep the image's size."""
SIZING = (
    "RandomResizedCrop", "RandomResizedCropAndInterpolation", "RandomCrop", "RandomCropOrPad", "RandomResize", "RandomShortestSize",
    "ScaleJitter", "RandomZoomOut", "RandomIoUCrop", "RandomPad",
)  # fmt: skip
"""They give the image its size, at random."""
OF_OTHERS = ("RandomApply", "RandomChoice", "RandomOrder")
SEVERAL = ("FiveCrop", "TenCrop")
SHARE = 0.875
"""Of the shorter side, what the usual evaluation keeps: 224 of 256."""


def left_out(transform: Any) -> tuple[Note, ...]:
    """The note that ``transform`` is left out, because it changes pixels in training alone; DataError where it cannot be."""
    name, shown = type(transform).__name__, " ".join(repr(transform).split())[:120]
    if name in SIZING:
        raise DataError(f"{shown} gives an image its size at random, as in training; for a deployment write {_evaluation(transform)}")
    if name in SEVERAL:
        raise DataError(f"{shown} makes several images of one, whose answers are averaged; write CenterCrop({_size(transform)}) instead")
    if name == "Lambda":
        raise DataError(
            f"{where_written(transform)} is code of yours, which is not run in a server; write what it does as steps of a TOML file "
            "(docs/preprocessing.md), and name that in its place"
        )
    if name in OF_OTHERS:
        if getattr(transform, "p", None) == 1 or not all(type(one).__name__ in AUGMENTING for one in transform.transforms):
            raise DataError(f"{shown} holds more than random changes of training; leave out of the list what an evaluation does not do")
    elif name not in AUGMENTING:
        raise DataError(f"{shown} is a transform that no step carries out; write the steps as a TOML file (docs/preprocessing.md)")
    elif _always(transform):
        raise DataError(f"{shown} changes every image in the same way and is not an augmentation, and no step carries it out")
    return (Note(f"{shown} was left out: it changes pixels at random, in training alone"),)


def _always(transform: Any) -> bool:
    """Whether a transform of a random kind has values by which nothing is random."""
    if getattr(transform, "p", None) == 1 and type(transform).__name__ not in ("RandomPerspective", "RandomErasing"):
        return True
    spans = {"GaussianBlur": "sigma", "RandomRotation": "degrees", "JPEG": "quality"}
    span = getattr(transform, spans.get(type(transform).__name__, ""), None)
    return isinstance(span, tuple | list) and len(span) == 2 and span[0] == span[1] and bool(span[0])


def _evaluation(transform: Any) -> str:
    size = _size(transform)
    shown = size if len(set(size)) > 1 else size[0]
    if type(transform).__name__.startswith("RandomResizedCrop") and size:
        larger = [round(side / SHARE) for side in size]
        return f"what you evaluated with, Resize({larger if len(set(size)) > 1 else larger[0]}) and CenterCrop({shown}) for example"
    if type(transform).__name__.startswith("RandomCrop"):
        return f"CenterCrop({shown}), or nothing where every image has that size already"
    return f"what you evaluated with, Resize({shown}) for example"


def _size(transform: Any) -> tuple[int, ...]:
    for name in ("size", "target_size", "max_size", "min_size", "input_size"):
        found = getattr(transform, name, None)
        if isinstance(found, int):
            return (found, found)
        if isinstance(found, tuple | list) and found and all(isinstance(side, int) for side in found):
            return tuple(found[-2:]) if len(found) > 1 else (found[0], found[0])
    return (224, 224)
