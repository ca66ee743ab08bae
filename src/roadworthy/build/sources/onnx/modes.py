"""The operators of an ONNX graph that behave as in training: one of them explains why a proof of inference mode failed."""

from __future__ import annotations

from typing import Any

import numpy as np

from roadworthy.build.sources.model import SameAnswer
from roadworthy.build.sources.onnx.nodes import every_node
from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.core.types import Arrays

RANDOM = frozenset({
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli",
})  # fmt: skip


class TrainingNodes:
    """The random and batch-normalising nodes of one model."""

    def __init__(self, model: Any) -> None:
        values = {tensor.name: tensor for tensor in model.graph.initializer}
        nodes = list(every_node(model.graph))
        values |= {node.output[0]: node.attribute[0].t for node in nodes if node.op_type == "Constant" and len(node.attribute) == 1}
        self._random = [node for node in nodes if node.op_type in RANDOM or (node.op_type == "Dropout" and _trains(node, values))]
        self._batch = [node for node in nodes if node.op_type == "BatchNormalization" and _attribute(node, "training_mode")]

    def locate(self, first: Arrays, second: Arrays, same: SameAnswer) -> str:
        """The first node that explains it, in words; LookupError where the graph has none."""
        again = all(np.array_equal(array, second[name]) for name, array in first.items())
        node = next(iter(self._random if again else self._batch), None)
        if node is None:
            raise LookupError("no node of the graph draws random numbers or normalises as in training")
        return f"{shown(node.name or node.output[0])!r} ({node.op_type})"


def _trains(dropout: Any, values: dict[str, Any]) -> bool:
    """Whether its third input, the switch, is on. Before opset 12 there was no such input, and a dropout did nothing."""
    if len(dropout.input) < 3 or not dropout.input[2]:
        return False
    switch = values.get(dropout.input[2])
    return switch is None or any(switch.raw_data) or any(switch.int32_data)


def _attribute(node: Any, name: str) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)
