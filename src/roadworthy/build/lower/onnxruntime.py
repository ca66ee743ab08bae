"""Files for ONNX Runtime: the ONNX graph as one file, in float32 or quantised to int8 with QDQ operators; or as it came, quantised."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from roadworthy.build.lower import int8_flavour
from roadworthy.build.lower._onnxruntime import answers, clean, int8
from roadworthy.core.errors import RoadworthyError, StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.runtimes._reasons import reason

ACCEPTS = ("onnx",)
MODEL = "model.onnx"
REPAIRS = (int8.PERCENTILE, int8.MIXED)
"""As fast as the first recipe at best."""


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """float32 and int8, each on all cores and on one (small models lose more to waking threads than they gain), and spinning.

    Two more recipes of int8 are as fast, or nearly, and are for models that lose too much by the first one. What came quantised keeps
    its precision.
    """
    yield from _on_threads(Plan("onnxruntime", graph.precision), host)
    if graph.precision == "int8":
        return
    first = Plan("onnxruntime", "int8", flavour=int8.flavour(int8_flavour(host), host))
    yield from _on_threads(first, host)
    for more in ((int8.PERCENTILE,), (int8.PERCENTILE, int8.MIXED)):
        *_, fastest = _on_threads(replace(first, flavour="-".join(filter(None, (first.flavour, *more)))), host)
        yield fastest


def _on_threads(plan: Plan, host: Host) -> Iterable[Plan]:
    """``plan`` on all cores; on one; and on all while waiting threads spin, where there are several."""
    yield replace(plan, threads=host.cores)
    if host.cores > 1:
        yield replace(plan, threads=1)
        yield replace(plan, threads=host.cores, spin=True)


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write ``out/model.onnx``, and its weights beside it where it is too large for one file.

    Raises UsageError for a plan that is not offered here, StepFailed where quantising fails.
    """
    # As in the runtime: set before the first import, this turns the library's telemetry off.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # A batch is fixed only where the graph holds for that size alone.
    if plan.batch not in (None, *(spec.samples for spec in graph.signature.inputs)) or plan.precision not in ("fp32", "int8"):
        raise UsageError(f"{plan.name} is not a plan of ONNX Runtime")
    if plan.precision == "int8" and not graph.quantized:
        int8.file_of(graph, plan, plan.flavour, calibration, out)
        return
    try:
        _write(graph, calibration, out)
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        raise StepFailed(
            f"ONNX Runtime could not make {plan.artefact} of {graph.path.name}: {reason(problem)}", detail=str(problem)
        ) from problem


def _write(graph: Graph, calibration: SampleSet | None, out: Path) -> None:
    """The graph in its own precision: cleaned, unless it came quantised, where each operator is meant to stand where it stands."""
    import onnx

    with tempfile.TemporaryDirectory(dir=out) as scratch:
        path = graph.path
        if not graph.quantized:
            path = clean.for_batches(path, graph.signature, answers.calls(graph.signature, calibration), Path(scratch))
        model = onnx.load(path)
        # Protobuf ends at 2 GiB, and of a larger model it cannot even say the size.
        large = clean.weights_bytes(model) >= clean.LARGEST
        onnx.save(model, out / MODEL, save_as_external_data=large, location=f"{MODEL}.data" if large else None)
