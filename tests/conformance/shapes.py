"""The ten shape operations, each as a small model in TensorFlow and in PyTorch.

Where an operation moves or joins the batch axis, the model brings it back to the front behind the operation, with a step of
arithmetic between that no converter can cancel: a model answers its samples in order, whatever it does inside.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadworthy.core.types import Array

Shape = tuple[int, ...]
NAMES = "xyzabcde"
KERAS = ("keras_flatten", "conv_flatten_dense")
"""The cases that are Keras models, as their users have them; the others are functions of a tf.Module."""


@dataclass(frozen=True)
class Case:
    """``operation`` as TensorFlow calls it, ``in_torch`` as PyTorch does; ``inputs`` are the shapes of one sample, float32."""

    name: str
    operation: str
    in_torch: str
    inputs: tuple[Shape, ...]

    def feeds(self, count: int) -> dict[str, Array]:
        """``count`` samples of each input, the same every time."""
        generator = np.random.default_rng(0)
        drawn = [generator.standard_normal((64, *shape)).astype(np.float32) for shape in self.inputs]
        return {name: array[:count] for name, array in zip(NAMES, drawn, strict=False)}


CASES = (
    Case("keras_flatten", "tf.keras.layers.Flatten", "nn.Flatten", ((2, 3, 4),)),
    Case("reshape", "tf.reshape to numbers", "view", ((2, 3, 4),)),
    Case("reshape_of_shape", "tf.reshape by tf.shape", "reshape by x.shape", ((2, 3, 4),)),
    Case("contrib_flatten", "tf.contrib.layers.flatten, by StridedSlice and Pack", "flatten(1)", ((2, 3, 4),)),
    Case("contrib_flatten_older", "tf.contrib.layers.flatten, by Slice, Prod and ConcatV2", "flatten(1, -1)", ((2, 3, 4),)),
    Case("v1_flatten", "tf.compat.v1.layers.flatten", "torch.flatten", ((2, 3, 4),)),
    Case("squeeze_axis", "tf.squeeze with an axis", "squeeze(1)", ((1, 5),)),
    Case("squeeze", "tf.squeeze without axis", "squeeze()", ((1, 5),)),
    Case("expand_dims", "tf.expand_dims(1)", "unsqueeze(1)", ((5,),)),
    Case("expand_dims_last", "tf.expand_dims(-1)", "unsqueeze(-1)", ((5,),)),
    Case("transpose", "tf.transpose", "permute", ((2, 3, 4),)),
    Case("transpose_batch", "tf.transpose, the batch axis too", "permute, the batch axis too", ((2, 3),)),
    Case("concat", "tf.concat, last axis", "cat, last axis", ((3, 4), (3, 2))),
    Case("concat_batch", "tf.concat, batch axis", "cat, batch axis", ((3,), (3,))),
    Case("split", "tf.split, even, every output", "chunk, every output", ((6, 2),)),
    Case("split_sizes", "tf.split by sizes, every output", "split by sizes, every output", ((6, 2),)),
    Case("stack", "tf.stack, axis 1", "stack, axis 1", ((3,), (3,))),
    Case("stack_first", "tf.stack, axis 0", "stack, axis 0", ((3,), (3,))),
    Case("conv_flatten_dense", "Conv2D, Flatten, Dense", "Conv2d, Flatten, Linear", ((6, 6, 2),)),
)

TOGETHER = Case("together", "", "all of them in one model", ((2, 3, 4), (1, 5), (5,), (2, 3), (2, 2), (6, 2), (3,), (3,)))
"""For the one runtime that compiles every model for ten seconds; in PyTorch alone."""


def kernels() -> tuple[Array, Array]:
    """The weights of ``conv_flatten_dense`` in TensorFlow's order: kernel [3,3,2,4], and dense [4*4*4,5] over rows, columns, channels."""
    generator = np.random.default_rng(1)
    return tuple(generator.standard_normal(shape).astype(np.float32) for shape in ((3, 3, 2, 4), (64, 5)))  # type: ignore[return-value]


def tensorflow_model(name: str) -> Any:
    """The case in TensorFlow: a Keras model, or a function of tensors."""
    import tensorflow as tf

    def contrib_flatten(x: Any) -> Any:
        batch = tf.strided_slice(tf.shape(x), [0], [1], [1], shrink_axis_mask=1)
        return tf.reshape(x, tf.stack([batch, -1]))

    def contrib_flatten_older(x: Any) -> Any:
        shape = tf.shape(x)
        batch, rest = tf.slice(shape, [0], [1]), tf.slice(shape, [1], [tf.rank(x) - 1])
        return tf.reshape(x, tf.concat([batch, tf.expand_dims(tf.reduce_prod(rest), 0)], 0))

    def v1_flatten(x: Any) -> Any:
        # What tf.compat.v1.layers.flatten calls where Keras 2 is set for the whole process.
        from tf_keras.src.legacy_tf_layers import core

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that it is deprecated, which is why it is here
            return core.flatten(x)

    def concat_batch(x: Any, y: Any) -> Any:
        both = tf.exp(tf.concat([x, y], 0))
        return both[: tf.shape(x)[0]], both[tf.shape(x)[0] :]

    if name in KERAS:
        return _keras(name)
    functions: dict[str, Callable[..., Any]] = {
        "reshape": lambda x: tf.reshape(x, [-1, 24]),
        "reshape_of_shape": lambda x: tf.reshape(x, [tf.shape(x)[0], 6, 4]),
        "contrib_flatten": contrib_flatten,
        "contrib_flatten_older": contrib_flatten_older,
        "v1_flatten": v1_flatten,
        "squeeze_axis": lambda x: tf.squeeze(x, [1]),
        "squeeze": lambda x: tf.reshape(tf.exp(tf.squeeze(x)), [-1, 5]),
        "expand_dims": lambda x: tf.expand_dims(x, 1),
        "expand_dims_last": lambda x: tf.expand_dims(x, -1),
        "transpose": lambda x: tf.transpose(x, [0, 3, 1, 2]),
        "transpose_batch": lambda x: tf.transpose(tf.exp(tf.transpose(x, [2, 0, 1])), [1, 0, 2]),
        "concat": lambda x, y: tf.concat([x, y], -1),
        "concat_batch": concat_batch,
        "split": lambda x: tf.split(x, 3, 1),
        "split_sizes": lambda x: tf.split(x, [1, 2, 3], 1),
        "stack": lambda x, y: tf.stack([x, y], 1),
        "stack_first": lambda x, y: tf.reduce_max(tf.stack([x, y], 0), 0),
    }
    return lambda *tensors: outputs(functions[name](*tensors))


def _keras(name: str) -> Any:
    import keras

    if name == "keras_flatten":
        return keras.Sequential([keras.Input((2, 3, 4), name="x"), keras.layers.Flatten()])
    layers = [keras.layers.Conv2D(4, 3, activation="relu", use_bias=False), keras.layers.Flatten(), keras.layers.Dense(5, use_bias=False)]
    model = keras.Sequential([keras.Input((6, 6, 2), name="x"), *layers])
    model.set_weights(list(kernels()))
    return model


def torch_module(name: str, *, naive: bool = False) -> Any:
    """The case in PyTorch, as a module.

    ``naive`` ports the dense kernel without minding that PyTorch flattens channels first: the mistake that bites.
    """
    import torch

    from conformance.torch_operations import MODULES

    module = MODULES[name]()
    if name == "conv_flatten_dense":
        kernel, dense = kernels()
        channels_first = dense if naive else dense.reshape(4, 4, 4, 5).transpose(2, 0, 1, 3).reshape(64, 5)
        arrays = {"conv.weight": kernel.transpose(3, 2, 0, 1), "dense.weight": channels_first.T}
        module.load_state_dict({key: torch.from_numpy(array.copy()) for key, array in arrays.items()})
    return module.eval()


def outputs(answer: Any) -> Any:
    """Several outputs as a tuple, one as it is."""
    return tuple(answer) if isinstance(answer, list | tuple) else answer


RANK = "doesn't support Squeeze operation with dynamic rank"
GAPS: dict[tuple[str, str, str], str] = {
    ("torch", "reshape", "pytorch-fp32-channels_last from module"): "view size is not compatible",
    ("torch", "concat_batch", "litert-fp32 from onnx"): "a part of the samples",
    ("torch", "squeeze", "openvino-fp32 from onnx"): RANK,
    ("torch", "squeeze", "openvino-fp32 from jit"): RANK,
    ("torch", "squeeze", "openvino-fp32 from pt2"): "output dimensions do not evenly divide the input dimensions",
    ("tensorflow", "concat_batch", "litert-fp32 from onnx"): "a part of the samples",
    ("tensorflow", "squeeze", "openvino-fp32 from onnx"): RANK,
    ("tensorflow", "squeeze", "openvino-fp32 from graphdef"): RANK,
    ("tensorflow", "squeeze", "openvino-fp32 from saved_model"): RANK,
}
"""By framework, case and way: what a refusal says. A gap that has closed makes its test fail, until it leaves this list."""
