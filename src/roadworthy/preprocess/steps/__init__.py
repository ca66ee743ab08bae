"""The steps by which one image becomes one sample: each is data that a bundle holds, and carries itself out.

A new step is one class in this package and its name in ``Step``. The codec tells the classes apart by their ``kind``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias, get_args

from roadworthy.core.errors import DataError
from roadworthy.preprocess.pixels import SampleShape
from roadworthy.preprocess.steps.colour import ChannelsFirst, Grey, ReverseChannels
from roadworthy.preprocess.steps.crops import Crop, CropFraction, CropToAspect
from roadworthy.preprocess.steps.decode import PILLOW_LIMIT, PIXEL_LIMIT, Decode
from roadworthy.preprocess.steps.size import Letterbox, Resize
from roadworthy.preprocess.steps.values import Normalize

__all__ = [
    "KINDS",
    "PILLOW_LIMIT",
    "PIXEL_LIMIT",
    "ChannelsFirst",
    "Crop",
    "CropFraction",
    "CropToAspect",
    "Decode",
    "Grey",
    "Letterbox",
    "Normalize",
    "Resize",
    "ReverseChannels",
    "Step",
    "check",
    "sample_shape",
    "unknown_kinds",
]

Step: TypeAlias = Decode | Resize | Letterbox | Crop | CropFraction | CropToAspect | Grey | ReverseChannels | ChannelsFirst | Normalize
KINDS: tuple[str, ...] = tuple(step.__struct_config__.tag for step in get_args(Step))
"""The ``kind`` of every step that this version knows."""


def check(steps: tuple[Step, ...]) -> None:
    """Raises DataError where a step's values make no sense or the steps do not fit each other."""
    sample_shape(steps)


def sample_shape(steps: tuple[Step, ...]) -> SampleShape:
    """The shape that the steps give in the end; raises DataError as ``check`` does."""
    if not steps or not isinstance(first := steps[0], Decode):
        raise DataError("the first step must be decode")
    for step in steps:
        step.check(first.pixel_limit)
    shape = first.decoded()
    for step in steps[1:]:
        shape = step.shape(shape)
    return shape


def unknown_kinds(kinds: Iterable[str]) -> tuple[str, ...]:
    """Those of ``kinds`` that no step of this version has."""
    return tuple(kind for kind in kinds if kind not in KINDS)
