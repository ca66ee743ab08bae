"""ONNX Runtime compiled to WebAssembly: it takes the ONNX graph as it is, all operators included."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from roadworthy.build.export._browser.flavour import Flavour, NpmPackage
from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature, output_names

MODEL = "model.onnx"
DTYPES = ("float32", "float64", "float16", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""The sets of operators that its build has."""
MOST = 2**31 - 1
"""Bytes of one file of ONNX; a page has 4 GiB of memory for the model and all that it computes."""


def unfit(signature: Signature) -> str:
    """In words, why a page cannot feed a model of ``signature``; empty where it can."""
    for spec in (*signature.inputs, *signature.outputs):
        if spec.dtype not in DTYPES:
            return f"{spec} has a dtype that onnxruntime-web has no array for in JavaScript"
    return ""


def write(graph: Graph, plan: Plan, folder: Path) -> Mapping[str, str]:
    """``folder/model.onnx``: the graph as one file, weights included."""
    import onnx

    model = onnx.load(graph.path)
    _refuse_other_operators(model)
    if (size := model.ByteSize()) > MOST:
        raise StepFailed(f"the model has {size / 2**30:.1f} GiB, and a file of ONNX for a page holds at most 2 GiB")
    (folder / MODEL).write_bytes(model.SerializeToString())
    outputs = output_names(graph.signature, [port.name for port in model.graph.output])
    return {spec.name: name for spec, name in zip(graph.signature.outputs, outputs, strict=True)}


def _refuse_other_operators(model: object) -> None:
    for node in model.graph.node:  # type: ignore[attr-defined]
        if node.domain not in DOMAINS:
            raise StepFailed(
                f"onnxruntime-web has no operator {node.domain}.{node.op_type} (node {node.name or node.output[0]!r}); "
                f"it has those of {', '.join(domain for domain in DOMAINS if domain)}"
            )


FLAVOUR = Flavour(
    name="onnxruntime-web",
    accepts=("onnx",),
    packages=(
        NpmPackage(
            "onnxruntime-web",
            "1.30.0",
            "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
            {
                "dist/ort.wasm.min.mjs": "ort.wasm.min.mjs",
                "dist/ort-wasm-simd-threaded.mjs": "ort-wasm-simd-threaded.mjs",
                "dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
            },
            "onnxruntime-web.txt",
        ),
    ),
    adapter="onnxruntime_web.js",
    write=write,
    unfit=unfit,
)
