"""Steps that change the size of an image: resize, letterbox and crops; a size is two whole numbers, known when the image comes."""

from __future__ import annotations

from typing import Any

from roadworthy.build.export._tensorflow.images import resampling
from roadworthy.frameworks.tensorflow import framework
from roadworthy.preprocess.resampling import Kernel
from roadworthy.preprocess.steps import Crop, CropFraction, CropToAspect, Letterbox, Resize
from roadworthy.preprocess.steps.base import pair

Size = tuple[Any, Any]


def resized(step: Resize, pixels: Any) -> Any:
    """See ``steps.Resize`` and ``pixels.resized_size``."""
    return resampling.resize(pixels, _resized_size(step, _size(pixels)), step.kernel)


def _resized_size(step: Resize, size: Size) -> Size:
    tf = framework.framework()
    if isinstance(step.size, tuple):
        return step.size
    height, width = size
    short_side, long_side = tf.minimum(height, width), tf.maximum(height, width)
    short, long = short_side, long_side
    if step.size is not None:
        short, long = tf.constant(step.size), tf.cast(_ratio(step.size * long_side, short_side), tf.int32)
    if step.longest is not None:
        limited = tf.maximum(1, tf.cast(_ratio(step.longest * short, long), tf.int32))
        over = long > step.longest if step.size is not None else tf.constant(True)
        short, long = tf.where(over, limited, short), tf.where(over, step.longest, long)
    upright = width <= height
    return tf.where(upright, long, short), tf.where(upright, short, long)


def letterboxed(step: Letterbox, pixels: Any) -> Any:
    """See ``steps.Letterbox``; with a size that does not follow from the image's."""
    tf = framework.framework()
    size, inside = _size(pixels), pair(step.size)
    ratio = tf.minimum(*(_ratio(whole, side) for whole, side in zip(inside, size, strict=True)))
    ratio = ratio if step.scale_up else tf.minimum(ratio, 1.0)
    fitted = [tf.maximum(1, tf.cast(tf.round(tf.cast(side, tf.float64) * ratio), tf.int32)) for side in size]
    kernel = Kernel(step.filter, step.antialias, like="pillow" if step.antialias else "opencv")
    scaled = resampling.resize(pixels, (fitted[0], fitted[1]), kernel)
    before = [(whole - part) // 2 if step.centered else 0 for whole, part in zip(inside, fitted, strict=True)]
    margins = [(first, whole - part - first) for first, whole, part in zip(before, inside, fitted, strict=True)]
    return tf.pad(scaled, [*margins, (0, 0)], constant_values=tf.cast(step.value, scaled.dtype))


def cropped(step: Crop, pixels: Any) -> Any:
    """See ``steps.Crop``."""
    tf = framework.framework()
    wanted, size = pair(step.size), _size(pixels)
    spans = [_span(side, crop, step.rounding) for side, crop in zip(size, wanted, strict=True)]
    if step.larger == "pad":
        return _cut(pixels, spans, wanted)
    whole = tf.logical_and(size[0] >= wanted[0], size[1] >= wanted[1])

    def smaller() -> Any:
        return resampling.resize(_aspect(pixels, wanted), wanted, Kernel(antialias=False, rounded=False))

    return tf.cond(whole, lambda: tf.cast(_cut(pixels, spans, wanted), tf.float32), smaller)


def cropped_by_fraction(step: CropFraction, pixels: Any) -> Any:
    """See ``pixels.fraction_crop``."""
    tf = framework.framework()
    height, width = _size(pixels)
    sides = [tf.cast(side, tf.float64) for side in (height, width)]
    top, left = (tf.cast((side - side * step.fraction) / 2, tf.int32) for side in sides)
    return pixels[top : height - top, left : width - left]


def cropped_to_aspect(step: CropToAspect, pixels: Any) -> Any:
    """See ``pixels.aspect_crop``."""
    return _aspect(pixels, pair(step.size))


def _aspect(pixels: Any, wanted: tuple[int, int]) -> Any:
    tf = framework.framework()
    size = _size(pixels)

    def limited(side: int, other: int) -> Any:
        wide = tf.cast(size[other] * wanted[side], tf.float32) / tf.cast(wanted[other], tf.float32)
        return tf.maximum(1, tf.minimum(size[side], tf.cast(wide, tf.int32)))

    height, width = limited(0, 1), limited(1, 0)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _span(length: Any, wanted: int, rounding: str) -> Any:
    """Where a centre crop begins; below 0 where the image is smaller (see ``preprocess.geometry``)."""
    tf = framework.framework()
    margin = length - wanted
    inside = tf.cast(tf.round(tf.cast(margin, tf.float64) / 2), tf.int32) if rounding == "even" else tf.math.floordiv(margin, 2)
    return inside if rounding == "floor" else tf.where(margin < 0, -tf.math.floordiv(-margin, 2), inside)


def _cut(pixels: Any, starts: list[Any], wanted: tuple[int, int]) -> Any:
    """The part of ``pixels`` at ``starts``; what lies past the image is zero."""
    tf = framework.framework()
    before = [tf.maximum(0, -start) for start in starts]
    behind = [tf.maximum(0, start + size - side) for start, size, side in zip(starts, wanted, _size(pixels), strict=True)]
    wide = tf.pad(pixels, [(before[0], behind[0]), (before[1], behind[1]), (0, 0)])
    top, left = (start + more for start, more in zip(starts, before, strict=True))
    return wide[top : top + wanted[0], left : left + wanted[1]]


def _size(pixels: Any) -> Size:
    height, width = framework.framework().unstack(framework.framework().shape(pixels)[:2])
    return height, width


def _ratio(one: Any, other: Any) -> Any:
    tf = framework.framework()
    return tf.cast(one, tf.float64) / tf.cast(other, tf.float64)
