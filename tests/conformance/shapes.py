"""The ten shape operations, each as a small model in TensorFlow and as its twin in PyTorch.

A case says what goes in (shapes a sample, float32) and what comes out, with the batch where it belongs; the models are
made by ``tensorflow_function`` and ``torch_module``, which import their framework and nothing of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from roadworthy.core.types import BATCH, Signature, TensorSpec

Shape = tuple[int | str, ...]
ROWS = "rows"
"""A size that the batch decides without being it: two batches joined, or one folded away."""


@dataclass(frozen=True)
class Case:
    """``operation`` as users know it, ``twin`` as PyTorch calls it; ``outputs`` are shapes, the batch where it belongs."""

    name: str
    operation: str
    twin: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]

    @property
    def signature(self) -> Signature:
        """The names and shapes of the case's models."""
        letters = "xyz"
        return Signature(
            tuple(TensorSpec(letters[index], "float32", (BATCH, *shape)) for index, shape in enumerate(self.inputs)),
            tuple(TensorSpec(f"output_{index}", "float32", shape) for index, shape in enumerate(self.outputs)),
        )


CASES = (
    Case("keras_flatten", "tf.keras.layers.Flatten", "nn.Flatten", ((2, 3, 4),), ((BATCH, 24),)),
    Case("reshape", "tf.reshape, sizes as numbers", "view", ((2, 3, 4),), ((BATCH, 24),)),
    Case("reshape_of_shape", "tf.reshape, by tf.shape", "reshape, by x.shape", ((2, 3, 4),), ((BATCH, 6, 4),)),
    Case("contrib_flatten", "tf.contrib.layers.flatten (Shape, StridedSlice, Pack)", "flatten(1)", ((2, 3, 4),), ((BATCH, 24),)),
    Case("contrib_flatten_older", "tf.contrib.layers.flatten (Slice, Prod, ConcatV2)", "flatten(1, -1)", ((2, 3, 4),), ((BATCH, 24),)),
    Case("v1_flatten", "tf.compat.v1.layers.flatten", "torch.flatten", ((2, 3, 4),), ((BATCH, 24),)),
    Case("squeeze_axis", "tf.squeeze(axis=[1])", "squeeze(1)", ((1, 5),), ((BATCH, 5),)),
    Case("squeeze", "tf.squeeze without axis", "squeeze()", ((1, 5),), ((ROWS, 5),)),
    Case("expand_dims", "tf.expand_dims(1)", "unsqueeze(1)", ((5,),), ((BATCH, 1, 5),)),
    Case("expand_dims_last", "tf.expand_dims(-1)", "unsqueeze(-1)", ((5,),), ((BATCH, 5, 1),)),
    Case("transpose", "tf.transpose", "permute", ((2, 3, 4),), ((BATCH, 4, 2, 3),)),
    Case("transpose_batch", "tf.transpose, batch axis included", "permute, batch axis included", ((2, 3),), ((3, BATCH, 2),)),
    Case("concat", "tf.concat(axis=-1)", "cat(dim=-1)", ((3, 4), (3, 2)), ((BATCH, 3, 6),)),
    Case("concat_batch", "tf.concat(axis=0)", "cat(dim=0)", ((3,), (3,)), ((ROWS, 3),)),
    Case("split", "tf.split, even, every output", "chunk", ((6, 2),), ((BATCH, 2, 2),) * 3),
    Case("split_sizes", "tf.split by sizes, every output", "split", ((6, 2),), ((BATCH, 1, 2), (BATCH, 2, 2), (BATCH, 3, 2))),
    Case("stack", "tf.stack(axis=1)", "stack(dim=1)", ((3,), (3,)), ((BATCH, 2, 3),)),
    Case("stack_first", "tf.stack(axis=0)", "stack(dim=0)", ((3,), (3,)), ((2, BATCH, 3),)),
)
"""Squeeze without an axis takes the batch with it at one sample, as both frameworks do."""


def tensorflow_function(name: str) -> Callable[..., tuple[Any, ...]]:
    """The case in TensorFlow, as a function of tensors."""
    import tensorflow as tf

    def keras_flatten(x: Any) -> Any:
        return tf.keras.layers.Flatten()(x)

    def contrib_flatten(x: Any) -> Any:
        batch = tf.strided_slice(tf.shape(x), [0], [1], [1], shrink_axis_mask=1)
        return tf.reshape(x, tf.stack([batch, -1]))

    def contrib_flatten_older(x: Any) -> Any:
        shape = tf.shape(x)
        batch, rest = tf.slice(shape, [0], [1]), tf.slice(shape, [1], [tf.rank(x) - 1])
        return tf.reshape(x, tf.concat([batch, tf.expand_dims(tf.reduce_prod(rest), 0)], 0))

    def v1_flatten(x: Any) -> Any:
        # What tf.compat.v1.layers.flatten calls where Keras 2 is set for the whole process.
        import tf_keras

        return tf_keras.__internal__.legacy.layers.flatten(x)

    functions: dict[str, Callable[..., Any]] = {
        "keras_flatten": keras_flatten,
        "reshape": lambda x: tf.reshape(x, [-1, 24]),
        "reshape_of_shape": lambda x: tf.reshape(x, [tf.shape(x)[0], 6, 4]),
        "contrib_flatten": contrib_flatten,
        "contrib_flatten_older": contrib_flatten_older,
        "v1_flatten": v1_flatten,
        "squeeze_axis": lambda x: tf.squeeze(x, [1]),
        "squeeze": tf.squeeze,
        "expand_dims": lambda x: tf.expand_dims(x, 1),
        "expand_dims_last": lambda x: tf.expand_dims(x, -1),
        "transpose": lambda x: tf.transpose(x, [0, 3, 1, 2]),
        "transpose_batch": lambda x: tf.transpose(x, [2, 0, 1]),
        "concat": lambda x, y: tf.concat([x, y], -1),
        "concat_batch": lambda x, y: tf.concat([x, y], 0),
        "split": lambda x: tf.split(x, 3, 1),
        "split_sizes": lambda x: tf.split(x, [1, 2, 3], 1),
        "stack": lambda x, y: tf.stack([x, y], 1),
        "stack_first": lambda x, y: tf.stack([x, y], 0),
    }
    return lambda *tensors: _tuple(functions[name](*tensors))


def torch_module(name: str) -> Any:
    """The twin in PyTorch, as a module."""
    import torch
    from torch import nn

    functions: dict[str, Callable[..., Any]] = {
        "keras_flatten": nn.Flatten(),
        "reshape": lambda x: x.view(-1, 24),
        "reshape_of_shape": lambda x: x.reshape(x.shape[0], 6, 4),
        "contrib_flatten": lambda x: x.flatten(1),
        "contrib_flatten_older": lambda x: x.flatten(1, -1),
        "v1_flatten": lambda x: torch.flatten(x, start_dim=1),
        "squeeze_axis": lambda x: x.squeeze(1),
        "squeeze": lambda x: x.squeeze(),
        "expand_dims": lambda x: x.unsqueeze(1),
        "expand_dims_last": lambda x: x.unsqueeze(-1),
        "transpose": lambda x: x.permute(0, 3, 1, 2),
        "transpose_batch": lambda x: x.permute(2, 0, 1),
        "concat": lambda x, y: torch.cat([x, y], -1),
        "concat_batch": lambda x, y: torch.cat([x, y], 0),
        "split": lambda x: x.chunk(3, 1),
        "split_sizes": lambda x: x.split([1, 2, 3], 1),
        "stack": lambda x, y: torch.stack([x, y], 1),
        "stack_first": lambda x, y: torch.stack([x, y], 0),
    }

    class OneInput(nn.Module):
        def forward(self, x: Any) -> Any:
            return _tuple(functions[name](x))

    class TwoInputs(nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return _tuple(functions[name](x, y))

    case = next(case for case in CASES if case.name == name)
    return (OneInput if len(case.inputs) == 1 else TwoInputs)()


def _tuple(answer: Any) -> tuple[Any, ...]:
    return tuple(answer) if isinstance(answer, list | tuple) else (answer,)
