"""TensorFlow.js: a graph model written from the ONNX graph, on its WebAssembly backend, and on plain JavaScript where there is none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from roadworthy.build.export._browser import tfjs
from roadworthy.build.export._browser.flavour import Flavour, NpmPackage
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature

VERSION = "4.22.0"
DTYPES = ("float32", "int32", "int64", "uint8", "int8", "bool")
"""TensorFlow.js has float32, int32 and bool; the adapter gives whole numbers of other widths as int32."""
LICENCE = "apache-2.0.txt"


def unfit(signature: Signature) -> str:
    """In words, why a page cannot feed a model of ``signature``; empty where it can."""
    for spec in (*signature.inputs, *signature.outputs):
        if spec.dtype not in DTYPES:
            return f"{spec.name!r} is {spec.dtype}, and TensorFlow.js has {', '.join(DTYPES[:2])} and bool"
    if free := [size for spec in signature.inputs for size in spec.open_sizes]:
        return f"the size {free[0]} is free, and the graph model would be for one size"
    return ""


def write(graph: Graph, plan: Plan, folder: Path) -> Mapping[str, str]:
    """``folder/model.json`` and its weights."""
    signature = graph.signature.fixed(plan.batch) if plan.batch else graph.signature
    tfjs.write(graph.path, signature, folder)
    return {}


def _package(part: str, integrity: str, *files: str) -> NpmPackage:
    return NpmPackage(f"@tensorflow/tfjs-{part}", VERSION, integrity, {f"dist/{file}": file for file in files}, LICENCE)


FLAVOUR = Flavour(
    name="tfjs",
    accepts=("onnx",),
    packages=(
        _package(
            "core", "sha512-LEkOyzbknKFoWUwfkr59vSB68DMJ4cjwwHgicXN0DUi3a0Vh1Er3JQqCI1Hl86GGZQvY8ezVrtDIvqR1ZFW55A==", "tf-core.min.js"
        ),
        _package(
            "converter",
            "sha512-PT43MGlnzIo+YfbsjM79Lxk9lOq6uUwZuCc8rrp0hfpLjF6Jv8jS84u2jFb+WpUeuF4K33ZDNx8CjiYrGQ2trQ==",
            "tf-converter.min.js",
        ),
        _package(
            "backend-wasm",
            "sha512-/IYhReRIp4jg/wYW0OwbbJZG8ON87mbz0PgkiP3CdcACRSvUN0h8rvC0O3YcDtkTQtFWF/tcXq/KlVDyV49wmA==",
            "tf-backend-wasm.min.js",
            "tfjs-backend-wasm-simd.wasm",
            "tfjs-backend-wasm.wasm",
        ),
        _package(
            "backend-cpu",
            "sha512-1u0FmuLGuRAi8D2c3cocHTASGXOmHc/4OvoVDENJayjYkS119fcTcQf4iHrtLthWyDIPy3JiPhRrZQC9EwnhLw==",
            "tf-backend-cpu.min.js",
        ),
    ),
    adapter="tfjs.js",
    write=write,
    unfit=unfit,
    # Its threads are workers from blob: URLs; where a policy forbids these, the page waits for ever and no error is raised.
    threads=False,
    limits=(
        "One thread: its threads are workers from `blob:` URLs, and a page whose policy forbids these waits for ever.",
        "Where WebAssembly does not start, the page goes on in plain JavaScript and says so; that is up to a hundred times slower.",
        "Whole numbers are 32 bits wide in it; an input beyond that is refused.",
    ),
)
