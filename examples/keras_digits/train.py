"""Train a small Keras CNN on scikit-learn's digits in seconds and save it as Keras does: one ``.keras`` file.

``python examples/keras_digits/train.py OUT`` writes ``OUT/digits.keras`` and ``OUT/images/<digit>/*.png``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "digits"))

import keras
from images import training_digits, write_images
from keras import layers


def digits_net() -> keras.Model:
    """Input ``image`` [n, 8, 8, 1] in 0..255, output ``digit`` [n, 10], probabilities."""
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Rescaling(1 / 255)(image)
    for width in (32, 64):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
        x = layers.MaxPool2D()(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x), name="digits")


def train(epochs: int = 15) -> keras.Model:
    """The network trained on the first half of the digits."""
    keras.utils.set_random_seed(0)
    pixels, classes = training_digits()
    model = digits_net()
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    model.fit(pixels[..., None] * 255 / 16, classes, batch_size=64, epochs=epochs, verbose=0)
    return model


def main(out: Path) -> None:
    model = train()
    out.mkdir(parents=True, exist_ok=True)
    model.save(out / "digits.keras")
    write_images(out / "images")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
