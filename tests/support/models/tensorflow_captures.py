"""Keras and TensorFlow originals for the tests of capture, and steps for the one child that holds TensorFlow for all of them.

TensorFlow takes its number of threads once for a process, and capturing sets it: nothing here runs in pytest's own.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core import samples
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Array, Signature, TensorSpec

COUNT = 24


@dataclass(frozen=True)
class Order:
    """Make the original ``name`` in the new directory ``out``."""

    name: str
    out: Path


@dataclass(frozen=True)
class Original:
    """An original on disk, and samples for it."""

    graph: Graph
    samples: SampleSet


@dataclass(frozen=True)
class Trial:
    """Try every route to ``format``, whatever the ones before it gave; for one sample a call where ``fixed``."""

    original: Original
    format: str
    out: Path
    fixed: bool = False


@dataclass(frozen=True)
class Tried:
    """What each route came to, "proven" or the reason in words, as ``name: outcome``."""

    routes: tuple[str, ...]


def make(order: Order) -> Original:
    """The original of that name, made as loading makes it."""
    from roadworthy.core.host import usable_cores
    from roadworthy.frameworks.tensorflow import framework

    framework.set_threads(usable_cores())
    order.out.mkdir(parents=True)
    with warnings.catch_warnings(action="ignore"):
        made: Original = BUILDERS[order.name](order.out)
    return made


def each_route(trial: Trial) -> Tried:
    """Write and prove the graph of every route."""
    from roadworthy.build.capture import exporter_errors, exporter_output, parity, try_routes
    from roadworthy.build.capture.tensorflow.original import open_subject

    subject = open_subject(trial.original.graph, trial.original.samples, (), None)
    subject = subject.fixed() if trial.fixed else subject
    outcomes = []
    for number, route in enumerate(importlib.import_module(f"{try_routes.PACKAGE}.{try_routes.MODULES[trial.format]}").routes(subject)):
        out = trial.out / str(number)
        out.mkdir(parents=True)
        try:
            with exporter_output.listening():
                parity.prove(route.write(subject, out), trial.format, subject)
            outcomes.append(f"{route.name}: proven")
        except Exception as problem:
            outcomes.append(f"{route.name}: {exporter_errors.reason(problem)}")
    return Tried(tuple(outcomes))


def operators(graph: Graph) -> Tried:
    """The operations in a captured GraphDef, as ``name: operation``, those of its functions included."""
    from roadworthy.frameworks.tensorflow import entry
    from roadworthy.frameworks.tensorflow import graph as tensorflow_graph

    read = tensorflow_graph.read_graph(graph.path / entry.GRAPHDEF)
    nodes = [*read.node, *(node for function in read.library.function for node in function.node_def)]
    return Tried(tuple(f"{node.name}: {node.op}" for node in nodes))


def noise(*shape: int, seed: int = 0) -> Array:
    """float32 [24, ...]."""
    return np.random.default_rng(seed).standard_normal((COUNT, *shape)).astype(np.float32)


def _several(folder: Path) -> Original:
    """Two inputs of two dtypes, one with a space in its name; three outputs in no alphabetical order, one not used for another."""
    import keras

    layers = keras.layers
    tokens, picture = keras.Input((6,), dtype="int32", name="tokens"), keras.Input((8, 8, 3), name="the_picture")
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(8, 3, padding="same")(picture))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    hidden = layers.Dropout(0.5)(layers.Concatenate(name="hidden")([x, layers.Flatten()(layers.Embedding(50, 4)(tokens))]))
    logits = layers.Dense(4, name="logits")(hidden)
    best = keras.ops.cast(logits[:, 0] * 10, "int32")
    model = keras.Model([tokens, picture], [logits, best, hidden])
    model.get_layer("norm").set_weights([np.linspace(1, 2, 8), np.linspace(-1, 1, 8), np.linspace(-1, 0, 8), np.linspace(1, 3, 8)])
    inputs = {"tokens": np.random.default_rng(1).integers(0, 50, (COUNT, 6)).astype(np.int32), "the picture": noise(8, 8, 3)}
    outputs = (_floats("logits", 4), TensorSpec("best", "int32", (BATCH,)), _floats("hidden", 32))
    return _kept(folder, model, "graph", inputs, outputs)


def _modern(folder: Path) -> Original:
    """What converters trip over: a normalisation by constants, a grouped convolution, an exact GELU."""
    import keras

    layers = keras.layers
    image = keras.Input((8, 8, 4), name="image")
    x = layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 3.0, 4.0])(image)
    x = layers.Activation("gelu")(layers.Conv2D(8, 3, groups=4)(x))
    return _kept(folder, keras.Model(image, layers.Dense(3)(layers.Flatten()(x))), "graph", {"image": noise(8, 8, 4)}, (_floats("y", 3),))


def _plain_keras(folder: Path) -> Original:
    """One input, one output, nothing out of the ordinary."""
    import keras

    layers, image = keras.layers, keras.Input((8, 8, 3), name="image")
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(layers.ReLU()(layers.Conv2D(4, 3)(image)))))
    return _kept(folder, model, "graph", {"image": noise(8, 8, 3)}, (_floats("output", 3),))


def _shifted(folder: Path) -> Original:
    """A convolution without a bias, to which one number is added: an optimiser of tf2onnx takes it for a bias and stumbles."""
    import keras

    layers, image = keras.layers, keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 1, use_bias=False)(layers.Conv2D(4, 3)(image))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(layers.Activation("hard_sigmoid")(x)))
    return _kept(folder, model, "graph", {"image": noise(8, 8, 3)}, (_floats("output", 4),))


def _in_eager_mode(layer: str) -> Callable[[Path], Original]:
    """A subclassed model around one layer of ``CLASSES``."""

    def build(folder: Path) -> Original:
        (folder / "planted_layers.py").write_text(CLASSES)
        sys.path.insert(0, str(folder))
        sys.modules.pop("planted_layers", None)
        module: Any = importlib.import_module("planted_layers")
        sys.path.remove(str(folder))
        model = module.Around(getattr(module, layer)())
        model(noise(4)[:2])
        objects = {one.__name__: one for one in (module.Around, getattr(module, layer))}
        return _kept(folder, model, "arguments", {"x": noise(4)}, (_floats("y", 4),), objects)

    return build


CLASSES = """
import keras
from keras import ops

class Branch(keras.layers.Layer):
    def call(self, x):
        if ops.sum(x) > 0:
            return 2 * x
        return x - 1

class Reads(keras.layers.Layer):
    def call(self, x):
        return x * float(ops.max(x).numpy())

class Loop(keras.layers.Layer):
    def call(self, x):
        return ops.stack([2 * row for row in x])

class Baked(keras.layers.Layer):
    def call(self, x):
        return x * (ops.sum(ops.ones_like(x), 0) / int(x.shape[0]))

class Choice(keras.layers.Layer):
    def call(self, x):
        return ops.cond(ops.sum(x) > 0, lambda: 2 * x, lambda: x - 1)

@keras.saving.register_keras_serializable()
class Around(keras.Model):
    def __init__(self, layer, **options):
        super().__init__(**options)
        self.layer = layer

    def call(self, x):
        return self.layer(x)

    def get_config(self):
        return {"layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["layer"]))
"""


def _old_graph(folder: Path) -> Original:
    """A frozen graph of TensorFlow 1 with ``is_training`` and ``keep_prob`` placeholders, its branches by Switch and Merge."""
    from roadworthy.frameworks.tensorflow import entry
    from roadworthy.frameworks.tensorflow.entry import Constant, GraphEntry, Port
    from support.files import tensorflow_files

    tensorflow_files.frozen_graph(folder / entry.GRAPHDEF, old_branches=True)
    constants = Constant("is_training:0", "bool", False), Constant("keep_prob:0", "float32", 1.0)
    entry.write_entry(folder, GraphEntry((Port("image", "image:0"),), (Port("probabilities", "probabilities:0"),), "", constants))
    return _described(folder, "graphdef", {"image": noise(8, 8, 1)}, (_floats("probabilities", 3),))


def _module(name: str) -> Callable[[Path], Original]:
    """A SavedModel of a ``tf.Module`` that does one thing."""

    def build(folder: Path) -> Original:
        import tensorflow as tf

        from roadworthy.frameworks.tensorflow import entry
        from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port

        class Holder(tf.Module):  # type: ignore[misc, name-defined, unused-ignore]
            def __init__(self) -> None:
                super().__init__()
                self.weight = tf.Variable(noise(4)[:4])
                keys = tf.lookup.KeyValueTensorInitializer(tf.range(4, dtype=tf.int64), tf.range(4.0))
                self.table = tf.lookup.StaticHashTable(keys, -1.0)

            @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "x")], autograph=False)
            def serve(self, x: Any) -> dict[str, Any]:
                y = x @ self.weight
                if name == "random":
                    y += tf.random.uniform(tf.shape(y))
                elif name == "table":
                    y += self.table.lookup(tf.zeros([1], tf.int64))
                elif name == "double":
                    y = 2 * x
                elif name == "gamma":
                    y = tf.math.lgamma(1 + tf.abs(y))
                return {"y": y}

        module = Holder()
        tf.saved_model.save(module, str(folder / entry.SAVED_MODEL), signatures={"serving_default": module.serve})
        entry.write_entry(folder, GraphEntry((Port("x", "x"),), (Port("y", "y"),), "serving_default"))
        return _described(folder, "saved_model", {"x": noise(4)}, (_floats("y", 4),))

    return build


def _baked_graph(folder: Path) -> Original:
    """``double`` as a GraphDef in which some exporter left the number of samples that it was shown: 3."""
    import tensorflow as tf

    from roadworthy.frameworks.tensorflow import entry
    from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], "x")
        tf.reshape(tf.reshape(x, [3, 2, 2]) * 2.0, [3, 4], name="y")
    (folder / entry.GRAPHDEF).write_bytes(graph.as_graph_def().SerializeToString())
    entry.write_entry(folder, GraphEntry((Port("x", "x:0"),), (Port("y", "y:0"),)))
    return _described(folder, "graphdef", {"x": noise(4)}, (_floats("y", 4),))


BUILDERS: dict[str, Callable[[Path], Original]] = {
    "several": _several,
    "plain keras": _plain_keras,
    "modern": _modern,
    "shifted": _shifted,
    "old graph": _old_graph,
    "baked graph": _baked_graph,
    **{name: _in_eager_mode(name.capitalize()) for name in ("branch", "reads", "loop", "baked", "choice")},
    **{name: _module(name) for name in ("plain", "random", "table", "gamma", "double")},
}


def _floats(name: str, *sizes: int) -> TensorSpec:
    return TensorSpec(name, "float32", (BATCH, *sizes))


def _kept(
    folder: Path, model: Any, form: Any, inputs: dict[str, Array], outputs: tuple[TensorSpec, ...], objects: dict[str, Any] | None = None
) -> Original:
    from roadworthy.frameworks.tensorflow import keras_model

    (folder / "original").mkdir()
    call = keras_model.KerasCall(form, tuple(inputs), outputs=tuple(spec.name for spec in outputs))
    keras_model.save(folder / "original", keras_model.Original("keras", "model.keras", call), objects or {}, model.save)
    return _described(folder, "keras", inputs, outputs, folder / "original")


def _described(folder: Path, format: str, inputs: dict[str, Array], outputs: tuple[TensorSpec, ...], path: Path | None = None) -> Original:
    specs = tuple(TensorSpec(name, array.dtype.name, (BATCH, *array.shape[1:])) for name, array in inputs.items())
    shutil.rmtree(folder / "samples", ignore_errors=True)
    return Original(Graph(format, path or folder, Signature(specs, outputs), "the original"), samples.write(folder / "samples", inputs))


def bare_tf2onnx(original: Original) -> Tried:
    """Without Roadworthy: trace, freeze as TensorFlow does, convert. The operators of the file, as ``name: operation``."""
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from roadworthy.frameworks.tensorflow import function as tensorflow_function
    from roadworthy.frameworks.tensorflow import session

    path, signature = original.graph.path, original.graph.signature
    function = session.of_keras(path, signature) if original.graph.format == "keras" else tensorflow_function.concrete(path)
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    names = [[tensor.name for tensor in tensors] for tensors in (frozen.inputs, frozen.outputs)]
    model, _ = tf2onnx.convert.from_graph_def(frozen.graph.as_graph_def(), input_names=names[0], output_names=names[1], opset=17)
    return Tried(tuple(f"{node.name}: {node.op_type}" for node in model.graph.node))


def bare_from_function(original: Original) -> Tried:
    """The inputs of the file that tf2onnx makes of a traced Keras model."""
    import tensorflow as tf
    import tf2onnx

    from roadworthy.frameworks.tensorflow import keras_model

    model = keras_model.load(original.graph.path).model
    specs = [keras_model.tensor_spec(spec) for spec in original.graph.signature.inputs]
    traced = tf.function(lambda image: model(image, training=False), input_signature=specs, autograph=False)
    made, _ = tf2onnx.convert.from_function(traced, input_signature=specs, opset=17)
    return Tried(tuple(value.name for value in made.graph.input))
