"""Preprocessing by the real Keras and TensorFlow beside ours, and files of models that prepare pixels themselves; for a child process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.preprocessing.forms import keras as form
from roadworthy.build.preprocessing.keras import applications
from roadworthy.core.errors import DataError
from roadworthy.core.types import Array
from roadworthy.preprocess.image import Preprocessor
from roadworthy.preprocess.steps import CropFraction, Decode, Normalize, Resize, Step

SIZES = ((40, 30), (31, 47), (64, 64), (17, 90), (120, 161), (5, 7), (33, 32), (1, 1))
FLOATS = Normalize(1.0, axis=2)
"""The step that makes float32 of pixels and keeps their values."""
MEAN, VARIANCE = [123.675, 116.28, 103.53], [3409.98, 3262.69, 3291.89]


@dataclass(frozen=True)
class Made:
    folder: Path


@dataclass(frozen=True)
class Compared:
    """By the name of each case: the largest difference from the library, the notes, and what was refused."""

    differences: dict[str, float] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def images() -> list[Array]:
    """Gradients with noise in one channel, of odd sizes, wide and high."""
    generator = np.random.default_rng(0)
    found = []
    for height, width in SIZES:
        rows, columns = np.mgrid[:height, :width]
        noise = generator.integers(0, 256, (height, width))
        found.append(np.stack([(columns * 7 + rows * 3) % 256, (columns * columns + rows) % 256, noise], -1).astype(np.uint8))
    return found


def compare(made: Made) -> Compared:
    """All comparisons, and the files, in one process: what takes long is the import of TensorFlow."""
    found = Compared()
    _applications(found)
    _layers(found)
    _resizes(made.folder, found)
    _files(made.folder)
    return found


def _furthest(steps: tuple[Step, ...], library: Callable[[Array], Array]) -> float:
    """The largest difference over the images; ``library`` gets float32 [1,H,W,3]."""
    prepare = Preprocessor(steps).one
    return max(float(np.abs(prepare(image) - np.asarray(library(image[None].astype(np.float32)))[0]).max()) for image in images())


def _applications(found: Compared) -> None:
    import importlib

    import tensorflow as tf
    import tf_keras

    for module in applications.MODES:
        try:
            function = importlib.import_module(f"keras.applications.{module}").preprocess_input
        except ImportError:
            function = getattr(tf_keras.applications, module).preprocess_input
        by_object, by_name = form.of_object(function, "HWC"), form.of_name(f"tf.keras.applications.{module}:preprocess_input", "HWC")
        assert by_object is not None and by_name is not None and by_object.contract == by_name.contract, module
        steps = by_object.contract.image
        arrays, tensors = _furthest(steps, function), _furthest(steps, lambda image, call=function: call(tf.constant(image)))  # type: ignore[misc]
        found.differences[f"applications {module}"] = max(arrays, tensors)


def _chains() -> Iterator[tuple[str, list[Any]]]:
    from keras import layers

    adapted = layers.Normalization()
    adapted.adapt(np.stack([images()[2]] * 2).astype(np.float32))
    yield "rescaling", [layers.Rescaling(1 / 127.5, offset=-1)]
    yield "rescaling by channel", [layers.Rescaling([0.01, 0.02, 0.03], offset=[1, 2, 3])]
    yield "normalization", [layers.Normalization(mean=MEAN, variance=VARIANCE)]
    yield "a variance of nothing", [layers.Normalization(mean=[0.0, 1.0, 2.0], variance=[0.0, 1.0, 4.0])]
    yield "adapted", [adapted]
    yield "inverted", [layers.Normalization(mean=[1.0, 2.0, 3.0], variance=VARIANCE, invert=True)]
    yield "rescaling, normalization", [layers.Rescaling(1 / 255), layers.Normalization(mean=[0.5] * 3, variance=[0.05, 0.06, 0.07])]
    yield "offset, normalization", [layers.Rescaling(1 / 127.5, -1), layers.Normalization(mean=[0.1] * 3, variance=[0.05, 0.06, 0.07])]
    yield "resizing", [layers.Resizing(20, 48)]
    yield "resizing, antialias", [layers.Resizing(20, 48, antialias=True)]
    yield "resizing, nearest", [layers.Resizing(20, 48, interpolation="nearest")]
    yield "resizing, bicubic", [layers.Resizing(20, 48, interpolation="bicubic")]
    yield "resizing, lanczos", [layers.Resizing(20, 48, interpolation="lanczos3", antialias=True)]
    yield "resizing, aspect", [layers.Resizing(20, 48, crop_to_aspect_ratio=True)]
    yield "crop, odd margins", [layers.Resizing(32, 45), layers.CenterCrop(31, 20)]
    yield "crop larger than the image", [layers.CenterCrop(64, 20)]
    yield "random", [layers.RandomFlip(), layers.Rescaling(1 / 255), layers.RandomZoom(0.1)]
    yield "scaled before resized", [layers.Rescaling(1 / 255), layers.Resizing(20, 48)]


def _refused() -> Iterator[tuple[str, Any]]:
    import keras
    from keras import layers

    yield "padding", layers.Resizing(32, 32, pad_to_aspect_ratio=True)
    yield "no kernel", layers.Resizing(32, 32, interpolation="lanczos5")
    yield "another layer", layers.Equalization()
    yield "each pixel", layers.Normalization(axis=(1, 2, 3), mean=np.zeros((2, 2, 3)), variance=np.ones((2, 2, 3)))
    yield "not adapted", layers.Normalization()
    image = keras.Input((8, 8, 3))
    yield "functional", keras.Model(image, layers.Rescaling(2.0)(image))


def _layers(found: Compared) -> None:
    import keras

    for name, layers in _chains():
        model = keras.Sequential(layers)
        of_model, of_list = form.of_object(model, "HWC"), form.of_object(layers, "HWC")
        assert of_model is not None and of_list is not None and of_model.contract == of_list.contract, name
        found.differences[name] = _furthest(of_model.contract.image, lambda image, call=model: call(image, training=False))  # type: ignore[misc]
        found.notes[name] = [note.text for note in of_model.notes]
    for name, value in _refused():
        try:
            form.of_object(value, "HWC")
        except DataError as problem:
            found.refused[name] = problem.message
    assert form.of_object(object(), "HWC") is None and form.of_object([1, 2], "HWC") is None


def _resizes(folder: Path, found: Compared) -> None:
    """TensorFlow's own functions, and Keras's readers of files, by the steps that the documentation names for them."""
    import keras
    import tensorflow as tf
    from PIL import Image

    size = (20, 48)
    plain, nearest = Resize(size, antialias=False, rounded=False, like="tf"), Resize(size, "nearest")
    corner = Resize(size, antialias=False, centers="corner", rounded=False, like="tf")

    def differ(name: str, step: Step, library: Callable[[Array], Any]) -> None:
        found.differences[name] = _furthest((Decode(), step, FLOATS), library)

    differ("tf.compat.v1.image.resize", corner, lambda image: tf.compat.v1.image.resize(image, size))
    differ("half centres for tf.compat.v1.image.resize", plain, lambda image: tf.compat.v1.image.resize(image, size))
    differ("tf.image.resize", plain, lambda image: tf.image.resize(image, size))
    differ("tf.image.central_crop", CropFraction(0.875), lambda image: tf.image.central_crop(image, 0.875))
    file = folder / "images" / "one" / "image.png"
    file.parent.mkdir(parents=True)

    def written(image: Array) -> Path:
        Image.fromarray(image[0].astype(np.uint8)).save(file)
        return file

    def dataset(image: Array) -> Array:
        written(image)
        options = {"image_size": size, "batch_size": 1, "shuffle": False, "label_mode": None, "verbose": False}
        return next(iter(keras.utils.image_dataset_from_directory(folder / "images", **options))).numpy()

    differ("load_img", nearest, lambda image: keras.utils.img_to_array(keras.utils.load_img(written(image), target_size=size))[None])
    differ("image_dataset_from_directory", plain, dataset)


def _files(folder: Path) -> None:
    """Models that prepare pixels themselves, and some that only seem to."""
    import keras
    import tensorflow as tf
    from keras import layers
    from keras.src import applications as applied

    def end(x: Any) -> Any:
        return layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(x)))

    def model(*first: Any, size: int | None = 32, **options: Any) -> Any:
        image = x = keras.Input((size, size, 3), name="image")
        for layer in first:
            x = layer(x)
        return keras.Model(image, end(x), **options)

    adapted = layers.Normalization(name="adapted")
    adapted.adapt(np.random.default_rng(0).random((4, 32, 32, 3)))
    augment = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)], name="augment")
    whole = model(augment, layers.Resizing(16, 16, name="smaller"), layers.Rescaling(1 / 255, name="to_unit"), adapted)
    only = keras.Sequential([keras.Input((None, None, 3)), layers.Resizing(20, 48), adapted, layers.RandomFlip()])
    small = {"weights": None, "input_shape": (32, 32, 3), "classes": 2}
    efficient = applied.efficientnet.EfficientNet(0.1, 0.1, 32, name="efficientnetb0", **small)
    second = applied.efficientnet_v2.EfficientNetV2(0.1, 0.1, 32, name="efficientnetv2-b0", **small)
    convnext = applied.convnext.ConvNeXt([1] * 4, [8] * 4, name="convnext_tiny", **small)
    saved = {
        "whole.keras": whole, "whole.h5": whole, "only.keras": only,
        "nested.keras": keras.Sequential([efficient]), "efficientnet_v2.keras": second, "convnext.keras": convnext,
        "mobilenet_v3.keras": keras.applications.MobileNetV3Small(alpha=0.35, minimalistic=True, **small),
        "tf.keras": model(keras.applications.mobilenet_v2.preprocess_input),
        "caffe.keras": model(keras.applications.resnet.preprocess_input),
        "batch_norm.keras": model(layers.BatchNormalization()), "signed.keras": model(layers.Rescaling(2.0, -1.0, name="to_signed")),
        "open.keras": model(layers.Resizing(16, 16, name="smaller"), layers.Rescaling(1 / 255, name="to_unit"), size=None),
        "named.keras": keras.Sequential([keras.Input((32, 32, 3)), model(name="mobilenetv2_1.00_224"), layers.Softmax()]),
        "plain.keras": model(),
    }  # fmt: skip
    for name, one in saved.items():
        one.save(folder / name)
    whole_graph = tf.lite.TFLiteConverter.from_keras_model(model(layers.Rescaling(1 / 255), layers.BatchNormalization()))
    (folder / "rescaling.tflite").write_bytes(whole_graph.convert())
    import tf_keras

    for mode, module in (("tf", tf_keras.applications.mobilenet_v2), ("caffe", tf_keras.applications.resnet)):
        image = tf_keras.Input((32, 32, 3))
        x = tf_keras.layers.Conv2D(2, 3)(module.preprocess_input(image))
        tf_keras.Model(image, tf_keras.layers.GlobalAveragePooling2D()(x)).save(folder / f"keras_2_{mode}.h5")
