"""The configuration of an old Keras 2 file, rewritten so that tf-keras 2.21 gives it the same meaning.

tf-keras reads files of Keras 2.0 to 2.3 with its own defaults for what they leave out, and ignores the backend they were written with.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from roadworthy.build.sources.keras import changed_meanings
from roadworthy.build.sources.keras.changed_meanings import where
from roadworthy.build.sources.keras.writer_version import KerasWriter
from roadworthy.build.sources.parsers import keras_config_scan
from roadworthy.core.errors import SourceError

CONVOLUTIONS = {
    "Conv1D": 1, "Conv2D": 1, "Conv3D": 1, "Conv2DTranspose": 1, "Conv3DTranspose": 1, "SeparableConv1D": 1, "SeparableConv2D": 1,
    "DepthwiseConv2D": 1, "ConvLSTM2D": 2,
}  # fmt: skip
"""Layers that slide a kernel, with how many kernels of a width each has."""
KERNEL = re.compile(r"(depthwise_|recurrent_)?kernel(_\d+)?(:0)?$")
BACKENDS = ("tensorflow", "theano", "cntk")
LIVE = "if you can load it yourself, deploy the live model from Python with roadworthy.deploy"


@dataclass(frozen=True)
class Translation:
    """``model`` is the configuration to read, ``mirrored`` how many kernels are to be mirrored; ``notes`` say what was changed.

    ``classes`` names the layers for which Roadworthy has a class.
    """

    model: Any
    notes: tuple[str, ...] = ()
    mirrored: int = 0
    classes: tuple[str, ...] = ()


def translate(model: Any, writer: KerasWriter, path: Path) -> Translation:
    """What ``writer``, a Keras 2, meant by the configuration ``model``.

    SourceError, naming the layer, where that cannot be known or done.
    """
    _refuse_backend(model, writer, path)
    _refuse_states(model, writer, path)
    notes: dict[str, None] = {}
    found = _said(model, writer, path, notes)
    classes: tuple[str, ...] = ()
    bilinear = [
        where(str(node["class_name"]), layer)
        for node, layer, _ in keras_config_scan.objects(model)
        if isinstance(node.get("config"), dict) and changed_meanings.is_bilinear(str(node["class_name"]), node["config"])
    ]
    if bilinear:
        _refuse_unknown_sampling(bilinear[0], model, writer, path)
    if bilinear and changed_meanings.old_bilinear(model, writer):
        classes = ("UpSampling2D",)
        notes[f"{', '.join(bilinear)} samples at the pixels' corners, as {writer} did"] = None
    mirrored = 0
    if writer.backend == "theano":
        mirrored = sum(CONVOLUTIONS.get(str(node["class_name"]), 0) for node, _, _ in keras_config_scan.objects(model))
        if mirrored:
            notes[f"{mirrored} kernels were mirrored: the file was written with Theano, which applies them mirrored"] = None
    return Translation(found, tuple(notes), mirrored, classes)


def mirror(path: Path, count: int) -> None:
    """Mirror the kernels in the HDF5 file at ``path``, in place; SourceError where there are not ``count`` of them."""
    with h5py.File(path, "r+") as file:
        kernels: list[Any] = []

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.ndim >= 3 and KERNEL.match(name.rpartition("/")[2]):
                kernels.append(item)

        file["model_weights"].visititems(visit)
        if len(kernels) != count:
            raise SourceError(
                f"{path} was written with Theano, which applies kernels mirrored; its layers have {count} and {len(kernels)} were found"
            )
        for kernel in kernels:
            kernel[...] = np.flip(kernel[...], tuple(range(kernel.ndim - 2)))


def objects(classes: tuple[str, ...]) -> Mapping[str, Any]:
    """Roadworthy's own layers, by their names in the configuration."""
    return {"UpSampling2D": _corner_upsampling()} if classes else {}


def refuse_weights(path: Path) -> None:
    """SourceError for kernels that Keras 2 wrote with another backend: without the layers it is not known which to mirror."""
    with h5py.File(path, "r") as file:
        version, backend = (_text(file.attrs.get(name, "")) for name in ("keras_version", "backend"))
        if not version.startswith(("1.", "2.")) or backend in ("tensorflow", ""):
            return
        wide: list[str] = []
        file.visititems(lambda name, item: wide.append(name) if isinstance(item, h5py.Dataset) and item.ndim >= 3 else None)
    if wide:
        raise SourceError(
            f"{path} holds weights that Keras 2 wrote with {backend}, which applies kernels differently from TensorFlow ({wide[0]}); "
            "save the whole model with its architecture (model.save), and deploy that file"
        )


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _said(part: Any, writer: KerasWriter, path: Path, notes: dict[str, None], layer: str = "") -> Any:
    """The configuration with its writer's defaults filled in."""
    if isinstance(part, list):
        return [_said(item, writer, path, notes, layer) for item in part]
    if not isinstance(part, dict):
        return part
    inner = part.get("config")
    kind = part.get("class_name")
    if isinstance(kind, str) and isinstance(inner, dict):
        layer = str(inner.get("name", layer))
        for name, value in _defaults(kind, inner, writer, path, layer).items():
            inner = {**inner, name: value}
            notes[f"{where(kind, layer)} does not state {name}: it is {value!r}, the default of {writer}"] = None
        part = {**part, "config": inner}
    return {key: _said(value, writer, path, notes, layer) for key, value in part.items()}


def _defaults(kind: str, inner: dict[str, Any], writer: KerasWriter, path: Path, layer: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if kind in changed_meanings.RESET and "reset_after" not in inner:
        found["reset_after"] = False
    if kind in changed_meanings.GATED and "recurrent_activation" not in inner:
        if not writer.version:
            raise SourceError(
                f"{path}: {where(kind, layer)} does not state its recurrent_activation, and the file does not state its version; "
                f"the default was hard_sigmoid before Keras 2.3 and sigmoid from then on; {LIVE}"
            )
        if writer.number < (2, 3) or kind == "ConvLSTM2D":
            found["recurrent_activation"] = "hard_sigmoid"
    return found


def _refuse_unknown_sampling(layer: str, model: Any, writer: KerasWriter, path: Path) -> None:
    """Refuse a file whose version is missing, or is one that old and new sampling share, unless an input layer tells them apart."""
    if changed_meanings.says_ragged(model):
        return
    what = f"{path}: the bilinear interpolation of {layer} sampled at the pixels' corners"
    if not writer.version:
        raise SourceError(f"{what} before Keras 2.4 and at their centres from then on, and the file does not state its version; {LIVE}")
    if writer.bundled and writer.number == (2, 2, 4):
        raise SourceError(f"{what} up to TensorFlow 1.14 and at their centres from 1.15 on, and all of these wrote {writer}; {LIVE}")


def _refuse_states(model: Any, writer: KerasWriter, path: Path) -> None:
    """Refuse several cells in one RNN with the last one's state first: tf-keras has an option for that order and computes it wrongly."""
    if not (0,) < writer.number < (2, 2, 3):
        return
    for node, layer, _ in keras_config_scan.objects(model):
        inner = node.get("config")
        cell = inner.get("cell") if isinstance(inner, dict) else None
        if not isinstance(cell, dict) or cell.get("class_name") != "StackedRNNCells":
            continue
        calls = node.get("inbound_nodes")
        given = isinstance(calls, list) and any(isinstance(call, list) and len(call) > 1 for call in calls)
        if given or node["config"].get("return_state"):
            raise SourceError(
                f"{path} takes or returns the states of {where(str(node['class_name']), layer)}, whose order changed in Keras 2.2.3, "
                f"and was written by {writer}; {LIVE}"
            )


def _refuse_backend(model: Any, writer: KerasWriter, path: Path) -> None:
    """Refuse layers that the writer's backend pads differently from TensorFlow."""
    if writer.backend == "tensorflow":
        return
    for node, layer, _ in keras_config_scan.objects(model):
        kind, inner = str(node["class_name"]), node.get("config")
        if not isinstance(inner, dict):
            continue
        slides = kind in CONVOLUTIONS or "Pooling" in kind
        if (slides and writer.backend not in BACKENDS) or _pads_otherwise(kind, inner) or changed_meanings.is_bilinear(kind, inner):
            raise SourceError(
                f"{path} was written by {writer} with {writer.backend}, which computes {where(kind, layer)} differently from TensorFlow; "
                f"train it again with TensorFlow, or export it to ONNX from {writer.backend} and deploy that file"
            )


def _pads_otherwise(kind: str, inner: dict[str, Any]) -> bool:
    if kind != "ConvLSTM2D" and inner.get("padding") != "same":
        return False
    if "Pooling" in kind:
        return True
    return kind in CONVOLUTIONS and (
        any(size > 1 for size in _sizes(inner, "strides")) or any(size % 2 == 0 for size in _sizes(inner, "kernel_size"))
    )


def _sizes(inner: dict[str, Any], name: str) -> list[int]:
    value = inner.get(name, 1)
    return [int(size) for size in (value if isinstance(value, list) else [value])]


def _corner_upsampling() -> type:
    """A new class for each call: it is pickled by value, so that any process can read it."""
    from roadworthy.frameworks.tensorflow import framework, keras_model

    tf = framework.framework()
    ordinary: Any = keras_model.package("tf_keras").layers.UpSampling2D

    class UpSampling2D(ordinary):  # type: ignore[misc]
        """Bilinear interpolation that samples at the pixels' corners."""

        def call(self, inputs: Any) -> Any:
            """Images in, images out, ``size`` times as large."""
            if self.interpolation != "bilinear":
                return super().call(inputs)
            first = self.data_format == "channels_first"
            images = tf.transpose(inputs, [0, 2, 3, 1]) if first else inputs
            known = images.shape[1:3]
            sizes = tf.constant(known.as_list()) if known.is_fully_defined() else tf.shape(images)[1:3]
            images = tf.compat.v1.image.resize_bilinear(images, sizes * tf.constant(self.size))
            return tf.transpose(images, [0, 3, 1, 2]) if first else images

    return UpSampling2D
