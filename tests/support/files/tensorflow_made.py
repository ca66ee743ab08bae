"""A program that makes TensorFlow and Keras files of every kind, harmless and hostile, in the directory it is given.

Run by ``attacks/test_tensorflow_made.py`` in a process of its own: the files are what TensorFlow itself writes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="")

import keras
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

v1 = tf.compat.v1
VECTOR = tf.TensorSpec([None], tf.float32)


def registry(path: Path) -> None:
    """The names of all operators that this TensorFlow knows, one a line."""
    listed = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    path.write_text("\n".join(op.name for op in listed.op))


def harmless_keras(out: Path) -> None:
    """One network in every form that Keras writes."""
    image, extra = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="extra")
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(2, 3, activation="relu", kernel_regularizer="l2", kernel_initializer=keras.initializers.HeNormal())(x)
    x = keras.layers.Flatten()(keras.layers.Dropout(0.2)(keras.layers.BatchNormalization()(x)))
    x = keras.layers.Concatenate()([x, extra])
    first, second = keras.layers.Dense(3, activation=keras.activations.gelu, name="first")(x), keras.layers.Dense(2, name="second")(x)
    model = keras.Model([image, extra], {"first": first, "second": second})
    model.compile("adam", loss={"first": keras.losses.MeanSquaredError(), "second": "mse"})
    model.save(out / "model.keras")
    model.save(out / "model.h5")
    model.save_weights(out / "model.weights.h5")
    model.export(out / "exported", verbose=False)
    tf.saved_model.save(model, out / "saved")


def custom_keras(out: Path) -> None:
    """A registered class of the user's own, and Lambda layers."""

    @keras.saving.register_keras_serializable(package="mine")
    class Twice(keras.layers.Layer):
        def call(self, x: tf.Tensor) -> tf.Tensor:
            return x * 2

    keras.Sequential([keras.Input((4,)), Twice(name="twice")]).save(out / "custom.keras")
    hidden = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x, name="hidden")])
    hidden.save(out / "lambda.keras")
    hidden.save(out / "lambda.h5")


class Thief(tf.Module):
    """Writes a file when it is called."""

    def __init__(self, marker: Path) -> None:
        super().__init__()
        self.marker = str(marker)

    @tf.function(input_signature=[VECTOR])
    def write(self, x: tf.Tensor) -> tf.Tensor:
        tf.io.write_file(self.marker, tf.io.read_file("/etc/hostname"))
        return x

    @tf.function(input_signature=[VECTOR])
    def save(self, x: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies(
            [tf.raw_ops.SaveV2(prefix=self.marker + "-saved", tensor_names=["x"], shape_and_slices=[""], tensors=[x])]
        ):
            return tf.identity(x)

    @tf.function(input_signature=[VECTOR])
    def python(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.py_function(lambda y: y, [x], tf.float32), lambda: x)


def hostile(out: Path, marker: Path) -> None:
    """SavedModels that do more than compute; the first is also called, to show that TensorFlow minds nothing of it."""
    thief = Thief(marker)
    for name in ("write", "save", "python"):
        tf.saved_model.save(thief, out / f"thief-{name}", signatures={"serving_default": getattr(thief, name)})
    thief.save(tf.ones([1]))
    tf.saved_model.load(out / "thief-write").signatures["serving_default"](tf.ones([1]))


def of_version_1(out: Path) -> None:
    """A checkpoint, a frozen graph and a SavedModel as TensorFlow 1 left them."""
    with tf.Graph().as_default() as graph, v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 4], "x")
        y = tf.identity(tf.matmul(x, v1.get_variable("w", [4, 2], use_resource=False)), "y")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(out / "version-1" / "model.ckpt"))
        v1.saved_model.simple_save(session, str(out / "simple"), {"x": x}, {"y": y})
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["y"])
    (out / "frozen.pb").write_bytes(frozen.SerializeToString())


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    registry(folder / "operators.txt")
    harmless_keras(folder)
    custom_keras(folder)
    hostile(folder, folder / "marker")
    of_version_1(folder)
