"""Exports for browsers, made of small ONNX graphs, and what a test plants in them."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from roadworthy.build.export import browser
from roadworthy.build.export._browser import npm
from roadworthy.build.export._browser.flavours import FLAVOURS
from roadworthy.build.exported import Export
from roadworthy.bundle import golden
from roadworthy.bundle.golden import Golden
from roadworthy.core.errors import EnvironmentFault, ProgramMissing
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Array, Arrays, Signature, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.steps import ChannelsFirst, Crop, Decode, Normalize, Resize
from roadworthy.runtimes.exported._browser import chromium

SIDE = 16
PLAN = Plan("browser", flavour="onnxruntime-web")
SIGNATURE = Signature(
    (TensorSpec("image", "float32", ("batch", 3, SIDE, SIDE)),), (TensorSpec("logits", "float32", ("batch", 10)),), max_batch=64
)
SEES = Contract(
    (Decode(), Resize(20), Crop(SIDE), ChannelsFirst(), Normalize(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))),
    Answer("softmax", 3, tuple(f"<b>class {number}</b>" for number in range(10))),
)
GATE = 1e-4


@dataclass(frozen=True)
class Made:
    """A finished export of a small network, and the ONNX file that it was made of."""

    folder: Path
    graph: Graph
    golden: Golden

    def answers(self, feeds: Arrays) -> Array:
        """What ONNX Runtime answers in this process."""
        return np.asarray(onnxruntime.InferenceSession(self.graph.path).run(None, dict(feeds))[0])

    def copied(self, to: Path) -> Path:
        """A copy that a test may damage."""
        return Path(shutil.copytree(self.folder, to))


def chromium_or_skip() -> None:
    """The test is skipped without Chromium."""
    try:
        chromium.program()
    except ProgramMissing as missing:
        pytest.skip(missing.message)


@cache
def runtime_or_skip(flavour: str) -> None:
    """The test is skipped where the runtime of ``flavour`` is not in npm's cache and cannot be downloaded either."""
    try:
        for package in next(one for one in FLAVOURS if one.name == flavour).packages:
            npm.archive(package)
    except EnvironmentFault as missing:
        pytest.skip(missing.message)


def network(path: Path) -> Graph:
    """Conv, ReLU, MaxPool, Gemm with fixed random weights, as the graph at ``path``."""
    numbers = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> Any:
        return numpy_helper.from_array((numbers.standard_normal(shape) * 0.2).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["c"], pads=[1, 1, 1, 1], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "v", "d"], ["logits"], name="gemm"),
    ]
    initial = [weights("w", 8, 3, 3, 3), weights("b", 8), weights("v", 8 * (SIDE // 2) ** 2, 10), weights("d", 10)]
    return saved(path, nodes, SIGNATURE, initial)


def saved(path: Path, nodes: list[Any], signature: Signature, initial: list[Any] | None = None) -> Graph:
    """A graph of ``nodes`` at ``path``."""
    inputs, outputs = (
        [helper.make_tensor_value_info(spec.name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), spec.shape) for spec in specs]
        for specs in (signature.inputs, signature.outputs)
    )
    domains = {node.domain for node in nodes} - {""}
    sets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    graph = helper.make_graph(nodes, "made", inputs, outputs, initial or [])
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=9), path)
    return Graph("onnx", path, signature, "made")


def lowered(graph: Graph, out: Path, plan: Plan = PLAN) -> Path:
    """The files of ``graph`` in the new folder ``out``."""
    runtime_or_skip(plan.flavour)
    out.mkdir()
    browser.lower(graph, plan, None, out)
    return out


def made(folder: Path, plan: Plan = PLAN) -> Made:
    """A finished export below ``folder``."""
    graph = network(folder / "model.onnx")
    out = lowered(graph, folder / "export", plan)
    feeds = {"image": np.random.default_rng(1).standard_normal((3, 3, SIDE, SIDE)).astype(np.float32)}
    samples = Golden(feeds, {"logits": np.asarray(onnxruntime.InferenceSession(graph.path).run(None, feeds)[0])})
    export = Export("seen", "3", plan, SIGNATURE, SEES, samples, GATE, folder, (graph,))
    (out / "README.md").write_text(browser.finish(export, out))
    golden.write(out / "golden.npz", samples)
    return Made(out, graph, samples)


def restated(folder: Path, **changed: Any) -> None:
    """Change ``model.json``, and state its files as they are now: what was planted then counts as the export's own."""
    stated = json.loads((folder / "model.json").read_bytes()) | changed
    for key, place in (("files", "model"), ("runtime", "runtime"), ("scripts", "js")):
        for name in stated[key]:
            content = (folder / place / name).read_bytes()
            stated[key][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "model.json").write_text(json.dumps(stated))
