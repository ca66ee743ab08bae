"""The operations of a model are those that its layers have by the book, and a figure is missing where a part was not counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from roadworthy.build.peak import operations
from roadworthy.build.peak.operations import CountedOperations
from roadworthy.core.types import BATCH, Signature, SizeRange, TensorSpec

Shape = tuple[int | str, ...]


def counted(
    path: Path, nodes: list[Any], shape: Shape, weights: dict[str, tuple[int, ...]], sizes: tuple[SizeRange, ...] = ()
) -> CountedOperations:
    """The operations of ``nodes``, which make ``y`` of ``x``."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(np.zeros(size, np.float32), name) for name, size in weights.items()]
    file = path / "model.onnx"
    save(helper.make_model(helper.make_graph(nodes, "g", [x], [y], held), opset_imports=[helper.make_opsetid("", 17)]), file)
    return operations.count(file, Signature((TensorSpec("x", "float32", shape),), (TensorSpec("y", "float32", (BATCH, "n")),), sizes=sizes))


@pytest.mark.parametrize(
    ("operator", "attributes", "shape", "weight", "multiplications"),
    [
        # Eight filters of 3 x 3 x 3 at 14 x 14 places.
        ("Conv", {"kernel_shape": [3, 3]}, (BATCH, 3, 16, 16), (8, 3, 3, 3), 8 * 14 * 14 * 27),
        ("Conv", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, (BATCH, 3, 16, 16), (8, 3, 3, 3), 8 * 8 * 8 * 27),
        # Depthwise: each filter sees one channel.
        ("Conv", {"kernel_shape": [3, 3], "group": 4}, (BATCH, 4, 16, 16), (4, 1, 3, 3), 4 * 14 * 14 * 9),
        ("Conv", {"kernel_shape": [5]}, (BATCH, 2, 20), (3, 2, 5), 3 * 16 * 10),
        # Each of the 4 x 4 inputs meets 8 filters of 2 x 2.
        ("ConvTranspose", {"kernel_shape": [2, 2], "strides": [2, 2]}, (BATCH, 3, 4, 4), (3, 8, 2, 2), 3 * 4 * 4 * 8 * 4),
        ("MatMul", {}, (BATCH, 12), (12, 4), 48),
        ("MatMul", {}, (BATCH, 7, 12), (12, 4), 7 * 48),
        ("Gemm", {"transB": 1}, (BATCH, 12), (4, 12), 48),
        ("Gemm", {"transA": 1}, (12, 1), (12, 4), 48),
    ],
)  # fmt: skip
def test_layers_by_the_book(
    tmp_path: Path, operator: str, attributes: dict[str, Any], shape: Shape, weight: tuple[int, ...], multiplications: int
) -> None:
    nodes = [helper.make_node(operator, ["x", "w"], ["y"], **attributes)]
    assert counted(tmp_path, nodes, shape, {"w": weight}) == CountedOperations(2 * multiplications, ())


def test_layers_add_up_and_an_open_axis_has_the_size_of_the_samples(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["y"]),
    ]
    found = counted(tmp_path, nodes, (BATCH, "length", 12), {"w": (12, 4), "v": (4, 2)}, (SizeRange("length", (5, 9)),))
    assert found == CountedOperations(2 * 5 * (48 + 8), ())


def test_what_is_not_counted_is_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=2)]
    assert counted(tmp_path, nodes, (5, BATCH, 3), {"w": (1, 8, 3), "r": (1, 8, 2)}).uncounted == ("LSTM",)
    # A shape that depends on values: how often the product is taken is not known.
    nodes = [
        helper.make_node("NonZero", ["x"], ["z"]),
        helper.make_node("Cast", ["z"], ["c"], to=1),
        helper.make_node("MatMul", ["w", "c"], ["y"]),
    ]
    assert counted(tmp_path, nodes, (BATCH, 3), {"w": (4, 2)}).uncounted == ("MatMul",)
