"""LiteRT.js: the model as a ``.tflite`` file for one sample a call, on LiteRT and XNNPACK compiled to WebAssembly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from roadworthy.build.export._browser.flavour import Flavour, NpmPackage
from roadworthy.build.lower import litert
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature

VERSION = "2.5.3"
DTYPES = ("float32", "int32")
"""What the adapter can give and take: LiteRT.js makes tensors of these from arrays."""
LICENCE = "apache-2.0.txt"


def unfit(signature: Signature) -> str:
    """In words, why a page cannot feed a model of ``signature``; empty where it can."""
    for spec in (*signature.inputs, *signature.outputs):
        if spec.dtype not in DTYPES:
            return f"{spec.name!r} is {spec.dtype}, and LiteRT.js has tensors of {' and '.join(DTYPES)}"
    if free := [size for spec in signature.inputs for size in spec.open_sizes]:
        return f"the size {free[0]} is free, and LiteRT.js runs a file of fixed sizes"
    return ""


def write(graph: Graph, plan: Plan, folder: Path) -> Mapping[str, str]:
    """``folder/model.tflite``."""
    litert.lower(graph, Plan("litert", plan.precision, batch=plan.batch), None, folder)
    return {}


def _wasm(*kinds: str) -> dict[str, str]:
    files = (f"litert_wasm{kind}_internal.{ending}" for kind in kinds for ending in ("js", "wasm"))
    return {f"wasm/{file}": file for file in files}


FLAVOUR = Flavour(
    name="litertjs",
    accepts=("onnx", "graphdef", "saved_model", "tflite"),
    packages=(
        NpmPackage(
            "@litertjs/core",
            VERSION,
            "sha512-PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
            # With the relaxed instructions, and without them for browsers that lack these.
            {"dist/index.js": "litert.js", **_wasm("", "_compat")},
            LICENCE,
        ),
        NpmPackage(
            "@litertjs/wasm-utils",
            VERSION,
            "sha512-4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
            {"dist/index.js": "litert_wasm_utils.js"},
            LICENCE,
        ),
    ),
    adapter="litertjs.js",
    write=write,
    unfit=unfit,
    threads=False,
    batch=1,
    limits=(
        "One sample a call, on one thread.",
        "LiteRT.js runs on the CPU here. Its lines on the console about a GPU and an NPU that it does not find mean nothing.",
    ),
    imports={"@litertjs/wasm-utils": "litert_wasm_utils.js"},
)
