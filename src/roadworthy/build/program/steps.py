"""The steps of a contract as calls of the C++ functions in ``cpp/steps.h``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roadworthy.preprocess.contract import Contract
from roadworthy.preprocess.resampling import Kernel
from roadworthy.preprocess.steps import (
    ChannelsFirst,
    Crop,
    CropFraction,
    CropToAspect,
    Decode,
    Grey,
    Letterbox,
    Normalize,
    Resize,
    ReverseChannels,
    Step,
)
from roadworthy.preprocess.steps.base import pair

CALLED = (ChannelsFirst, Crop, CropFraction, CropToAspect, Decode, Grey, Letterbox, Normalize, Resize, ReverseChannels)
"""The steps that are there in C++."""


def lacking(contract: Contract) -> str:
    """In words, why the program cannot make samples of what the contract takes; empty where it can, and where it takes numbers alone."""
    if contract.kind not in (None, "image"):
        return f"it does not read {'texts' if contract.kind == 'text' else 'sounds'}"
    other = next((step for step in contract.image if not isinstance(step, CALLED)), None)
    return "" if other is None else f"the step {type(other).__name__} ({other.describe()}) is not there in C++"


def from_images(contract: Contract) -> bool:
    """Whether the program makes samples of images."""
    return contract.takes_images and not lacking(contract)


def calls(steps: Sequence[Step]) -> list[str]:
    """One call for each step behind the first, which decodes."""
    return [_call(step) for step in steps[1:]]


def _call(step: Step) -> str:
    match step:
        case Resize():
            return _resize(step)
        case Letterbox():
            kernel = Kernel(step.filter, step.antialias, like="pillow" if step.antialias else "opencv")
            where = f"{_size(step.size)}, {step.stride or 0}, {step.value}, {_bool(step.scale_up)}, {_bool(step.centered)}"
            return f"letterbox(picture, {where}, {_kernel(kernel)})"
        case Crop():
            return f"crop(picture, {_size(step.size)}, Rounding::{step.rounding}, {_bool(step.larger == 'resize')})"
        case CropFraction():
            return f"crop_fraction(picture, {float(step.fraction).hex()})"
        case CropToAspect():
            return f"crop_to_aspect(picture, {_size(step.size)})"
        case Grey():
            return f"grey(picture, {step.channels}, {_bool(step.like == 'torch')})"
        case ReverseChannels():
            return "reverse_channels(picture)"
        case ChannelsFirst():
            return "channels_first(picture)"
        case Normalize():
            return f"normalize(picture, {_values(step)})"
    raise ValueError(f"{type(step).__name__} cannot stand here")


def _resize(step: Resize) -> str:
    if isinstance(step.size, tuple):
        return f"resize_to(picture, {_size(step.size)}, {_kernel(step.kernel)})"
    return f"resize_side(picture, {step.size or 0}, {step.longest or 0}, {_kernel(step.kernel)})"


def _values(step: Normalize) -> str:
    """The numbers as ``preprocess/steps/values.py`` computes them, so that the last bits are the same."""
    mean, std = (np.array(values, np.float64) for values in (step.mean, step.std))
    if step.arithmetic == "fused":
        first, second = _floats(step.scale / std), _floats(-mean / std) if any(step.mean) else "{}"
        return f"{{Arithmetic::fused, 1, {first}, {second}}}"
    how, scale = (
        ("divided", step.divisor) if step.divisor is not None else ("wide" if step.arithmetic == "numpy" else "multiplied", step.scale)
    )
    first = _floats(mean) if any(step.mean) else "{}"
    second = _floats(std) if any(value != 1 for value in step.std) else "{}"
    return f"{{Arithmetic::{how}, {float(scale or 0).hex()}, {first}, {second}}}"


def _floats(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    return "{" + ", ".join(f"{float(value).hex()}f" for value in values.astype(np.float32).ravel()) + "}"


def _kernel(kernel: Kernel) -> str:
    parts = (
        f"Filter::{kernel.filter}",
        _bool(kernel.antialias),
        f"Centers::{kernel.centers}",
        _bool(kernel.rounded),
        f"Like::{kernel.like}",
    )
    return f"Kernel{{{', '.join(parts)}}}"


def _size(size: int | tuple[int, int]) -> str:
    return ", ".join(map(str, pair(size)))


def _bool(value: bool) -> str:
    return "true" if value else "false"
