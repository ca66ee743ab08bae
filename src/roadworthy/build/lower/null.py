"""The linear map of the null runtime: the graph already is what the runtime loads."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan

ACCEPTS = ("npz",)


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """One plan: float32, any batch."""
    yield Plan("null")


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Copy the weights."""
    shutil.copyfile(graph.path, out / "model.npz")
