"""pnnx: an ONNX graph as the two files of ncnn, in float32, for one sample a call."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path

from roadworthy.core.errors import BackendMissing, StepFailed
from roadworthy.core.stages import Graph
from roadworthy.core.text import LONGEST
from roadworthy.core.types import Signature

PARAM, WEIGHTS = "model.ncnn.param", "model.ncnn.bin"
LACKING = "it needs the converter pnnx; install it with: pip install 'roadworthy[ncnn]'"
CONVERSION_LIMIT = 300


def unfit(signature: Signature) -> str:
    """In words, why ncnn cannot be given a model of ``signature``; empty where it can."""
    specs = (*signature.inputs, *signature.outputs)
    if other := next((spec for spec in specs if spec.dtype != "float32"), None):
        return f"{other.name!r} is {other.dtype}, and ncnn takes and gives float32"
    if apart := next((spec for spec in specs if spec.sample_axis != 0 or not (spec.batched or spec.samples == 1)), None):
        return f"{apart.name!r} does not count its samples by its first axis, one a call, and ncnn has no axis for them"
    if deep := next((spec for spec in signature.inputs if not 2 <= len(spec.shape) <= 5 or spec.open_sizes), None):
        return f"{deep.name!r} has {len(deep.shape) - 1} axes, or free sizes, and ncnn takes 1 to 4 axes of fixed size"
    return ""


def convert(graph: Graph, out: Path) -> None:
    """Write the network and its weights into ``out``.

    Raises BackendMissing without the converter, StepFailed for a model that ncnn cannot run, and where it fails.
    """
    if words := unfit(graph.signature):
        raise StepFailed(f"ncnn cannot run this model: {words}")
    program = converter()
    if program is None:
        raise BackendMissing(f"ncnn's files cannot be made: {LACKING}")
    inputs = graph.signature.fixed(1).inputs
    shapes = ",".join(f"[{','.join(map(str, spec.shape))}]f32" for spec in inputs)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch)
        shutil.copyfile(graph.path, folder / "model.onnx")
        # Its default rounds the weights to float16.
        command = [str(program), "model.onnx", f"inputshape={shapes}", "fp16=0", "device=cpu"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=CONVERSION_LIMIT)
        except subprocess.TimeoutExpired as problem:
            raise StepFailed(f"pnnx took more than {CONVERSION_LIMIT} s to convert {graph.path.name} for ncnn") from problem
        said = (done.stdout + done.stderr).strip()
        if done.returncode or not (folder / PARAM).is_file():
            raise StepFailed(f"pnnx could not convert {graph.path.name} for ncnn (exit {done.returncode}): {_reason(said)}", detail=said)
        if lacking := _lacking(folder / PARAM):
            raise StepFailed(f"ncnn has no layer for {', '.join(lacking)}", detail=said)
        for name in (PARAM, WEIGHTS):
            shutil.move(folder / name, out / name)


def converter() -> Path | None:
    """pnnx's program; its package is not imported, because it imports torch."""
    found = importlib.util.find_spec("pnnx")
    program = Path(found.origin).with_name("pnnx") if found and found.origin else None
    return program if program and program.is_file() else None


def _lacking(param: Path) -> list[str]:
    """Layers that the converter left under their names of PyTorch or ONNX: ncnn has none of that kind."""
    kinds = {line.split()[0] for line in param.read_text().splitlines()[2:] if line.strip()}
    return sorted(kind for kind in kinds if "." in kind or "::" in kind)


def _reason(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return next(
        (line for line in lines if "rror" in line or "failed" in line or "not " in line), lines[-1] if lines else "it said nothing"
    )[:LONGEST]
