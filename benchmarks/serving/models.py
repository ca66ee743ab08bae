"""The two models that every server is measured on: a tiny CNN, where the server is what counts, and a ResNet-18, where it should not.

Both have random weights and are deployed by Roadworthy to ONNX Runtime in float32; every other server runs the ``model.onnx`` out of
that very bundle, so that nothing but the serving differs.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results" / "serving"
ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))
SHAPES = {"tiny": (1, 28, 28), "resnet18": (3, 224, 224)}
MAKE = {
    "tiny": "from tiny_network import Tiny; torch.manual_seed(0); net = Tiny()",
    "resnet18": "from networks import resnet18; net = resnet18()",
}
ARCHITECTURES = {"tiny": HERE / "tiny_network.py", "resnet18": HERE.parent / "networks.py"}
CLASSES = {"tiny": "Tiny", "resnet18": "ResNet18"}


@dataclass(frozen=True)
class Model:
    """A deployed model: its bundle, the ONNX file in it, one input [1, *shape] float32 and the runtime's own answer [1, classes]."""

    name: str
    bundle: Path
    onnx: Path
    input: str
    output: str
    x: np.ndarray
    y: np.ndarray


def model(name: str) -> Model:
    """``tiny`` or ``resnet18``, made and deployed where it is not there yet."""
    import onnxruntime

    bundle = RESULTS / f"{name}.bundle"
    if not (bundle / "manifest.json").exists():
        deploy(name, bundle)
    manifest = json.loads((bundle / "manifest.json").read_text())
    onnx = bundle / manifest["variants"][0]["path"] / "model.onnx"
    signature = manifest["signature"]
    names = signature["inputs"][0]["name"], signature["outputs"][0]["name"]
    x = np.random.default_rng(0).random((1, *SHAPES[name]), np.float32)
    y = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"]).run([names[1]], {names[0]: x})[0]
    return Model(name, bundle, onnx, *names, x, y)


def deploy(name: str, bundle: Path) -> None:
    """Random weights to a bundle whose only variants are ONNX Runtime in float32."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    weights = RESULTS / f"{name}.pt"
    made = (
        f"import sys, torch; sys.path[:0] = {[str(HERE), str(HERE.parent)]!r}; {MAKE[name]}; torch.save(net.state_dict(), {str(weights)!r})"
    )
    subprocess.run([sys.executable, "-c", made], check=True)
    shape = ",".join(map(str, ("batch", *SHAPES[name])))
    network = ["--arch", f"{ARCHITECTURES[name]}:{CLASSES[name]}", "--input", f"x:float32[{shape}]", "--name", name]
    only = ["--runtimes", "onnxruntime", "--precisions", "fp32", "--samples", "64", "--time-budget", "5m"]
    subprocess.run([ROADWORTHY, "deploy", str(weights), *network, *only, "-o", str(bundle)], check=True)
