"""The same network in Keras: written, trained, exported and served. ``benchmarks/frameworks.py`` counts the lines of each function.

``python in_tensorflow.py OUT`` trains it on scikit-learn's digits and leaves ``OUT/trained.keras`` and ``OUT/exported/`` (a SavedModel).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import digits
import keras
import numpy as np
import tensorflow as tf
from keras import layers


def build(width: int = 16, size: int = 8) -> keras.Model:
    """Two convolutions, each with a pooling, and two dense layers: input [n, size, size, 1], output [n, 10] logits."""
    return keras.Sequential(
        [
            layers.Input((size, size, 1), name="image"),
            layers.Conv2D(width, 3, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(2),
            layers.Conv2D(2 * width, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(64, activation="relu", name="dense1"),
            layers.Dense(10, name="dense2"),
        ]
    )


def train(images: np.ndarray, labels: np.ndarray, epochs: int = 40) -> keras.Model:
    """A trained network."""
    keras.utils.set_random_seed(0)
    model = build()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss)
    model.fit(images, labels, batch_size=64, epochs=epochs, verbose=0)
    return model


def export(model: keras.Model, path: Path) -> None:
    """The model as a program without its source."""
    model.export(path, verbose=False)


def serve(path: Path, images: np.ndarray) -> np.ndarray:
    """What a process that has only the exported directory answers."""
    served = tf.saved_model.load(path)
    return served.serve(images).numpy()


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    model = train(*digits.training())
    model.save(out / "trained.keras")
    export(model, out / "exported")
    images, labels = digits.held_out()
    answers = serve(out / "exported", images)
    print(f"Keras: {np.mean(answers.argmax(1) == labels):.1%} of {len(labels)} digits that it had not seen")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
