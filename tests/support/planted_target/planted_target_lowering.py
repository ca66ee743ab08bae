"""The lowering of the planted runtime for another target: the weights as they are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from roadworthy.build.exported import Export
from roadworthy.build.lower.null import lower
from roadworthy.core.host import Host
from roadworthy.core.stages import Graph, Plan

ACCEPTS = ("npz",)


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    yield Plan("elsewhere")
    yield Plan("elsewhere", threads=2)


def finish(export: Export, out: Path) -> str:
    (out / "labels.txt").write_text("\n".join(export.contract.answer.labels))
    return f"Run it with {export.plan.runtime}."


__all__ = ["ACCEPTS", "finish", "lower", "plans"]
