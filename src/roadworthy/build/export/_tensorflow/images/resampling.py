"""Resizes: by TensorFlow's own kernels where they are TensorFlow's, else by two products with matrices of weights.

The weights are those of ``preprocess.resampling.weights``, in float64, for sizes that are known when an image comes.
"""

from __future__ import annotations

import math
from typing import Any

from roadworthy.build.export._tensorflow.images import opencv
from roadworthy.frameworks.tensorflow import framework
from roadworthy.preprocess.resampling import Centers, Filter, Kernel
from roadworthy.preprocess.resampling.floats import CUBIC
from roadworthy.preprocess.resampling.integers import TORCH_BITS
from roadworthy.preprocess.resampling.weights import SUPPORT

METHODS = {"bilinear": "bilinear", "bicubic": "bicubic", "lanczos": "lanczos3"}
"""TensorFlow's own kernels with antialias, by our names of the filters."""
PILLOW_BITS = 22
"""Pillow's weights are multiples of 2 to the power of minus this."""
HALF = 2.0**11


def resize(pixels: Any, to: tuple[Any, Any], how: Kernel) -> Any:
    """``pixels`` [H,W,C] at the size ``to``: uint8 where ``how`` is rounded and they are uint8 themselves, else float32."""
    tf = framework.framework()
    rounded = how.rounded and pixels.dtype == tf.uint8
    if how.filter == "nearest":
        taken = _nearest(pixels, to, how)
        return taken if rounded else tf.cast(taken, tf.float32)
    if _of_tensorflow(how):
        found = _by_tensorflow(tf.cast(pixels, tf.float32), to, how)
        return _levels(found) if rounded else found
    if rounded and how.like == "opencv" and how.filter == "bilinear":
        return opencv.resize(pixels, to)
    if rounded and how.like == "pillow" and how.antialias:
        height, width = tf.unstack(tf.shape(pixels)[:2])
        # Since version 13 Pillow begins with the rows where the height loses more than twice as many pixels as the width.
        rows_first = tf.logical_and(to[0] < height, height - to[0] > 2 * (width - to[1]))
        return tf.cond(rows_first, lambda: _along(pixels, to, how, (0, 1), rounded), lambda: _along(pixels, to, how, (1, 0), rounded))
    return _along(pixels, to, how, (1, 0), rounded)


def _along(pixels: Any, to: tuple[Any, Any], how: Kernel, axes: tuple[int, int], rounded: bool) -> Any:
    """``resize`` by weighted sums along one axis after the other."""
    tf = framework.framework()
    for axis in axes:
        weights = _weights(tf.shape(pixels)[axis], tf.convert_to_tensor(to[axis]), how)
        whole = rounded and (how.antialias or how.like == "torch")
        pixels = _summed_whole(pixels, weights, axis, how) if whole else _summed(pixels, weights, axis)
    return _levels(pixels) if rounded and pixels.dtype != tf.uint8 else pixels


def _summed(pixels: Any, weights: Any, axis: int) -> Any:
    """The weighted sums along ``axis``, float32."""
    tf = framework.framework()
    product = "xw,hwc->hxc" if axis == 1 else "yh,hwc->ywc"
    return tf.einsum(product, tf.cast(weights, tf.float32), tf.cast(pixels, tf.float32))


def _summed_whole(pixels: Any, weights: Any, axis: int, how: Kernel) -> Any:
    """The same in whole numbers, as Pillow and torch have it for uint8: weights of so many bits, halves rounded up; uint8.

    Each weight is the sum of two numbers of few bits: products and sums of these are exact in float32.
    """
    tf = framework.framework()
    bits = tf.constant(PILLOW_BITS, tf.float64) if how.like == "pillow" else _torch_bits(tf.reduce_max(weights))
    scaled = weights * 2**bits
    whole = tf.sign(scaled) * tf.floor(tf.abs(scaled) + 0.5)
    upper = tf.round(whole / HALF)
    sums = tf.cast(_summed(pixels, upper, axis), tf.float64) * HALF + tf.cast(_summed(pixels, whole - upper * HALF, axis), tf.float64)
    return tf.cast(tf.clip_by_value(tf.floor(sums / 2**bits + 0.5), 0, 255), tf.uint8)


def _torch_bits(most: Any) -> Any:
    """The bits that torch gives its weights, of which ``most`` is the largest: 16-bit numbers hold them."""
    tf = framework.framework()
    bits = tf.range(1, TORCH_BITS + 1, dtype=tf.float64)
    return tf.reduce_sum(tf.cast(tf.floor(0.5 + most * 2**bits) < 2**15, tf.float64))


def _of_tensorflow(how: Kernel) -> bool:
    if how.antialias:
        return how.like == "tf" and how.filter in METHODS
    return how.like == "tf" or (how.like == "pillow" and how.filter == "bilinear")


def _by_tensorflow(pixels: Any, to: tuple[Any, Any], how: Kernel) -> Any:
    tf = framework.framework()
    size = tf.stack(to)
    if how.antialias:
        return tf.image.resize(pixels, size, METHODS[how.filter], antialias=True)
    kernel = tf.raw_ops.ResizeBicubic if how.filter == "bicubic" else tf.raw_ops.ResizeBilinear
    places = {"align_corners": how.centers == "aligned", "half_pixel_centers": how.centers == "half"}
    return kernel(images=pixels[None], size=size, **places)[0]


def _levels(values: Any) -> Any:
    tf = framework.framework()
    return tf.cast(tf.round(tf.clip_by_value(values, 0.0, 255.0)), tf.uint8)


def _nearest(pixels: Any, to: tuple[Any, Any], how: Kernel) -> Any:
    """The rules of ``weights.nearest``."""
    tf = framework.framework()
    for axis, length in enumerate(to):
        size = tf.shape(pixels)[axis]
        places, ratio = tf.cast(tf.range(length), tf.float32), tf.cast(size, tf.float32) / tf.cast(length, tf.float32)
        if how.centers == "aligned":
            steps = tf.cast(tf.cast(size - 1, tf.float64) / tf.cast(tf.maximum(length - 1, 1), tf.float64), tf.float32)
            found = tf.where(tf.equal(length, 1), tf.floor(places * ratio), tf.floor(places * steps + 0.5))
        elif how.centers == "half" and how.like == "pillow" and how.rounded:
            # Pillow adds the ratio up, in float64: where a centre falls between two pixels, the error of the sum decides.
            ratio = tf.cast(size, tf.float64) / tf.cast(length, tf.float64)
            found = tf.floor(tf.cumsum(tf.concat([[ratio * 0.5], tf.fill([length - 1], ratio)], 0)))
        elif how.centers == "half" and how.like in ("pillow", "tf"):
            found = tf.floor((places + 0.5) * ratio)
        elif how.like == "opencv":
            scale = 1 / (tf.cast(length, tf.float64) / tf.cast(size, tf.float64))
            found = tf.floor(tf.cast(tf.range(length), tf.float64) * scale)
        else:
            found = tf.floor(places * ratio)
        pixels = tf.gather(pixels, tf.clip_by_value(tf.cast(found, tf.int32), 0, size - 1), axis=axis)
    return pixels


def _weights(size: Any, length: Any, how: Kernel) -> Any:
    """The weights [new pixels, old pixels] along one axis, float64."""
    return _antialiased(size, length, how.filter) if how.antialias else _between(size, length, how.centers, how.filter == "bicubic")


def _antialiased(size: Any, length: Any, filter: Filter) -> Any:
    tf = framework.framework()
    ratio = tf.cast(size, tf.float64) / tf.cast(length, tf.float64)
    widened = tf.maximum(ratio, 1)
    support = SUPPORT[filter] * widened
    centers = ((tf.cast(tf.range(length), tf.float64) + 0.5) * ratio)[:, None]
    first, last = (tf.cast(tf.cast(centers + reach + 0.5, tf.int32), tf.float64) for reach in (-support, support))
    places = tf.cast(tf.range(size), tf.float64)[None]
    weights = _filter(filter, tf.abs(places - centers + 0.5) / widened)
    weights = tf.where(tf.logical_and(places >= first, places < last), weights, 0)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def _filter(name: Filter, distances: Any) -> Any:
    """The height of the filter at ``distances`` from its centre, none of which is negative."""
    tf = framework.framework()
    match name:
        case "bilinear":
            return tf.maximum(1 - distances, 0)
        case "bicubic":
            return _keys(distances, -0.5)
        case "hamming":
            return tf.where(distances < 1, _sinc(distances) * (0.54 + 0.46 * tf.cos(math.pi * distances)), 0)
        case _:
            return tf.where(distances < 3, _sinc(distances) * _sinc(distances / 3), 0)


def _sinc(distances: Any) -> Any:
    tf = framework.framework()
    angles = math.pi * tf.where(tf.equal(distances, 0), tf.constant(1e-20, tf.float64), distances)
    return tf.sin(angles) / angles


def _keys(distances: Any, a: float) -> Any:
    """Keys' kernel (1981)."""
    tf = framework.framework()
    near = ((a + 2) * distances - (a + 3)) * distances * distances + 1
    far = ((a * distances - 5 * a) * distances + 8 * a) * distances - 4 * a
    return tf.where(distances <= 1, near, tf.where(distances < 2, far, 0))


def _between(size: Any, length: Any, centers: Centers, cubic: bool) -> Any:
    """The two nearest pixels, or four by Keys' kernel; pixels at the edge repeat."""
    tf = framework.framework()
    places, ratio = tf.cast(tf.range(length), tf.float64), tf.cast(size, tf.float64) / tf.cast(length, tf.float64)
    if centers == "aligned":
        where = places * tf.cast(size - 1, tf.float64) / tf.cast(tf.maximum(length - 1, 1), tf.float64)
    else:
        where = places * ratio if centers == "corner" else (places + 0.5) * ratio - 0.5
    if not cubic:
        where = tf.clip_by_value(where, 0, tf.cast(size - 1, tf.float64))
    first = tf.floor(where)
    made = tf.zeros([length, size], tf.float64)
    for tap in range(-1, 3) if cubic else range(2):
        distance = tf.abs(where - first - tap)
        weights = _keys(distance, CUBIC) if cubic else 1 - distance
        index = tf.clip_by_value(tf.cast(first, tf.int32) + tap, 0, size - 1)
        made += tf.one_hot(index, size, dtype=tf.float64) * weights[:, None]
    return made
