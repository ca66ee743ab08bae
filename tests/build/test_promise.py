"""What a deployment promises is what every one of its graphs was proven to keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from roadworthy.build.graphs import promised
from roadworthy.core.stages import Graph
from roadworthy.core.types import Signature, TensorSpec

OPEN = Signature((TensorSpec("x", "float32", ("batch", 4)),), (TensorSpec("y", "float32", ("batch", 2)),))


def graph(signature: Signature) -> Graph:
    return Graph("any", Path("graph"), signature, "test")


def test_the_least_proven_limit_ispromised() -> None:
    graphs = tuple(graph(replace(OPEN, max_batch=limit)) for limit in (None, 16, 64))
    assert promised(OPEN, graphs).max_batch == 16


def test_without_a_limit_none_ispromised_and_a_fixed_graph_limits_its_own_plans_alone() -> None:
    assert promised(OPEN, (graph(OPEN), graph(OPEN.fixed(1)))) == OPEN
