"""The networks that are deployed by hand: each as the person who trained it has it, with its samples as arrays and their labels.

Nothing here uses Roadworthy. ``load(NAME, REAL)`` imports the network's own framework.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HERE = Path(__file__).resolve().parent
CALIBRATION = 200
"""The first samples calibrate; the others are those that every plan is scored on."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Original:
    """``model`` is a PyTorch module in inference mode, or a Keras model or SavedModel signature; ``call`` answers one array.

    ``x`` are the samples as the network takes them, ``y`` their classes; without labels plans are scored by their error.
    """

    framework: str
    model: Any
    call: Callable[[Array], Array]
    x: Array
    y: Array | None


def load(name: str, real: Path) -> Original:
    """The network of that name."""
    return NETWORKS[name](real)


def images(folder: Path) -> tuple[Array, Array]:
    """RGB pixels 0..255 [n, height, width, 3] and classes [n] of a folder of class folders, in random order."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    found = [(path, label) for label, one in enumerate(classes) for path in sorted(one.iterdir())]
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in found])
    order = np.random.default_rng(0).permutation(len(found))
    return pixels[order], np.array([label for _, label in found])[order]


def of_torch(module: Any, x: Array, y: Array | None) -> Original:
    """A PyTorch module with its samples."""
    import torch

    module = module.eval()

    def call(batch: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(module(torch.from_numpy(batch)).numpy())

    return Original("torch", module, call, x, y)


def of_keras(model: Any, x: Array, y: Array | None) -> Original:
    """A Keras model with its samples."""
    return Original("keras", model, lambda batch: np.asarray(model(batch, training=False)), x, y)


def resnet20(real: Path) -> Original:
    """A real CIFAR ResNet-20 checkpoint."""
    sys.path.insert(0, str(HERE.parent.parent / "examples"))
    import torch
    from cifar_resnet import resnet20 as build

    module = build()
    state = torch.load(real / "models" / "cifar10_resnet20.th", map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict({name.removeprefix("module."): value for name, value in state.items()})
    pixels, y = images(real / "cifar10")
    x = (pixels / 255.0 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    return of_torch(module, np.ascontiguousarray(x.transpose(0, 3, 1, 2), np.float32), y)


def random_torch(builder: str) -> Callable[[Path], Original]:
    """A network of ``networks.py`` with random weights, on noise."""

    def network(real: Path) -> Original:
        sys.path.insert(0, str(HERE.parent))
        import networks

        x = np.random.default_rng(0).standard_normal((CALIBRATION + 56, 3, 224, 224), np.float32)
        return of_torch(getattr(networks, builder)(), x, None)

    return network


def resnet8(real: Path) -> Original:
    """A real Keras HDF5 file: CIFAR ResNet-8, pixels as they are."""
    pixels, y = images(real / "cifar10")
    return of_keras(_keras().models.load_model(real / "models" / "cifar10_resnet8.h5", compile=False), np.float32(pixels), y)


def kws(real: Path) -> Original:
    """A real SavedModel of TensorFlow 2: keyword spotting from MFCCs."""
    _keras()
    import tensorflow as tf

    loaded = tf.saved_model.load(str(real / "models" / "keyword_spotting_saved_model"))
    function = loaded.signatures["serving_default"]
    (name,) = function.structured_input_signature[1]
    x, y = np.float32(np.load(real / "kws-mfcc" / "mfcc_f32.npy")), np.load(real / "kws-mfcc" / "labels.npy")

    def call(batch: Array) -> Array:
        return np.asarray(next(iter(function(**{name: tf.constant(batch)}).values())))

    order = np.random.default_rng(0).permutation(len(x))
    return Original("saved_model", loaded, call, x[order], y[order])


def mobilenetv2(real: Path) -> Original:
    """Keras's own MobileNetV2 with random weights, on noise."""
    keras = _keras()
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((CALIBRATION + 56, 224, 224, 3), np.float32)
    return of_keras(keras.applications.MobileNetV2(weights=None, classifier_activation=None), x, None)


def _keras() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras

    return keras


NETWORKS: dict[str, Callable[[Path], Original]] = {
    "resnet20": resnet20,
    "resnet18": random_torch("resnet18"),
    "mobilenet": random_torch("mobilenet_v3_small"),
    "resnet8": resnet8,
    "kws": kws,
    "mobilenetv2": mobilenetv2,
}
