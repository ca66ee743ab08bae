"""A small network as a graph, and what an export target for another server is given of the bundle that it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from roadworthy.build.exported import Export
from roadworthy.bundle.golden import Golden
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Array, Arrays, Signature, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract

RANDOM = np.random.default_rng(0)
KERNEL = RANDOM.standard_normal((8, 1, 3, 3), dtype=np.float32)
DENSE = RANDOM.standard_normal((4, 8), dtype=np.float32)
LABELS = ("ant", "bee", "cat", "dog")


def convolution(path: Path, batch: Any = "batch") -> Graph:
    """Conv, ReLU, global average, flatten, Gemm: four logits of an image [batch, 1, 8, 8]."""
    nodes = [
        helper.make_node("Conv", ["image", "k"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "d"], ["logits"], transB=1),
    ]
    ends = ([("image", [batch, 1, 8, 8])], [("logits", [batch, 4])])
    return graph(path, nodes, *ends, {"k": KERNEL, "d": DENSE})


def graph(
    path: Path,
    nodes: list[Any],
    inputs: list[tuple[str, list[Any]]],
    outputs: list[tuple[str, list[Any]]],
    weights: dict[str, Array] | None = None,
    kind: int = TensorProto.FLOAT,
    axis: int | None = 0,
) -> Graph:
    """The nodes as an ONNX graph whose tensors count samples by ``axis``."""
    ends = [[helper.make_tensor_value_info(name, kind, shape) for name, shape in some] for some in (inputs, outputs)]
    held = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    made = helper.make_graph(nodes, "made", *ends, held)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    dtype = "object" if kind == TensorProto.STRING else str(helper.tensor_dtype_to_np_dtype(kind))
    specs = [
        tuple(TensorSpec(name, dtype, tuple(shape), sample_axis=axis if shape else None) for name, shape in some)
        for some in (inputs, outputs)
    ]
    return Graph("onnx", path, Signature(*specs), "test")


def expected(image: Array) -> Array:
    """What ``convolution`` answers, in NumPy."""
    windows = np.lib.stride_tricks.sliding_window_view(image[:, 0], (3, 3), axis=(1, 2))
    hidden = np.maximum(np.einsum("bhwij,kij->bkhw", windows, KERNEL[:, 0]), 0).mean(axis=(2, 3))
    return np.asarray(hidden @ DENSE.T)


def images(samples: int) -> Array:
    return np.random.default_rng(samples).standard_normal((samples, 1, 8, 8), dtype=np.float32)


def export(graph: Graph, plan: Plan, inputs: Arrays, outputs: Arrays, name: str = "digits") -> Export:
    """The export of a bundle that lies nowhere."""
    contract = Contract(answer=Answer(labels=LABELS))
    return Export(name, "1", plan, graph.signature, contract, Golden(inputs, outputs), 1e-5, Path("bundle"), (graph,))
