"""A ``.tflite`` file for Android and for small boards: float32, int8 weights, or int8 throughout, for one sample a call."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from roadworthy.build.export import _edge, _verify
from roadworthy.build.export._edge import calibrated
from roadworthy.build.export._templates import filled
from roadworthy.build.exported import Export
from roadworthy.build.lower import litert
from roadworthy.core.errors import UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan

ACCEPTS = litert.ACCEPTS
KOTLIN = {"float32": ("FloatArray", "Float"), "int32": ("IntArray", "Int")}
"""The array of a sample in Kotlin, and the word for it in the names of LiteRT's methods."""
PRECISIONS = {
    ("fp32", ""): "float32",
    ("int8", litert.DYNAMIC): "int8 weights; between the layers float32, rounded in each call by the range that it has there",
    ("int8", ""): "int8 weights and activations, calibrated on samples; inputs and outputs keep their types",
}


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """Each precision for one sample a call, on one core and on all: a phone answers one at a time.

    int8 is offered whatever this host can do: every phone's CPU has products of bytes. A file that is for LiteRT already keeps its own.
    """
    if any(spec.open_sizes for spec in graph.signature.inputs) or (graph.format == "onnx" and graph.quantized):
        return
    offered = [Plan("android", graph.precision)]
    if not graph.quantized and graph.format != "tflite":
        offered += [Plan("android", "int8", flavour=litert.DYNAMIC), Plan("android", "int8")]
    batch = 1 if graph.signature.batched else None
    for plan in offered:
        for threads in sorted({1, host.cores}):
            yield replace(plan, batch=batch, threads=threads)


def imports(graph: Graph, plan: Plan) -> str:
    """The module that ``lower`` imports for seconds."""
    return litert.imports(graph, _of_litert(plan))


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write ``out/model.tflite``.

    Raises UsageError for a plan that is not offered and for int8 throughout without samples, BackendMissing without the quantiser,
    StepFailed where it cannot be written.
    """
    if graph.format == "tflite" and plan.precision != graph.precision:
        raise UsageError(f"{plan.name} is not a plan for this file: it is for LiteRT already and keeps its precision, {graph.precision}")
    if graph.format != "onnx" or plan.precision != "int8" or plan.flavour:
        litert.lower(graph, _of_litert(plan), calibration, out)
        return
    if calibration is None:
        raise UsageError("int8 needs samples to calibrate on")
    signature = graph.signature.fixed(plan.batch) if plan.batch else graph.signature
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        litert.lower(graph, _of_litert(replace(plan, precision="fp32")), None, Path(scratch))
        content = calibrated.quantised(Path(scratch) / litert.MODEL, signature, calibration)
    (out / litert.MODEL).write_bytes(content)


def _of_litert(plan: Plan) -> Plan:
    return replace(plan, runtime="litert")


def finish(export: Export, out: Path) -> str:
    """Add the class names, a class in Kotlin and a script that verifies on a board; how they are used, and where the limits are."""
    labels, words = _edge.write_labels(export, out), _edge.tensors(export)
    script = filled(_edge.__name__, "android_answers.py.template", {"THREADS": str(export.plan.threads)})
    (out / _verify.NAME).write_text(_verify.script(export, script, ("ai_edge_litert",)), encoding="utf-8")
    own = {
        "LABELS": labels,
        "PRECISION": PRECISIONS[export.plan.precision, export.plan.flavour],
        "FILES": f" and `{_edge.LABELS}`" if (out / _edge.LABELS).is_file() else "",
        "KOTLIN": _write_kotlin(export, out, words),
        "CALLS": "One sample a call." if export.plan.batch == 1 else "A call has the shape of the model, which is fixed.",
    }
    return filled(_edge.__name__, "android.md.template", words | own)


def _write_kotlin(export: Export, out: Path, words: Mapping[str, str]) -> str:
    """Write ``Classifier.kt`` for a model of one input and one output of simple types; what the README says of it."""
    inputs, outputs = export.signature.inputs, export.signature.outputs
    if len(inputs) != 1 or len(outputs) != 1 or inputs[0].dtype not in KOTLIN or outputs[0].dtype != "float32":
        return (
            "The model has several inputs or outputs, or other types than float32: fill the buffers in the order of the file's signature."
        )
    array, word = KOTLIN[inputs[0].dtype]
    own = {"NAME": export.name, "VERSION": export.version, "ARRAY": array, "WRITE": word}
    (out / "Classifier.kt").write_text(filled(_edge.__name__, "Classifier.kt.template", {**words, **own}), encoding="utf-8")
    return "`Classifier.kt` is a class for this model: `Classifier(context).answer(sample)`. Put it into a package of yours."
