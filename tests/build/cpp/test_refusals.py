"""What generated code cannot compute: refused before anything is compiled, by the names of the operator and the node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from roadworthy.build import cpp
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import BATCH, Array, Signature, TensorSpec
from support.models.operator_cases import OperatorCase

IMAGE = (4, 6, 6)


def rounded(constants: dict[str, Array], read_by: str = "s", zero: str = "") -> OperatorCase:
    """A value that is rounded by the scale ``s`` and read by another."""
    nodes = [("QuantizeLinear", ["x", "s", zero], "q", {}), ("DequantizeLinear", ["q", read_by, zero], "y", {})]
    return OperatorCase("", {"x": (4,)}, nodes, constants, opset=21)


REFUSED: dict[str, tuple[OperatorCase, str]] = {
    "an operator that is unknown": (
        OperatorCase("", {"x": (8,)}, [("LayerNormalization", ["x", "s"], "y", {})], {"s": np.ones(8, np.float32)}),
        "LayerNormalization 'node_0'",
    ),
    "a product of two values": (
        OperatorCase("", {"x": (4, 4), "z": (4, 4)}, [("MatMul", ["x", "z"], "y", {})]),
        "MatMul 'node_0': generated code needs its operand 'z' to be a constant",
    ),
    "a kernel that is computed": (
        OperatorCase("", {"x": IMAGE, "z": (4, 3, 3)}, [("Conv", ["x", "z"], "y", {})]),
        "Conv 'node_0': generated code needs its operand 'z'",
    ),
    "three axes": (
        OperatorCase("", {"x": (2, 4, 4, 4)}, [("Conv", ["x", "w"], "y", {})], {"w": np.ones((3, 2, 2, 2, 2), np.float32)}),
        "Conv 'node_0': a convolution over 3 axes",
    ),
    "samples that are moved": (
        OperatorCase("", {"x": (4,)}, [("Transpose", ["x"], "y", {"perm": (1, 0)})]),
        "Transpose 'node_0'",
    ),
    "samples that are reduced": (
        OperatorCase("", {"x": (4,)}, [("ReduceMean", ["x"], "y", {"axes": (0,), "keepdims": 1})]),
        "ReduceMean 'node_0': it reduces the axis of the samples",
    ),
    "samples that are compared": (
        OperatorCase("", {"x": (4,)}, [("Softmax", ["x"], "y", {"axis": 0})]),
        "Softmax 'node_0': it is along the axis of the samples",
    ),
    "samples that are joined": (
        OperatorCase("", {"x": (4,)}, [("Concat", ["x", "x"], "y", {"axis": 0})], samples=2),
        "the first axis of 'y' does not count the samples",
    ),
    "samples that share a constant each": (
        OperatorCase("", {"x": (4,)}, [("Add", ["x", "c"], "y", {})], {"c": np.ones((2, 4), np.float32)}, samples=2),
        "Add 'node_0': its constant differs between samples",
    ),
    "a pad that mirrors": (
        OperatorCase("", {"x": IMAGE}, [("Pad", ["x", "p"], "y", {"mode": "reflect"})], {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}),
        "Pad 'node_0': it pads by reflect",
    ),
    "indices": (
        OperatorCase("", {"x": IMAGE}, [("MaxPool", ["x"], "y i", {"kernel_shape": (2, 2)})]),
        "MaxPool 'node_0': it gives the indices",
    ),
    "a scale for each channel of a value": (
        rounded({"s": np.ones(4, np.float32)}),
        "QuantizeLinear 'node_0': it has a scale for each channel",
    ),
    "a scale of 0": (rounded({"s": np.zeros((), np.float32)}), "QuantizeLinear 'node_0': its scale is not above 0"),
    "16 bits": (
        rounded({"s": np.ones((), np.float32), "z": np.zeros((), np.int16)}, zero="z"),
        "QuantizeLinear 'node_0': it rounds to int16",
    ),
    "numbers that are read by another scale": (
        rounded({"s": np.ones((), np.float32), "t": np.full((), 2, np.float32)}, read_by="t"),
        "DequantizeLinear 'node_1': generated code needs 'q' to come from a QuantizeLinear with the same scale",
    ),
    "whole numbers": (
        OperatorCase("", {"x": (4,)}, [("Cast", ["x"], "i", {"to": 7}), ("Cast", ["i"], "y", {"to": 1})]),
        "Cast 'node_0'",
    ),
}  # fmt: skip


def signature(case: OperatorCase, outputs: Sequence[Array] = ()) -> Signature:
    first = case.samples or BATCH
    inputs = tuple(TensorSpec(name, "float32", (first, *sizes)) for name, sizes in case.inputs.items())
    return Signature(inputs, (TensorSpec("y", "float32", (first, 4)),))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_computed_is_refused_by_name(name: str, tmp_path: Path) -> None:
    case, words = REFUSED[name]
    onnx.save(case.model(), tmp_path / "model.onnx")
    (tmp_path / "out").mkdir()
    with pytest.raises(StepFailed) as caught:
        cpp.generate(tmp_path / "model.onnx", signature(case), tmp_path / "out")
    assert words in caught.value.message
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (TensorSpec("x", "int64", (BATCH, 4)), "'x' is int64"),
        (TensorSpec("x", "float32", (4, BATCH), sample_axis=1), "'x' does not count its samples by its first axis"),
        (TensorSpec("x", "float32", (BATCH, "width")), "'x' has the free size 'width'"),
        (TensorSpec("x", "float32", (1, 4)), "a fixed number"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused_in_words(spec: TensorSpec, words: str, tmp_path: Path) -> None:
    given = Signature((spec, TensorSpec("z", "float32", (BATCH, 4))), (TensorSpec("y", "float32", (BATCH, 4)),))
    assert words in cpp.unfit(given)
    with pytest.raises(StepFailed, match="no code can be generated"):
        cpp.generate(tmp_path / "absent.onnx", given, tmp_path)
    assert not cpp.unfit(replace(given, inputs=given.inputs[1:]))


def test_operators_that_compute_shapes_are_not_lacking() -> None:
    assert cpp.lacking({"Conv", "Shape", "Gather", "Einsum"}) == ["Einsum"]
