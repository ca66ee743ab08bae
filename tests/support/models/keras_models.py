"""Keras models in the forms that are found in practice, of Keras 3 and of tf-keras; small and seeded. Importing this module is cheap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

LAYERS = """
import keras
from keras import layers

class Scale(layers.Layer):
    def __init__(self, factor=1.0, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}

@keras.saving.register_keras_serializable("house")
class Shift(Scale):
    def call(self, x):
        return x + self.factor

@keras.saving.register_keras_serializable("house")
def doubled(x):
    return 2 * x

class Forgetful(Scale):
    def get_config(self):
        return layers.Layer.get_config(self)

class Classifier(keras.Model):
    def __init__(self, classes=3, **options):
        super().__init__(**options)
        self.classes, self.dense, self.drop = classes, layers.Dense(classes), layers.Dropout(0.5)

    def call(self, features, training=None):
        return {"logits": self.drop(self.dense(features), training=training)}

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}

class Noisy(Classifier):
    def call(self, features, training=None):
        return {"logits": self.drop(self.dense(features), training=True)}

class Coupled(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.norm = layers.BatchNormalization()

    def call(self, features):
        return self.norm(features, training=True)

class Unsaveable(Classifier):
    def get_config(self):
        raise NotImplementedError

class Pair(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = layers.Dense(3)

    def call(self, left, right):
        return self.dense(left) - self.dense(right), self.dense(left)

def built(kind, count=1, classes=4):
    keras.utils.set_random_seed(0)
    model = kind(classes) if issubclass(kind, Classifier) else kind()
    model(*[keras.ops.zeros((2, 5))] * count)
    return model

def classifier(classes=4):
    return built(Classifier, classes=classes)

def pair():
    return built(Pair, 2)

def unbuilt():
    return Classifier()

def custom():
    image, other = keras.Input((4,), name="image"), keras.Input((3,), name="other")
    x = layers.Dense(3, activation=doubled)(Shift(0.5)(Scale(2.0)(image)))
    return keras.Model([image, other], [layers.Add(name="sum")([x, other]), layers.Dense(2, name="head")(x)])

def forgetful():
    features = keras.Input((4,), name="features")
    return keras.Model(features, Forgetful(3.0)(features))
"""
"""A file of the user's own classes, as ``--arch`` names one."""


def keras() -> Any:
    """Keras 3, on TensorFlow."""
    from roadworthy.frameworks.tensorflow import keras_model

    return keras_model.package("keras")


def tf_keras() -> Any:
    from roadworthy.frameworks.tensorflow import keras_model

    return keras_model.package("tf_keras")


def convolutions(k: Any, *, classes: int = 3) -> Any:
    """A Sequential of either Keras: rescaled, normalised, convolved, with statistics that are not those of a fresh BatchNormalization."""
    k.utils.set_random_seed(0)
    layers = k.layers
    model = k.Sequential([
        k.Input((8, 8, 3), name="image"), layers.Rescaling(1 / 127.5, offset=-1),
        layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0]), layers.Conv2D(4, 3), layers.BatchNormalization(name="norm"),
        layers.Flatten(), layers.Dropout(0.5), layers.Dense(classes, name="scores"),
    ])  # fmt: skip
    norm = model.get_layer("norm")
    norm.set_weights([np.linspace(0.5, 2, 4), np.linspace(-1, 1, 4), np.linspace(-2, 2, 4), np.linspace(1, 3, 4)])
    return model


def two_ends(k: Any) -> Any:
    """Two inputs by key, one of a free length, and two outputs by key."""
    image, words = k.Input((4,), name="image"), k.Input((None, 3), name="words")
    x, y = k.layers.Dense(3)(image), k.layers.GlobalAveragePooling1D()(words)
    return k.Model({"image": image, "words": words}, {"sum": x + y, "score": k.layers.Dense(2)(x)})


def old_operations(path: Path) -> Path:
    """A functional model of Keras 2 with bare TensorFlow functions in it, which Keras 3 does not know."""
    import tensorflow as tf

    k = tf_keras()
    features = k.Input((6,), name="features")
    return saved(k.Model(features, tf.nn.relu(features)[:, :2] @ tf.ones((2, 3)) + 1.0), path)


def saved(model: Any, path: Path) -> Path:
    import warnings

    with warnings.catch_warnings():
        # Both say that HDF5 is the older format.
        warnings.simplefilter("ignore", UserWarning)
        model.save(path)
    return path


def feeds(signature: Any, count: int = 3, seed: int = 0) -> dict[str, Any]:
    """Noise that fits a signature's inputs."""
    generator = np.random.default_rng(seed)
    return {spec.name: generator.standard_normal((count, *spec.shape[1:])).astype(spec.dtype) for spec in signature.inputs}
