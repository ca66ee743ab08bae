"""OpenCV's bilinear resize of uint8 pixels in whole numbers, as ``preprocess.resampling.integers.as_opencv`` has it."""

from __future__ import annotations

from typing import Any

from roadworthy.frameworks.tensorflow import framework
from roadworthy.preprocess.resampling.integers import OPENCV_BITS

Taps = tuple[tuple[Any, Any], tuple[Any, Any]]
"""Two old pixels for each new one, each as its index and its weight in whole numbers."""


def resize(pixels: Any, to: tuple[Any, Any]) -> Any:
    """uint8 ``pixels`` [H,W,C] at the size ``to``."""
    tf = framework.framework()
    columns, rows = (_taps(tf.shape(pixels)[axis], tf.convert_to_tensor(to[axis]), clipped=axis == 1) for axis in (1, 0))
    whole = tf.cast(pixels, tf.int32)
    left, right = (tf.gather(whole, index, axis=1) * weight[:, None] for index, weight in columns)
    across = _shifted(left + right, 4)
    above, below = (_shifted(tf.gather(across, index, axis=0) * weight[:, None, None], 16) for index, weight in rows)
    return tf.cast(_shifted(above + below + 2, 2), tf.uint8)


def _shifted(values: Any, bits: int) -> Any:
    return framework.framework().bitwise.right_shift(values, bits)


def _taps(size: Any, length: Any, *, clipped: bool) -> Taps:
    """Positions are computed in float64 and rounded to float32; those of rows are not kept inside the image."""
    tf = framework.framework()
    ratio = tf.cast(size, tf.float64) / tf.cast(length, tf.float64)
    where = tf.cast((tf.cast(tf.range(length), tf.float64) + 0.5) * ratio - 0.5, tf.float32)
    if clipped:
        where = tf.clip_by_value(where, 0, tf.cast(size - 1, tf.float32))
    first = tf.floor(where)
    part, scale = where - first, float(1 << OPENCV_BITS)
    index = tf.cast(first, tf.int32)
    near, far = (tf.clip_by_value(index + tap, 0, size - 1) for tap in range(2))
    return (near, tf.cast(tf.round((1 - part) * scale), tf.int32)), (far, tf.cast(tf.round(part * scale), tf.int32))
