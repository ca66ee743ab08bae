"""Models as TensorFlow's users have them, each with its answers computed by NumPy alone; a step for a child writes the graphs."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.types import BATCH, Array, Arrays, Signature, TensorSpec
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import graph as tensorflow_graph
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port

RANDOM = np.random.default_rng(5)
KERNEL, BIAS = RANDOM.standard_normal((3, 3, 3, 6)).astype(np.float32) / 5, RANDOM.standard_normal(6).astype(np.float32)
# LiteRT's converter leaves weights of fewer than 1,024 numbers in float32.
HEAD = RANDOM.standard_normal((96, 16)).astype(np.float32) / 9
COLOURS = RANDOM.standard_normal((3, 4)).astype(np.float32)
LEFT, RIGHT = RANDOM.standard_normal((2, 6, 4)).astype(np.float32)


def images_last(feeds: Arrays, dtype: type = np.float32) -> dict[str, Array]:
    """A strided convolution with TensorFlow's padding, which is not symmetric, and a flatten in the order of height, width, channels."""
    padded = np.pad(feeds["image"], ((0, 0), (0, 1), (0, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2]
    found = np.maximum(np.einsum("bhwcyx,yxco->bhwo", windows, KERNEL) + BIAS, 0)
    return {"scores": (found.reshape(len(found), -1) @ HEAD).astype(dtype)}


def pixels(feeds: Arrays) -> dict[str, Array]:
    """Whole numbers in, as cameras give them."""
    return {"scores": ((feeds["image"].astype(np.float32) / 255).mean((1, 2)) @ COLOURS).astype(np.float32)}


def two_of_each(feeds: Arrays) -> dict[str, Array]:
    """Neither names nor shapes tell which is which; converters are known to reorder outputs by name."""
    found = feeds["zulu"] @ LEFT - 3 * np.maximum(feeds["alpha"] @ RIGHT, 0)
    return {"mike": found, "bravo": np.maximum(-found, 0)}


def _spec(name: str, *sizes: int, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name, dtype, (BATCH, *sizes))


SIGNATURES = {
    "images_last": Signature((_spec("image", 8, 8, 3),), (_spec("scores", 16),)),
    "pixels": Signature((_spec("image", 6, 6, 3, dtype="uint8"),), (_spec("scores", 4),)),
    "two_of_each": Signature((_spec("zulu", 6), _spec("alpha", 6)), (_spec("mike", 4), _spec("bravo", 4))),
}
ANSWERS = {"images_last": images_last, "pixels": pixels, "two_of_each": two_of_each}


def formats(name: str) -> tuple[str, ...]:
    """The graph formats that ``write`` leaves of the model, each a file or directory of that name."""
    return ("keras", "saved_model", "graphdef", "onnx", "tflite")[0 if name == "images_last" else 1 :]


@dataclass(frozen=True)
class WriteRequest:
    """The model of that name into the existing directory ``out``."""

    name: str
    out: Path


@dataclass(frozen=True)
class Written:
    """Where everything lies, by format."""

    paths: dict[str, Path]


def write(request: WriteRequest) -> Written:
    """Every format by the framework's own exporters, from TensorFlow's operations on the numbers above."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    name, out = request.name, request.out
    paths = {form: out / {"onnx": "graph.onnx", "tflite": "graph.tflite"}.get(form, form) for form in formats(name)}
    with warnings.catch_warnings(action="ignore"):
        # With variables, as models are saved; without, as converters want them.
        _saved_model(name, paths["saved_model"], with_variables=True)
        _saved_model(name, out / "constant", with_variables=False)
        _graphdef(name, paths["graphdef"])
        _onnx(name, paths["graphdef"], paths["onnx"])
        _tflite(out / "constant" / tensorflow_entry.SAVED_MODEL, paths["tflite"])
        if "keras" in paths:
            _keras(paths["keras"])
    return Written(paths)


def _operations(name: str, *, with_variables: bool) -> Any:
    import tensorflow as tf

    keep = tf.Variable if with_variables else tf.constant
    module = tf.Module()
    module.weights = [keep(one) for one in {"images_last": (KERNEL, BIAS, HEAD), "pixels": (COLOURS,), "two_of_each": (LEFT, RIGHT)}[name]]

    def convolve(image: Any) -> Any:
        kernel, bias, head = module.weights
        found = tf.nn.relu(tf.nn.conv2d(image, kernel, 2, "SAME") + bias)
        return {"scores": tf.reshape(found, [-1, 96]) @ head}

    def average(image: Any) -> Any:
        return {"scores": tf.reduce_mean(tf.cast(image, tf.float32) / 255.0, [1, 2]) @ module.weights[0]}

    def combine(zulu: Any, alpha: Any) -> Any:
        left, right = module.weights
        found = zulu @ left - 3.0 * tf.nn.relu(alpha @ right)
        return {"mike": found, "bravo": tf.nn.relu(-found)}

    specs = [tf.TensorSpec([None, *spec.shape[1:]], spec.dtype, spec.name) for spec in SIGNATURES[name].inputs]
    module.call = tf.function({"images_last": convolve, "pixels": average, "two_of_each": combine}[name], input_signature=specs)
    return module


def _saved_model(name: str, directory: Path, *, with_variables: bool) -> None:
    import tensorflow as tf

    module, signature = _operations(name, with_variables=with_variables), SIGNATURES[name]
    directory.mkdir()
    tf.saved_model.save(module, str(directory / tensorflow_entry.SAVED_MODEL), signatures={"serving_default": module.call})
    inputs, outputs = (tuple(Port(spec.name, spec.name) for spec in specs) for specs in (signature.inputs, signature.outputs))
    tensorflow_entry.write_entry(directory, GraphEntry(inputs, outputs, "serving_default"))


def _graphdef(name: str, directory: Path) -> None:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = _operations(name, with_variables=True).call.get_concrete_function()
    frozen = convert_variables_to_constants_v2(function)
    directory.mkdir()
    (directory / tensorflow_entry.GRAPHDEF).write_bytes(frozen.graph.as_graph_def().SerializeToString())
    # A function's results come in the order of their names.
    tensors = dict(zip(sorted(spec.name for spec in SIGNATURES[name].outputs), (tensor.name for tensor in frozen.outputs), strict=True))
    inputs = tuple(Port(spec.name, f"{spec.name}:0") for spec in SIGNATURES[name].inputs)
    outputs = tuple(Port(spec.name, tensors[spec.name]) for spec in SIGNATURES[name].outputs)
    tensorflow_entry.write_entry(directory, GraphEntry(inputs, outputs))


def _onnx(name: str, graphdef: Path, path: Path) -> None:
    import onnx
    import tf2onnx

    entry = tensorflow_entry.read_entry(graphdef)
    tensors = [[port.tensor for port in ports] for ports in (entry.inputs, entry.outputs)]
    graph = tensorflow_graph.read_graph(graphdef / tensorflow_entry.GRAPHDEF)
    model, _ = tf2onnx.convert.from_graph_def(graph, input_names=tensors[0], output_names=tensors[1], opset=17)
    known = {port.tensor: port.name for port in (*entry.inputs, *entry.outputs)}
    for node in model.graph.node:
        node.input[:] = [known.get(one, one) for one in node.input]
        node.output[:] = [known.get(one, one) for one in node.output]
    for port in (*model.graph.input, *model.graph.output):
        port.name = known[port.name]
    onnx.save(model, path)


def _tflite(saved_model: Path, path: Path) -> None:
    import tensorflow as tf

    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(saved_model)).convert())


def _keras(directory: Path) -> None:
    from roadworthy.frameworks.tensorflow import keras_model

    keras = keras_model.package("keras")
    image = keras.Input((8, 8, 3), name="image")
    found = keras.layers.Conv2D(6, 3, 2, "same", activation="relu", name="conv")(image)
    model = keras.Model(image, keras.layers.Dense(16, use_bias=False, name="scores")(keras.layers.Flatten()(found)))
    model.get_layer("conv").set_weights([KERNEL, BIAS])
    model.get_layer("scores").set_weights([HEAD])
    directory.mkdir()
    call = keras_model.KerasCall("graph", ("image",), outputs=("scores",))
    keras_model.save(directory, keras_model.Original("keras", "model.keras", call), {}, model.save)
