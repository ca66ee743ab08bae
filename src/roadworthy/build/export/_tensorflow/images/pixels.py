"""Steps that leave every pixel in its place: decoding, grey, normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from roadworthy.frameworks.tensorflow import framework
from roadworthy.preprocess.steps import Decode, Grey, Normalize

PNG_GREY_16 = b"\x10\x00"
"""The bytes of a PNG file that state 16 bits a sample and grey without transparency; they are at this place of it:"""
PNG_KIND = 24
LUMINANCE = (19595, 38470, 7471)
"""ITU-R 601-2 in 65536ths, as Pillow has it."""
SINGLE = (0.2989, 0.587, 0.114)
"""The same as torchvision has it for tensors."""


def decoded(step: Decode, content: Any) -> Any:
    """The bytes of a JPEG or PNG file as uint8 [height, width, channels]; transparency is dropped, as Pillow does in training.

    TensorFlow's default for JPEG is a faster inverse transform whose pixels differ by several levels; this one has those of Pillow.
    """
    tf = framework.framework()

    def usual() -> Any:
        return tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")

    found = usual()
    if step.deep == "clip":
        deep = tf.equal(tf.strings.substr(tf.strings.join([content, "\0" * (PNG_KIND + 2)]), PNG_KIND, 2), PNG_GREY_16)
        png = tf.equal(tf.strings.substr(tf.strings.join([content, "\0" * 8]), 0, 4), b"\x89PNG")
        found = tf.cond(tf.logical_and(deep, png), lambda: _cut_off(content), usual)
    height, width = tf.unstack(tf.shape(found)[:2])
    enough = tf.debugging.Assert(
        height <= step.pixel_limit // tf.maximum(width, 1), [f"the image has more pixels than the limit of {step.pixel_limit}"]
    )
    with tf.control_dependencies([enough]):
        found = tf.identity(found)
    return _luminance(found) if step.color == "L" else found


def _cut_off(content: Any) -> Any:
    """A grey PNG of 16 bits a pixel, values above 255 as 255."""
    tf = framework.framework()
    deep = tf.io.decode_png(content, channels=1, dtype=tf.uint16)
    return tf.repeat(tf.cast(tf.minimum(tf.cast(deep, tf.int32), 255), tf.uint8), 3, axis=2)


def _luminance(found: Any) -> Any:
    tf = framework.framework()
    sums = tf.reduce_sum(tf.cast(found, tf.int32) * tf.constant(LUMINANCE), axis=2, keepdims=True)
    return tf.cast(tf.bitwise.right_shift(sums + 0x8000, 16), tf.uint8)


def grey(step: Grey, found: Any) -> Any:
    """One channel, or three equal ones; see ``steps.Grey``."""
    tf = framework.framework()
    if found.shape[2] != 1:
        if step.like == "pillow":
            found = _luminance(found)
        else:
            red, green, blue = tf.unstack(tf.cast(found, tf.float32), axis=2)
            found = tf.cast(red * SINGLE[0] + green * SINGLE[1] + blue * SINGLE[2], tf.uint8)[:, :, None]
    return found if step.channels == 1 else tf.repeat(found, step.channels, axis=2)


def normalised(step: Normalize, found: Any) -> Any:
    """``(p * scale - mean) / std`` in the order of the step's arithmetic; see ``steps.Normalize``."""
    tf = framework.framework()
    shape = (-1, 1, 1) if step.axis == 0 else (-1,)
    mean, std = (np.array(values, np.float64).reshape(shape) for values in (step.mean, step.std))
    if step.arithmetic == "fused":
        made = tf.cast(found, tf.float32) * (step.scale / std).astype(np.float32) + (-mean / std).astype(np.float32)
    else:
        made = (_scaled(step, found) - mean.astype(np.float32)) / std.astype(np.float32)
    return made if step.dtype == "float32" else tf.cast(tf.clip_by_value(tf.round(made), -128, 127), tf.int8)


def _scaled(step: Normalize, found: Any) -> Any:
    tf = framework.framework()
    if step.arithmetic == "numpy":
        return tf.cast(tf.cast(found, tf.float64) * step.scale, tf.float32)
    if (divisor := step.divisor) is not None:
        return tf.cast(found, tf.float32) / np.float32(divisor)
    return tf.cast(found, tf.float32) * np.float32(step.scale)
