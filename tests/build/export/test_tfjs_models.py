"""TensorFlow.js graph models of ONNX graphs: each operator on both backends in one run of Node, whole networks, and what is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from roadworthy.build.export._browser import tfjs
from roadworthy.build.export._browser.flavours.tfjs import FLAVOUR
from roadworthy.build.export._browser.tfjs.graph_model import SHARD, GraphModel
from roadworthy.build.nhwc.program import NhwcTensor
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array, Signature, TensorSpec
from support import node_packages
from support.files.onnx_cases import CASES, INTO, KERNEL, Case, node, weights, whole, written
from support.files.onnx_networks import NETWORKS

PACKAGES = tuple(f"{package.name}@{package.version}" for package in FLAVOUR.packages)
DRIVER = Path(__file__).with_name("tfjs_cases.mjs")
OWN = {
    "strides of one axis, each channel alone": Case(
        [node("Conv", "x w b", group=8, strides=[2, 1], pads=[1, 1, 1, 1])], (8, 6, 6), {"w": weights(8, 1, 3, 3), "b": weights(8)}
    ),
    "dilated, each channel alone": Case(
        [node("Conv", "x w b", group=8, dilations=[2, 2], pads=[2, 2, 2, 2])], (8, 6, 6), {"w": weights(8, 1, 3, 3), "b": weights(8)}
    ),
    "gelu by tanh": Case([node("Gelu", approximate="tanh")], (7, 5)),
    "bytes as an input": Case([node("Cast", "x", "f", to=TensorProto.FLOAT), node("Neg", "f")], dtype="uint8"),
    "a dense layer of a sequence, and a ReLU": Case([node("MatMul", "x m", "h"), node("Relu", "h")], (7, 5), {"m": weights(5, 3)}),
    "groups and a ReLU": Case(
        [node("Conv", "x w b", "c", group=2), node("Relu", "c")], constants={"w": weights(8, 2, 3, 3), "b": weights(8)}
    ),
}
ALL = CASES | OWN | NETWORKS
BACKENDS = ("wasm", "cpu")
BARE = "bare"
SLOPES = np.array([0.1, 0.2, 0.3, 0.4], np.float32).reshape(4, 1)
"""A slope for each place of the middle axis."""


@dataclass(frozen=True)
class TfjsRun:
    """What ONNX's reference answers for each case and number of samples, and what TensorFlow.js does, by backend and case."""

    wanted: Mapping[str, list[Array]]
    found: Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TfjsRun:
    packages = node_packages.installed("tfjs", *PACKAGES)
    root = tmp_path_factory.mktemp("tfjs")
    wanted, folders = {}, {}
    for number, (name, case) in enumerate(ALL.items()):
        folder = folders[name] = root / "cases" / f"{number:03}"
        folder.mkdir(parents=True)
        model, graph = written(case, root)
        tfjs.write(graph.path, graph.signature, folder)
        calls = [case.feeds(samples) for samples in ((1, 3, 2) if case.batch == "batch" else (3,))]
        (folder / "feeds.json").write_text(json.dumps([{key: _as_json(array) for key, array in feeds.items()} for feeds in calls]))
        wanted[name] = [ReferenceEvaluator(model).run(None, feeds)[0] for feeds in calls]
    folders[BARE] = _bare_prelu(root / "cases" / "bare")
    found = {}
    for backend in BACKENDS:
        command = ["node", str(DRIVER), str(packages), str(root / "cases"), backend]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert not done.returncode, done.stderr
        found[backend] = {name: json.loads((folder / "answers.json").read_text()) for name, folder in folders.items()}
    return TfjsRun(wanted, found)


def _bare_prelu(folder: Path) -> Path:
    """The one node Prelu, of which TensorFlow.js has a kernel on each backend."""
    folder.mkdir()
    bare, tensor = GraphModel(), NhwcTensor((None, 4, 3), "float32")
    x = bare.placeholder(tensor)
    y = bare.node("Prelu", (x, bare.constant(SLOPES)))
    bare.write(folder, {"x": (x, tensor)}, {"y": (y, tensor)})
    (folder / "feeds.json").write_text(json.dumps([{"x": _as_json(-np.ones((1, 4, 3), np.float32))}]))
    return folder


def _as_json(array: Array) -> dict[str, Any]:
    dtype = "float32" if array.dtype == np.float32 else "int32"
    return {"shape": array.shape, "dtype": dtype, "data": array.reshape(-1).tolist()}


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ALL)
def test_an_operator_answers_in_tensorflow_js_as_onnx_defines_it(run: TfjsRun, name: str, backend: str) -> None:
    answers = run.found[backend][name]
    assert isinstance(answers, list), answers
    for answer, wanted in zip(answers, run.wanted[name], strict=True):
        assert tuple(answer["y"]["shape"]) == wanted.shape
        found = np.array(answer["y"]["data"], np.float64).reshape(wanted.shape)
        assert np.abs(found - wanted).max() <= 1e-5 * max(1.0, float(np.abs(wanted).max()))


@pytest.mark.slow
def test_bare_prelu_on_webassembly_takes_every_slope_for_one_of_the_last_axis(run: TfjsRun) -> None:
    wanted = -np.broadcast_to(SLOPES, (1, 4, 3)).reshape(-1)
    found = {backend: np.array(run.found[backend][BARE][0]["y"]["data"], np.float32) for backend in BACKENDS}
    assert np.array_equal(found["cpu"], wanted)
    assert not np.allclose(found["wasm"], wanted)


REFUSED = {
    "an operator without a translation": (
        Case([node("Mod", "x n", fmod=1, name="rest")], constants={"n": np.float32(2)}),
        "Mod 'rest': operators of ONNX that have no translation",
    ),
    "strides and dilations at once": (
        Case([node("Conv", "x w b", strides=[2, 2], dilations=[2, 2], name="wide")], (4, 8, 8), KERNEL),
        "Conv 'wide': strides and dilations at once",
    ),
    "whole numbers of 64 bits": (
        Case([node("Add", "x n")], (3,), {"n": whole(2**40)}, "int64"),
        "a constant holds whole numbers beyond 32 bits",
    ),
    "a quotient of whole numbers": (Case([node("Div", "x n", name="half")], (3,), {"n": whole(2)}, "int64"), "Div 'half': a quotient of"),
    "sums of bytes": (
        Case([node("Add", "x n", name="sum")], (3,), {"n": np.array([3], np.uint8)}, "uint8"),
        "Add 'sum': it computes in uint8",
    ),
    "numbers made bytes": (Case([node("Cast", to=TensorProto.UINT8, name="byte")]), "Cast 'byte': to uint8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_tensorflow_js_lacks_is_refused_by_operator_and_node(tmp_path: Path, name: str) -> None:
    case, words = REFUSED[name]
    path, out = tmp_path / "model.onnx", tmp_path / "out"
    out.mkdir()
    onnx.save(case.model(), path)
    signature = Signature((TensorSpec("x", case.dtype, ("batch", *case.shape)),), (TensorSpec("y", "float32", ("batch",)),))
    with pytest.raises(StepFailed) as caught:
        tfjs.write(path, signature, out)
    assert words in caught.value.message and "\n" not in caught.value.message
    assert not list(out.iterdir())


def test_weights_lie_in_shards_of_at_most_four_megabytes(tmp_path: Path) -> None:
    _, graph = written(Case([node("MatMul", "x m")], (1500,), {"m": weights(1500, 1500)}), tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    tfjs.write(graph.path, graph.signature, out)
    (manifest,) = json.loads((out / tfjs.MODEL).read_text())["weightsManifest"]
    sizes = [(out / path).stat().st_size for path in manifest["paths"]]
    assert manifest["paths"] == [f"group1-shard{number}of3.bin" for number in (1, 2, 3)]
    assert sizes == [SHARD, SHARD, 4 * 1500 * 1500 - 2 * SHARD]
    assert {weight["dtype"] for weight in manifest["weights"]} == {"float32"}


def test_inputs_and_outputs_keep_names_and_layout(tmp_path: Path) -> None:
    """A name that a node of the graph may not have is one in the signature; an output that is an input has a node of its own."""
    given = helper.make_tensor_value_info("serving:x^0", TensorProto.FLOAT, ["batch", 3, 4, 4])
    answers = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, 4, 4]) for name in ("y:0", "same")]
    nodes = [node("Neg", "serving:x^0", "y:0"), node("Identity", "serving:x^0", "same")]
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "names", [given], answers), opset_imports=[helper.make_opsetid("", 20)]), path)
    specs = [TensorSpec(name, "float32", ("batch", 3, 4, 4)) for name in ("serving:x^0", "y:0", "same")]
    tfjs.write(path, Signature((specs[0],), tuple(specs[1:])), tmp_path)
    signature = json.loads((tmp_path / tfjs.MODEL).read_text())["signature"]
    assert list(signature["inputs"]) == ["serving:x^0"] and list(signature["outputs"]) == ["y:0", "same"]
    sizes = [axis["size"] for axis in signature["inputs"]["serving:x^0"]["tensorShape"]["dim"]]
    assert sizes == ["-1", "3", "4", "4"]
    assert len({port["name"] for ports in signature.values() for port in ports.values()}) == 3


def test_convolutions_take_bias_and_activation_into_one_node(tmp_path: Path) -> None:
    normalised = {"s": weights(8), "o": weights(8), "m": weights(8), "v": np.abs(weights(8))}
    nodes = [INTO, node("BatchNormalization", "c s o m v", "n"), node("Clip", "n low high")]
    _, graph = written(Case(nodes, constants=KERNEL | normalised | {"low": np.float32(0), "high": np.float32(6)}), tmp_path)
    tfjs.write(graph.path, graph.signature, tmp_path)
    made = json.loads((tmp_path / tfjs.MODEL).read_text())["modelTopology"]["node"]
    assert [one["op"] for one in made if one["op"] not in ("Const", "Placeholder")] == ["Transpose", "_FusedConv2D", "Transpose"]
