"""The lowering of the planted runtime: one plan that errs, and one of which the child dies."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterable
from pathlib import Path

from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan

ACCEPTS = ("npz", "second")


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    yield Plan("planted", flavour="errs by=0.5")
    yield Plan("planted", flavour="dies")


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    if plan.flavour == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if plan.flavour == f"fails from {graph.format}" or plan.flavour == "fails from any":
        raise ValueError(f"no {graph.format} today")
    shutil.copyfile(graph.path, out / "model.npz")
