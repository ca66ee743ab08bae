"""A model repository for OpenVINO Model Server: ``NAME/1/model.xml``, its weights, and ``config.json`` with the precision stated."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from roadworthy.build.export._servers import verify
from roadworthy.build.export._templates import filled
from roadworthy.build.exported import Export
from roadworthy.build.lower import _openvino_graph
from roadworthy.core.errors import RoadworthyError, StepFailed, UsageError
from roadworthy.core.host import Host, usable_cores
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BYTES, output_names
from roadworthy.other_servers import ovms_config
from roadworthy.other_servers.ovms_config import FILE, PRECISION, STREAMS, THREADS, OvmsModel
from roadworthy.runtimes._reasons import reason

ACCEPTS = ("onnx", "saved_model", "graphdef", "tflite")
MODEL, VERSION = "model.xml", "1"
SERVER = "OpenVINO Model Server"
"""What the server calls itself."""
UNNAMED = "model"
"""The folder's name until the export has one."""
MOUNTED = "/models"
"""Where the README's command shows the server this repository."""


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """On one core and on all, in float32, or as the graph came quantised."""
    if graph.unfolded:
        return
    plan = Plan("openvino_model_server", graph.precision, threads=1)
    yield plan
    if host.cores > 1:
        yield replace(plan, threads=host.cores)


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the model's folder and a ``config.json`` that says all but the number of threads, which ``finish`` adds.

    Raises UsageError for a plan that is not offered, StepFailed for what OpenVINO cannot convert.
    """
    if plan.precision != graph.precision or plan.batch not in (None, *(spec.samples for spec in graph.signature.inputs)):
        raise UsageError(f"{plan.name} is not a plan of OpenVINO Model Server: the graph is deployed as it is")
    if texts := [spec.name for spec in graph.signature.inputs if spec.dtype == BYTES]:
        raise StepFailed(f"OpenVINO Model Server cannot run this model: {texts[0]!r} takes strings, which OpenVINO's CPU has not")
    # Importing the package reports the import to its maker, unless its reporting half cannot be found.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    folder = out / UNNAMED / VERSION
    folder.mkdir(parents=True)
    try:
        # The default halves the weights to fp16 without a word.
        openvino.save_model(_openvino_graph.read(graph), folder / MODEL, compress_to_fp16=False)
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        raise StepFailed(f"OpenVINO cannot convert {graph.path.name}: {reason(problem)}", detail=str(problem)) from problem
    (out / FILE).write_text(ovms_config.text((_entry(UNNAMED),)))


def finish(export: Export, out: Path) -> str:
    """Name the model; add its threads and ``verify.py``."""
    (out / UNNAMED).rename(out / export.name)
    threads, streams = export.plan.threads, max(1, usable_cores() // export.plan.threads)
    (out / FILE).write_text(ovms_config.text((_entry(export.name, streams, streams * threads),)))
    verify.write_for_oip(export, out, SERVER, output_names(export.signature))
    words = {
        "STEPS": "; ".join(export.contract.describe()) or "the tensors as the model takes them.",
        "VERSION": version("openvino"),
        "STREAMS": str(streams),
        "THREADS": str(threads),
    }
    return filled(f"{__package__}._servers", "openvino_model_server.md.template", words)


def _entry(name: str, streams: int = 1, threads: int | None = None) -> OvmsModel:
    """The model's entry; float32 is stated, because the server's default is bf16 on some CPUs."""
    plugin = {PRECISION: "f32", "PERFORMANCE_HINT": "LATENCY", STREAMS: str(streams)} | ({THREADS: str(threads)} if threads else {})
    return OvmsModel(name, f"{MOUNTED}/{name}", tuple(plugin.items()), target_device="CPU", nireq=streams)
