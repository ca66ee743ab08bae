"""A Keras network for the digits, one that lost a part of what it learned, and one of another build; for child processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array


@dataclass(frozen=True)
class Making:
    """The arguments of ``make``: where the models go, and which Keras makes them."""

    folder: Path
    reader: Literal["keras", "tf_keras"]


@dataclass(frozen=True)
class Made:
    """The original, a student with a convolution that lost what it learned, and one of another build; all end in a softmax."""

    original: Path
    damaged: Path
    other: Path


def make(making: Making) -> Made:
    """Train an original on the digits, and damage a copy."""
    from roadworthy.frameworks.tensorflow import keras_model
    from roadworthy.frameworks.tensorflow.keras_model import KerasCall, Original

    keras = keras_model.package(making.reader)
    keras.utils.set_random_seed(0)
    k = keras.layers

    def network(width: int, last: str | None = "softmax") -> Any:
        return keras.Sequential([
            keras.Input((8, 8, 1), name="image"),
            k.Conv2D(width, 3, padding="same", name="first"), k.BatchNormalization(momentum=0.8, name="norm"), k.ReLU(),
            k.Conv2D(2 * width, 3, padding="same", name="second"), k.BatchNormalization(momentum=0.8), k.ReLU(),
            k.MaxPooling2D(), k.Flatten(), k.Dropout(0.3), k.Dense(10, activation=last, name="scores"),
        ])  # fmt: skip

    images, classes = digits()
    model = network(8)
    model.compile(optimizer=keras.optimizers.Adam(5e-3), loss="sparse_categorical_crossentropy")
    model.fit(images[:1200], classes[:1200], epochs=6, batch_size=64, verbose=0)

    def kept(model: Any, name: str) -> Path:
        folder = making.folder / name
        folder.mkdir()
        call = KerasCall("graph", ("image",), outputs=("scores",))
        keras_model.save(folder, Original(making.reader, keras_model.MODEL["zip"], call), {}, model.save)
        return folder

    original = kept(model, "original")
    second = model.get_layer("second")
    second.set_weights([np.random.default_rng(0).standard_normal(one.shape) * 0.1 for one in second.get_weights()])
    model.get_layer("first").trainable = False
    return Made(original, kept(model, "damaged"), kept(network(4, None), "other"))


def digits() -> tuple[Array, Array]:
    """scikit-learn's 1,797 handwritten digits: float32 [n, 8, 8, 1] in 0..1, and int64 classes."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return (data.images / 16).astype(np.float32)[..., None], data.target.astype(np.int64)


@dataclass(frozen=True)
class Asked:
    """The arguments of ``look_at``: a directory of a Keras model, and samples."""

    path: Path
    samples: SampleSet


@dataclass(frozen=True)
class Seen:
    """A saved model's classes, which layers learn, the momentum of its normalisation, and the first weight of its first layer."""

    classes: tuple[int, ...]
    trainable: tuple[bool, ...]
    momentum: float
    weight: float


def look_at(asked: Asked) -> Seen:
    """What is in the directory, and what it answers."""
    from roadworthy.frameworks.tensorflow import keras_model

    model = keras_model.load(asked.path)
    classes = model.answer(asked.samples.feeds(0, asked.samples.count))["scores"].argmax(1)
    layers = model.model.layers
    first = model.model.get_layer("first").get_weights()[0]
    return Seen(
        tuple(classes.tolist()), tuple(one.trainable for one in layers), model.model.get_layer("norm").momentum, float(first.flat[0])
    )
