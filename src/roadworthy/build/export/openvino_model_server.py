"""A model repository for OpenVINO Model Server: ``NAME/1/model.xml``, its weights, and ``config.json`` with the precision stated."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from roadworthy.build.export import _verify
from roadworthy.build.export._servers import oip_verify
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
    streams = max(1, usable_cores() // export.plan.threads)
    properties = ((STREAMS, str(streams)), (THREADS, str(streams * export.plan.threads)))
    entry = _entry(export.name)
    plugin = tuple({**dict(entry.plugin), **dict(properties)}.items())
    (out / FILE).write_text(ovms_config.text((replace(entry, plugin=plugin, nireq=streams),)))
    (out / _verify.NAME).write_text(oip_verify.script(export, output_names(export.signature)))
    return _how_to_run(export, streams)


def _entry(name: str) -> OvmsModel:
    """The model's entry for one stream; float32 is stated, because the server's default is bf16 on some CPUs."""
    plugin = ((PRECISION, "f32"), ("PERFORMANCE_HINT", "LATENCY"), (STREAMS, "1"))
    return OvmsModel(name, f"{MOUNTED}/{name}", plugin, target_device="CPU", nireq=1)


def _how_to_run(export: Export, streams: int) -> str:
    limits = (
        f"- {streams} stream(s) of {export.plan.threads} thread(s) each: set `{STREAMS}` and `nireq` to the cores of the server divided by "
        f"{export.plan.threads}, and `{THREADS}` to its cores.",
        f"- `{PRECISION}` is stated: without it the server computes in bf16 on a CPU that has it.",
        "- The server gathers no requests: a call has the samples that its request has.",
        "- Class names are not part of such a repository: the answers are numbers, in the order of the labels of the bundle.",
    )
    run = f"docker run --rm -p 8000:8000 -v $PWD:{MOUNTED} openvino/model_server:latest --config_path {MOUNTED}/{FILE} --rest_port 8000"
    return "\n".join(("```", run, "SERVER_URL=http://localhost:8000 python verify.py", "```", "", *limits))
