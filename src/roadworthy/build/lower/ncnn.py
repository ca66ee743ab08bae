"""Files for ncnn: the ONNX graph converted by pnnx, for one sample a call, in float32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from roadworthy.build.lower import _ncnn_files
from roadworthy.core.errors import UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan

ACCEPTS = ("onnx",)


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """float32 for one sample a call, on one core and on all; none for what ncnn cannot be given (see ``_ncnn_files.unfit``)."""
    if graph.quantized or _ncnn_files.unfit(graph.signature) or not _ncnn_files.converter():
        return
    yield Plan("ncnn", "fp32", threads=1, batch=1)
    if host.cores > 1:
        yield Plan("ncnn", "fp32", threads=host.cores, batch=1)


def unavailable(host: Host) -> Mapping[str, str]:
    """What cannot be made here, by precision."""
    return {} if _ncnn_files.converter() else {"fp32": _ncnn_files.LACKING}


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the network and its weights into ``out``.

    Raises UsageError for a plan that is not offered, BackendMissing without the converter, StepFailed where it fails.
    """
    if plan.precision != "fp32" or plan.batch not in (1, None):
        raise UsageError(f"{plan.name} is not a plan of ncnn: it is made in fp32, for one sample a call")
    _ncnn_files.convert(graph, out)
