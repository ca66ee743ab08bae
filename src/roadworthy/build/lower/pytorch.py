"""Eager PyTorch in other layouts and precisions; the original as it is needs no plan, it is the baseline."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan

ACCEPTS = ("module",)


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """``channels_last`` in float32 where an input is an image, and bf16 where the CPU computes in it; none for what came quantised."""
    if graph.precision == "int8":
        return
    layout = "channels_last" if any(len(spec.shape) == 4 for spec in graph.signature.inputs) else ""
    if layout:
        yield Plan("pytorch", "fp32", threads=host.cores, flavour=layout)
    if "bf16" not in unavailable(host):
        yield Plan("pytorch", "bf16", threads=host.cores, flavour=layout)


def forms(graph: Graph, host: Host) -> Iterable[Plan]:
    """torch.compile, for a comparison and not for a deployment: each process compiles again at its first request, with a C++ compiler."""
    yield Plan("pytorch", threads=host.cores, flavour="compile")


def unavailable(host: Host) -> Mapping[str, str]:
    """bf16 without instructions for it is slower than float32."""
    return {} if host.has("avx512_bf16") or host.has("amx_bf16") else {"bf16": "bf16 needs a CPU with avx512_bf16 or amx_bf16"}


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Copy the module's file; its name says which form of module it is."""
    shutil.copyfile(graph.path, out / graph.path.name)
