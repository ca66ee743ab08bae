"""The multiplications and the weights of a Keras model, counted in the graph that TensorFlow traces of one call."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from roadworthy.build.compress.tensorflow import wiring
from roadworthy.build.compress.tensorflow.channels import DEPTHWISE, MAKERS
from roadworthy.build.compress.tensorflow.watching import calls, watched
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Signature
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow.keras_model import KerasModel


@dataclass(frozen=True)
class Products:
    """Multiplications of a layer for one sample: those by which every input meets every output, and those of each channel by itself."""

    dense: int = 0
    depthwise: int = 0

    @property
    def all(self) -> int:
        return self.dense + self.depthwise


@dataclass(frozen=True)
class Counted:
    """``parameters`` are all numbers in the model's weights, moving statistics included; ``by_layer`` are those of a path.

    Multiplications are those of convolutions and matrix products; what a loop or a function inside the graph does is not counted.
    """

    parameters: int
    multiplications: int
    by_layer: Mapping[str, Products]


def count(model: KerasModel, signature: Signature, samples: SampleSet) -> Counted:
    """The multiplications for one sample of the size of ``samples``."""
    feeds = next(calls(signature, samples, 1, 1))
    specs = tuple(replace(spec, shape=feeds[spec.name].shape) for spec in signature.inputs)
    dense, depthwise = Counter[str](), Counter[str]()

    def around(path: str, call: Callable[[Any], Any], taken: Any) -> Any:
        graph = framework.framework().compat.v1.get_default_graph()
        before = len(graph.get_operations())
        answer = call(taken)
        found = _products(graph.get_operations()[before:])
        dense[path] += found.dense
        depthwise[path] += found.depthwise
        return answer

    counted = {path: layer for path, layer in wiring.layers(model.model) if wiring.kind(layer) in MAKERS | DEPTHWISE}
    with watched(counted, around), framework.explained("the graph of the model"):
        traced = model.function(specs).get_concrete_function()
    each = signature.count(feeds)
    by_layer = {path: Products(dense[path] // each, depthwise[path] // each) for path in counted}
    return Counted(int(model.model.count_params()), _products(traced.graph.get_operations()).all // each, by_layer)


def _products(operations: Iterable[Any]) -> Products:
    dense = depthwise = 0
    for operation in operations:
        match operation.type:
            case "Conv2D" | "Conv3D":
                dense += _size(operation.outputs[0]) * _size(operation.inputs[1], stop=-1)
            case "Conv2DBackpropInput" | "Conv3DBackpropInputV2":
                # A transposed convolution: each input number meets the kernel's positions and outputs; its kernel is [..., out, in].
                dense += _size(operation.inputs[2]) * _size(operation.inputs[1], stop=-1)
            case "DepthwiseConv2dNative":
                depthwise += _size(operation.outputs[0]) * _size(operation.inputs[1], stop=-2)
            case "MatMul" | "BatchMatMulV2":
                across = "transpose_a" if operation.type == "MatMul" else "adj_x"
                taken = operation.inputs[0].shape[-2 if operation.get_attr(across) else -1]
                dense += _size(operation.outputs[0]) * (taken or 0)
    return Products(dense, depthwise)


def _size(tensor: Any, stop: int | None = None) -> int:
    """The product of the sizes of the axes before ``stop``; 0 where one of them is free."""
    sizes = tensor.shape[:stop].as_list() if tensor.shape.rank is not None else [None]
    return math.prod(size or 0 for size in sizes)
