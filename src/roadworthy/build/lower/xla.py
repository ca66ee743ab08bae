"""A frozen graph for XLA, which compiles it where it runs: for any batch size as it comes, or for exactly one sample a call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from roadworthy.build.lower import _graphdef
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan

ACCEPTS = ("graphdef", "saved_model", "keras")


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """float32 for any batch and, where the model allows it, for one sample, compiled before the first request.

    None where another axis is open: XLA would compile again at the first request of each size.
    """
    if graph.signature.sizes:
        return
    plan = Plan("xla", threads=host.cores)
    yield plan
    if graph.signature.batched:
        yield replace(plan, batch=1)


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the frozen graph with its entry; what XLA compiles belongs to one CPU and one process.

    Raises StepFailed where the graph cannot be frozen.
    """
    _graphdef.freeze(graph, out, plan)
