"""The worked examples of the search for outputs and of constant branches, on graphs that need no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from roadworthy.build.sources.tensorflow import constant_branches
from roadworthy.build.sources.tensorflow.output_search import search
from roadworthy.core.errors import UsageError

FILE = Path("graph.pb")


@dataclass(eq=False)
class Operation:
    """What the search reads of a ``tf.Operation`` with one result."""

    name: str
    type: str
    inputs: list[Tensor]
    outputs: list[Tensor] = field(default_factory=list)


@dataclass(eq=False)
class Tensor:
    op: Operation
    rank: int
    used_by: list[Operation] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.op.name}:0"

    @property
    def shape(self) -> Any:
        return SimpleNamespace(rank=self.rank, as_list=lambda: [None] * self.rank)

    @property
    def dtype(self) -> Any:
        return SimpleNamespace(name="float32", is_floating=True)

    def consumers(self) -> list[Operation]:
        return self.used_by


class TensorFlowGraph:
    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def add(self, name: str, type: str, *inputs: Tensor, rank: int = 2) -> Tensor:
        operation = Operation(name, type, list(inputs))
        operation.outputs.append(Tensor(operation, rank))
        for tensor in inputs:
            tensor.used_by.append(operation)
        self.operations.append(operation)
        return operation.outputs[0]


def trained(labels: str = "y") -> tuple[TensorFlowGraph, Tensor, Tensor]:
    """The graph of the docstring of ``output_search``, its ``x`` and its ``y``."""
    graph = TensorFlowGraph()
    x, y = graph.add("x", "Placeholder"), graph.add(labels, "Placeholder")
    weights = graph.add("dense/w", "VariableV2")
    logits = graph.add("logits", "BiasAdd", graph.add("dense/MatMul", "MatMul", x, weights))
    graph.add("softmax", "Softmax", logits)
    graph.add("dense/Summary", "HistogramSummary", logits)
    graph.add("accuracy", "Mean", graph.add("Equal", "Equal", graph.add("ArgMax", "ArgMax", logits), y), rank=0)
    loss = graph.add("loss", "Mean", graph.add("xent", "SoftmaxCrossEntropyWithLogits", logits, y), rank=0)
    gradient = graph.add("gradients/loss_grad", "RealDiv", loss)
    graph.add("ApplyAdam", "ApplyAdam", weights, gradient)
    graph.add("save/SaveV2", "SaveV2", weights)
    return graph, x, y


def test_the_output_of_a_trained_graph_is_what_the_model_alone_ends_in() -> None:
    graph, x, y = trained()
    assert [tensor.name for tensor in search(graph.operations, [], [x, y], [y], FILE)] == ["softmax:0"]


def test_a_label_is_known_without_its_name() -> None:
    graph, x, y = trained("Placeholder_1")
    assert [tensor.name for tensor in search(graph.operations, [], [x, y], [], FILE)] == ["softmax:0"]


def test_a_setting_that_meets_the_weights_is_no_label() -> None:
    graph, x, y = trained("Placeholder_1")
    scale = graph.add("scale", "Placeholder", rank=0)
    scaled = graph.add("scaled", "Mul", next(op for op in graph.operations if op.name == "softmax").outputs[0], scale)
    assert [tensor.name for tensor in search(graph.operations, [], [x, y, scale], [], FILE)] == ["scaled:0"]
    assert scaled.op in scale.used_by


def test_a_second_end_is_a_choice_of_the_user() -> None:
    graph, x, y = trained()
    logits = next(op for op in graph.operations if op.name == "logits").outputs[0]
    graph.add("embedding", "Tanh", logits)
    with pytest.raises(UsageError, match=r"ends in several places: softmax:float32\[batch,softmax_1\] \(Softmax\), embedding.*\(Tanh\)"):
        search(graph.operations, [], [x, y], [y], FILE)


def test_a_graph_that_ends_in_a_loss_alone_names_it() -> None:
    graph = TensorFlowGraph()
    x = graph.add("x", "Placeholder")
    loss = graph.add("loss", "Mean", x, rank=0)
    graph.add("gradients/loss_grad", "RealDiv", loss)
    with pytest.raises(UsageError, match=r"single numbers, as a loss is: loss:float32\[\] \(Mean\)"):
        search(graph.operations, [], [x], [], FILE)


def node(name: str, op: str, *inputs: str, **attributes: Any) -> Any:
    return SimpleNamespace(name=name, op=op, input=list(inputs), attr=attributes)


def shown(graph: Any) -> dict[str, tuple[str, list[str]]]:
    return {one.name: (one.op, one.input) for one in graph.node}


def test_the_side_of_a_switch_that_never_runs_leaves_the_graph() -> None:
    graph = SimpleNamespace(
        node=[
            node("s", "Switch", "x", "is_training"),
            node("y", "Merge", "k", "d", N=SimpleNamespace(i=2)),  # before its inputs: a GraphDef has no order
            node("d", "Dropout", "s:1"),
            node("k", "Identity", "s"),
        ]
    )
    constant_branches._remove_dead(graph, {"s": False})
    assert shown(graph) == {"s": ("Identity", ["x"]), "y": ("Identity", ["k"]), "k": ("Identity", ["s"])}


def test_a_loop_that_is_never_entered_leaves_the_graph() -> None:
    graph = SimpleNamespace(
        node=[
            node("s", "Switch", "x", "is_training"),
            node("enter", "Enter", "s:1"),
            node("again", "Merge", "enter", "next", N=SimpleNamespace(i=2)),
            node("next", "NextIteration", "again"),
            node("exit", "Exit", "again"),
            node("y", "Merge", "s", "exit", N=SimpleNamespace(i=2)),
        ]
    )
    constant_branches._remove_dead(graph, {"s": False})
    assert shown(graph) == {"s": ("Identity", ["x"]), "y": ("Identity", ["s"])}


def test_the_second_output_of_a_switch_is_the_only_one_of_the_identity() -> None:
    graph = SimpleNamespace(
        node=[
            node("s", "Switch", "x", "is_training", "^order"),
            node("d", "Dropout", "s:1"),
            node("k", "Identity", "s:0"),
            node("y", "Merge", "k", "d", "other", N=SimpleNamespace(i=3)),
        ]
    )
    constant_branches._remove_dead(graph, {"s": True})
    assert shown(graph) == {"s": ("Identity", ["x", "^order"]), "d": ("Dropout", ["s"]), "y": ("Merge", ["d", "other"])}
    assert graph.node[-1].attr["N"].i == 2, "a Merge that several values can still reach has as many inputs"
