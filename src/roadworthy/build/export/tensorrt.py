"""Files for TensorRT: the ONNX graph, the sizes that an engine is built for, and what builds, runs and verifies it on the GPU's machine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path

from roadworthy.build.export import _onnx_file, _verify
from roadworthy.build.export._templates import filled
from roadworthy.build.export._tensorrt import checks, onnx_file
from roadworthy.build.exported import Export
from roadworthy.core import codec
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec, output_names

ACCEPTS = ("onnx",)
_HERE = f"{__package__}._tensorrt"
MODEL, PROFILE, ENGINE = "model.onnx", "profile.json", "engine.py"
DTYPES = ("float32", "float16", "int32", "int64", "bool", "uint8")
"""What an engine takes and gives."""
WHOLE = "TF32 is off: TensorRT's default would round the inputs of each product to 10 bits. Turn it on yourself, and the gate may fail."
HALF = "Weights and products are float16, as the file says: TensorRT 11 has no flag for it. The gate is that of the error found on a CPU."


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """The graph in its own precision; and a float32 graph in float16, which is lossy."""
    yield Plan("tensorrt", graph.precision)
    if graph.precision == "fp32":
        yield Plan("tensorrt", "fp16")


def unfit(signature: Signature) -> str:
    """In words, why TensorRT cannot be given a model of ``signature``; empty where it can."""
    specs = (*signature.inputs, *signature.outputs)
    other = next((spec for spec in specs if spec.dtype not in DTYPES), None)
    return f"{str(other)!r} has a dtype that it neither takes nor gives" if other else ""


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the model and the sizes that an engine is built for into ``out``.

    Raises UsageError for a plan that is not offered, StepFailed where TensorRT lacks what the model needs, by operator and node.
    """
    half = plan.precision == "fp16" and graph.precision == "fp32"
    if plan.batch is not None or not (half or plan.precision == graph.precision):
        raise UsageError(f"{plan.name} is not a plan of tensorrt")
    if words := unfit(graph.signature):
        raise StepFailed(f"TensorRT cannot run this model: {words}; choose another target than tensorrt")
    onnx_file.write(graph.path, out / MODEL, half=half)
    inputs = {spec.name: _sizes(spec, graph.signature) for spec in graph.signature.inputs if spec.symbols}
    (out / PROFILE).write_bytes(codec.to_json({"strongly_typed": half, "inputs": inputs}, indent=2))


def _sizes(spec: TensorSpec, signature: Signature) -> dict[str, list[int]]:
    """The smallest, the usual and the largest shape of an input: no larger than the answers were compared at."""
    ranges = {one.symbol: one for one in signature.sizes}
    least = {BATCH: 1} | {symbol: one.least for symbol, one in ranges.items()}
    usual = {BATCH: 1} | {symbol: one.sizes[0] for symbol, one in ranges.items()}
    most = {BATCH: signature.call_size(_verify.MOST_SAMPLES)} | {symbol: max(one.sizes) for symbol, one in ranges.items()}
    return {word: [int(size) for size in spec.at(sizes).shape] for word, sizes in (("min", least), ("opt", usual), ("max", most))}


def finish(export: Export, out: Path) -> str:
    """Add what builds, runs and verifies the engine on the target; returns how."""
    names = {name: spec.name for name, spec in zip(output_names(export.signature), export.signature.outputs, strict=True)}
    (out / ENGINE).write_text(filled("roadworthy.runtimes.exported._on_target", "tensorrt_engine.py", {}), encoding="utf-8")
    (out / "build.sh").write_text(_build_script(out), encoding="utf-8")
    (out / "build.sh").chmod(0o755)
    changed = {name: own for name, own in names.items() if name != own}
    script = _verify.script(export, filled(_HERE, "answers.template", {"NAMES": repr(changed)}), ("tensorrt", "polygraphy"))
    (out / _verify.NAME).write_text(script, encoding="utf-8")
    return _readme(export, out)


def _readme(export: Export, out: Path) -> str:
    profile = json.loads((out / PROFILE).read_bytes())
    sizes = [f"`{name}` {shapes['min']} to {shapes['max']}, tuned for {shapes['opt']}" for name, shapes in profile["inputs"].items()]
    words = {
        "INPUTS": ", ".join(f'"{spec.name}": array' for spec in export.signature.inputs),
        "STEPS": "; ".join(export.contract.describe()) or "the tensors as the model takes them.",
        "OPSET": str(_onnx_file.opset_of(out / MODEL)),
        "SIZES": "; ".join(sizes) or "those of the model, which are fixed",
        "PRECISION": HALF if profile["strongly_typed"] else WHOLE,
        "CHECKS": "\n".join(f"- {line}" for line in checks.findings(out / MODEL)),
    }
    return filled(_HERE, "readme.md.template", words)


def _build_script(out: Path) -> str:
    profile = json.loads((out / PROFILE).read_bytes())
    options = ["--stronglyTyped"] if profile["strongly_typed"] else []
    for word in ("min", "opt", "max"):
        shapes = ",".join(f"{_named(name)}:{'x'.join(map(str, sizes[word]))}" for name, sizes in profile["inputs"].items())
        options += [shlex.quote(f"--{word}Shapes={shapes}")] if shapes else []
    return filled(_HERE, "build.sh.template", {"OPTIONS": "".join(f" \\\n    {option}" for option in options)})


def _named(name: str) -> str:
    """A tensor's name as trtexec reads it: in quotes where it has a character that means something there."""
    return name if name.replace("_", "").replace(".", "").isalnum() else f"'{name}'"
