"""Files for AWS Inferentia: the model as TorchScript, and what compiles, runs and verifies it on the instance."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from roadworthy.build.export import _verify
from roadworthy.build.export._inferentia import script_file
from roadworthy.build.export._templates import filled
from roadworthy.build.exported import Export
from roadworthy.core import codec
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature

ACCEPTS = ("pt2", "jit")
MODEL, TENSORS, PROGRAM = "model.pt", "tensors.json", "neuron.py"
DTYPES = ("float32", "float16", "int32", "int64", "bool", "uint8")


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """float32 for one sample a call, or for as many as the graph holds for."""
    if graph.precision == "fp32":
        yield Plan("inferentia", batch=graph.signature.call_size(1))


def unfit(signature: Signature) -> str:
    """In words, why a model of ``signature`` cannot be compiled for Inferentia; empty where it can."""
    specs = (*signature.inputs, *signature.outputs)
    if other := next((spec for spec in specs if spec.dtype not in DTYPES), None):
        return f"{str(other)!r} has a dtype that it neither takes nor gives"
    if free := next((spec for spec in specs if spec.open_sizes), None):
        return f"{str(free)!r} has a free size, and it compiles for fixed ones"
    return ""


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the model and its tensors' names and sizes into ``out``.

    Raises UsageError for a plan that is not offered, StepFailed for a model that cannot be compiled, by operator and node.
    """
    if plan.precision != "fp32" or plan.batch is None:
        raise UsageError(f"{plan.name} is not a plan of inferentia: it is made in fp32, for calls of a fixed size")
    if words := unfit(graph.signature):
        raise StepFailed(f"Inferentia cannot run this model: {words}; choose another target than inferentia")
    signature = graph.signature.fixed(plan.batch)
    script_file.write(graph, signature, out / MODEL)
    inputs = [{"name": spec.name, "dtype": spec.dtype, "shape": spec.shape} for spec in signature.inputs]
    tensors = {"inputs": inputs, "outputs": [spec.name for spec in signature.outputs]}
    (out / TENSORS).write_bytes(codec.to_json(tensors, indent=2))


def finish(export: Export, out: Path) -> str:
    """Add what compiles, runs and verifies the model on the target; returns how."""
    (out / PROGRAM).write_text(filled("roadworthy.runtimes.exported._on_target", "inferentia_model.py", {}), encoding="utf-8")
    here = f"{__package__}._inferentia"
    script = _verify.script(export, filled(here, "answers.template", {}), ("torch", "torch_neuronx"))
    (out / _verify.NAME).write_text(script, encoding="utf-8")
    fixed = export.signature.fixed(export.plan.batch or 1)
    words = {
        "INPUTS": ", ".join(f'"{spec.name}": array' for spec in export.signature.inputs),
        "STEPS": "; ".join(export.contract.describe()) or "the tensors as the model takes them.",
        "TORCH": version("torch"),
        "BATCH": "one sample" if export.plan.batch == 1 else f"{export.plan.batch} samples",
        "SHAPES": ", ".join(f"`{spec}`" for spec in fixed.inputs),
    }
    return filled(here, "readme.md.template", words)
