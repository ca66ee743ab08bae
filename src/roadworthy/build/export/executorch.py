"""ExecuTorch for phones and boards: ``model.pte``, carried out by XNNPACK, and a small program that runs it on x86-64 Linux."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from roadworthy.build.export import _edge, _verify
from roadworthy.build.export._executorch import runner
from roadworthy.build.export._templates import filled
from roadworthy.build.exported import Export
from roadworthy.build.program import compiler, licences, sources
from roadworthy.core.errors import RoadworthyError, StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.text import named_line
from roadworthy.core.types import Signature

ACCEPTS = ("pt2",)
MODEL = "model.pte"
SECONDS = 20.0
DTYPES = ("float32", "float64", "int64", "int32", "uint8", "int8", "bool")
DELEGATED = ("executorch_call_delegate", "getitem")
"""What is left in a graph that XNNPACK carries out whole."""


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """float32 for one sample a call, on one core and on all.

    A file for any number of samples is laid out in memory for a number that ExecuTorch itself chooses, and refuses larger calls.
    """
    if graph.precision != "fp32" or _unfit(graph.signature):
        return
    batch = 1 if graph.signature.batched else None
    for threads in sorted({1, host.cores}):
        yield Plan("executorch", "fp32", threads=threads, batch=batch)


def require() -> None:
    """Raise BackendMissing without ExecuTorch's package, ProgramMissing without a C++ compiler."""
    runner.wheel()
    compiler.require()


def imports(graph: Graph, plan: Plan) -> str:
    """The module that ``lower`` imports for seconds."""
    return "torch"


def _unfit(signature: Signature) -> str:
    specs = (*signature.inputs, *signature.outputs)
    if other := next((spec for spec in specs if spec.dtype not in DTYPES), None):
        return f"{other.name!r} is {other.dtype}, and ExecuTorch's program takes {', '.join(DTYPES)}"
    return sources.unfit(signature)


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write ``model.pte``, ``program`` and ``lib/`` into ``out``.

    Raises UsageError for a plan that is not offered, BackendMissing without ExecuTorch, ProgramMissing without a compiler, StepFailed
    where the model cannot be lowered.
    """
    if plan.precision != "fp32" or plan.batch not in (1, None) or (plan.batch is None and graph.signature.dynamic):
        raise UsageError(f"{plan.name} is not a plan of ExecuTorch: it is made in fp32, for one sample a call")
    if words := _unfit(graph.signature):
        raise StepFailed(f"ExecuTorch cannot run this model: {words}")
    require()
    signature = graph.signature.fixed(plan.batch) if plan.batch else graph.signature
    try:
        program, others = _lowered(graph.path, signature)
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        raise StepFailed(f"ExecuTorch could not lower {graph.path.name}: {named_line(problem)}", detail=str(problem)) from problem
    (out / MODEL).write_bytes(program)
    runner.write(out, "model", graph.signature, threads=plan.threads, batch=signature.call_size(1), kernels=bool(others))


def _lowered(path: Path, signature: Signature) -> tuple[bytes, list[str]]:
    """The file's content, and the operators that XNNPACK leaves to ExecuTorch's own kernels."""
    import torch

    with warnings.catch_warnings(action="ignore"), contextlib.redirect_stderr(io.StringIO()):
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        logging.getLogger("executorch").setLevel(logging.ERROR)
        captured = torch.export.load(path)
        module = captured.module(check_guards=False)
        examples = tuple(_example(tensor, spec) for tensor, spec in zip(captured.example_inputs[0], signature.inputs, strict=True))
        with torch.no_grad():
            fixed = torch.export.export(module, examples)
        made = to_edge_transform_and_lower(fixed, partitioner=[XnnpackPartitioner()]).to_executorch()
    calls = (node.target for node in made.exported_program().graph.nodes if node.op == "call_function")
    names = {getattr(call, "__name__", str(call)) for call in calls}
    return bytes(made.buffer), sorted(names.difference(DELEGATED))


def _example(tensor: Any, spec: Any) -> Any:
    """The captured example, contiguous, of as many samples as ``spec`` has."""
    axis = spec.sample_axis
    return (tensor if axis is None else tensor.narrow(axis, 0, int(spec.shape[axis]))).contiguous()


def finish(export: Export, out: Path) -> str:
    """Add the class names, the runtime's licence and a script that verifies on a board; how the file is run, and where the limits are."""
    labels = _edge.write_labels(export, out)
    licences.write(out, {"executorch.txt": runner.licence()})
    names = {"INPUTS": [spec.name for spec in export.signature.inputs], "OUTPUTS": [spec.name for spec in export.signature.outputs]}
    script = filled(_edge.__name__, "executorch_answers.py.template", {word: repr(found) for word, found in names.items()})
    (out / _verify.NAME).write_text(_verify.script(export, script, ("executorch", "torch")), encoding="utf-8")
    kernels = (out / runner.LIBRARIES / runner.KERNELS).is_file()
    words = {
        "VERSION": version("executorch"),
        "KERNELS": " and its optimised kernels" if kernels else "",
        "LABELS": labels,
    }
    return filled(_edge.__name__, "executorch.md.template", _edge.tensors(export) | words)
