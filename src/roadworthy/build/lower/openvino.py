"""Files for OpenVINO: a graph as its own format in float32, or quantised to int8 by NNCF; what comes quantised stays as it is."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from roadworthy.build.lower import _openvino_graph, _openvino_int8, int8_flavour
from roadworthy.core.errors import RoadworthyError, StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import PINNED, Graph, Plan, Precision
from roadworthy.runtimes._reasons import reason

ACCEPTS = ("graphdef", "onnx", "saved_model", "tflite", "pt2", "jit")
"""From a frozen GraphDef and from the ONNX made of it come the same layers at the same speed; the former has passed one converter less.
PyTorch's own graphs come last, for the operators that ONNX does not have."""
MODEL = "model.xml"
REPAIRS = (_openvino_int8.SENSITIVE,)
BF16 = "bf16"
"""The option by which the layers that are not int8 compute in bf16."""
NEEDS: dict[Precision, tuple[str, ...]] = {"bf16": ("avx512_bf16", "amx_bf16"), "fp16": ("avx512_fp16", "amx_fp16")}
"""CPU features of which one is needed for a precision; without it the plugin computes in float32 instead."""


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """Every precision of this host, for any batch and, where the model allows it, for exactly one sample a call.

    A fixed batch lets the plugin plan its memory and choose its kernels ahead. One thread is for small models.
    """
    lacking = unavailable(host)
    precisions: tuple[Precision, ...] = ("int8",) if graph.quantized else ("fp32", "bf16", "fp16")
    for precision in precisions:
        if precision in lacking and not graph.quantized:
            continue
        plan = Plan("openvino", precision, host.cores)
        yield plan
        if graph.signature.batched:
            yield replace(plan, batch=1)
            if host.cores > 1 and precision != "fp16":
                yield replace(plan, batch=1, threads=1)
    if not graph.quantized and "int8" not in lacking:
        yield from _int8(graph, host)


def _int8(graph: Graph, host: Host) -> Iterable[Plan]:
    """int8 for one sample a call, the most promising first; for any batch; and what may be more accurate where that one is not enough.

    The other layers compute in bf16 where the CPU has it. In float32 only the most promising one does so as well.
    """
    rest = (BF16,) if any(map(host.has, NEEDS["bf16"])) else ()
    plan = Plan("openvino", "int8", host.cores, batch=1 if graph.signature.batched else None, flavour=int8_flavour(host), options=rest)
    yield plan
    if rest:
        yield replace(plan, options=())
    if host.cores > 1 and graph.signature.batched:
        yield replace(plan, threads=1)
    if host.cores == host.machine_cores > 1:
        yield replace(plan, options=(*rest, PINNED))
    if graph.signature.batched:
        yield replace(plan, batch=None)
    for word in (_openvino_int8.MIXED, _openvino_int8.SENSITIVE):
        yield replace(plan, flavour="-".join(filter(None, (word, plan.flavour))))


def unavailable(host: Host) -> Mapping[str, str]:
    """What this host cannot make or run, by precision."""
    reasons: dict[str, str] = {
        precision: f"{precision} needs a CPU with {' or '.join(any_of)}"
        for precision, any_of in NEEDS.items()
        if not any(map(host.has, any_of))
    }
    if importlib.util.find_spec("nncf") is None:
        reasons["int8"] = "int8 needs the package nncf; install it with: pip install 'roadworthy[int8]'"
    return reasons


def imports(graph: Graph, plan: Plan) -> str:
    """The module that ``lower`` imports for seconds."""
    if plan.precision == "int8" and graph.precision != "int8":
        return "nncf"
    return "roadworthy.frameworks.torch.preload" if graph.format in ("pt2", "jit") else ""


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write ``out/model.xml`` and ``model.bin``: weights in float32 (the plugin converts them for bf16 and fp16) or int8.

    Raises UsageError for int8 without samples, StepFailed where a conversion fails.
    """
    # As in the runtime: telemetry is off.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    to_quantise = plan.precision == "int8" and graph.precision != "int8"
    if to_quantise and calibration is None:
        raise UsageError("int8 needs samples to calibrate on")
    try:
        model = _openvino_graph.read(graph)
        if calibration is not None and to_quantise:
            model = _openvino_int8.quantise(model, calibration, graph.signature, plan.flavour)
        if plan.batch is not None:
            fixed = graph.signature.fixed(plan.batch)
            model.reshape({spec.name: [size if isinstance(size, int) else -1 for size in spec.shape] for spec in fixed.inputs})
        # The default halves the weights to fp16 without a word.
        openvino.save_model(model, out / MODEL, compress_to_fp16=False)
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        raise StepFailed(
            f"OpenVINO could not make {plan.artefact} of the {graph.format} graph {graph.path.name}: {reason(problem)}", detail=str(problem)
        ) from problem
