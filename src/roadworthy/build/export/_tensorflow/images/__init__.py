"""The steps from an encoded image to a sample as TensorFlow operations, for a signature that takes the bytes of image files.

Sizes are known when an image comes, so every step computes with sizes that are tensors. What TensorFlow has itself, it does; the other
resizes are two products with matrices of the weights that ``preprocess.resampling`` states, so that pixels agree within one level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from roadworthy.build.export._tensorflow.images import geometry, pixels
from roadworthy.core.errors import StepFailed
from roadworthy.frameworks.tensorflow import framework
from roadworthy.preprocess.contract import Contract
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


def function_of(contract: Contract) -> Callable[[Any], Any]:
    """A function from the bytes of image files (string [batch]) to samples [batch, ...]; a JPEG or PNG file each.

    Raises StepFailed, with the step in words, for what TensorFlow's operations cannot do.
    """
    tf = framework.framework()
    if (reason := lacking(contract)) is not None:
        raise StepFailed(reason)
    shape = contract.sample_shape()
    spec = tf.TensorSpec(shape.axes, tf.as_dtype(shape.dtype))

    def one(content: Any) -> Any:
        found = content
        for step in contract.image:
            found = _applied(step, found)
        return tf.ensure_shape(found, shape.axes)

    return lambda contents: tf.map_fn(one, contents, fn_output_signature=spec)


def lacking(contract: Contract) -> str | None:
    """In words, the step that TensorFlow's operations cannot do; ``None`` where they do all."""
    for step in contract.image:
        if isinstance(step, Decode) and step.orient:
            return f"the step {step.describe()!r}: TensorFlow reads no EXIF data"
        if isinstance(step, Resize | Letterbox) and step.filter == "box":
            return f"the step {step.describe()!r}: the last bit of a position decides where a box filter ends, and TensorFlow's differ"
    shape = contract.sample_shape()
    if None in shape.axes:
        return f"its samples are {shape}: images of several sizes cannot be one batch; state a size in the last resize or crop"
    return None


def _applied(step: Step, found: Any) -> Any:
    match step:
        case Decode():
            return pixels.decoded(step, found)
        case Grey():
            return pixels.grey(step, found)
        case ReverseChannels():
            return found[:, :, ::-1]
        case ChannelsFirst():
            return framework.framework().transpose(found, [2, 0, 1])
        case Normalize():
            return pixels.normalised(step, found)
        case Resize():
            return geometry.resized(step, found)
        case Letterbox():
            return geometry.letterboxed(step, found)
        case Crop():
            return geometry.cropped(step, found)
        case CropFraction():
            return geometry.cropped_by_fraction(step, found)
        case CropToAspect():
            return geometry.cropped_to_aspect(step, found)
