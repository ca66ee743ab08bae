"""The export for TensorRT: what it refuses, what lies in it, and its scripts run as far as they run without a GPU."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from roadworthy.build.export._tensorrt import checks, operators
from roadworthy.bundle import export_evidence
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Arrays, Signature, SizeRange, TensorSpec
from roadworthy.runtimes.exported._on_target import tensorrt_engine as engine
from support import exporting
from support.files import onnx_files
from support.files.onnx_files import node, written

FAKE = Path(__file__).parents[2] / "support" / "fake_tensorrt"
IMAGE = ("x", T.FLOAT, [BATCH, 3, 8, 8])
PLAN, HALF = Plan("tensorrt"), Plan("tensorrt", "fp16", lossy=True)


def graph_of(path: Path, signature: Signature = onnx_files.SIGNATURE) -> Graph:
    return Graph("onnx", path, signature, "made by hand")


@pytest.fixture(autouse=True)
def unchecked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """polygraphy's program imports PyTorch: it is asked in one test alone."""
    if not request.node.get_closest_marker("slow"):
        monkeypatch.setattr(checks, "findings", lambda model: ("trtcheck: not installed, so not asked",))


@pytest.fixture
def linear(tmp_path: Path) -> Graph:
    return graph_of(onnx_files.linear(tmp_path / "linear.onnx"))


def samples(count: int = 5) -> Arrays:
    return {"x": np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32)}


def expected(graph: Graph, feeds: Arrays) -> Arrays:
    return {"y": feeds["x"] @ onnx_files.weight(graph.path)}


def test_the_same_file_answers_on_the_cpu_and_says_that_it_is_not_the_target(linear: Graph, tmp_path: Path) -> None:
    out = exporting.lowered(linear, PLAN, tmp_path / "out")
    session = exporting.opened(linear, PLAN, out)
    np.testing.assert_allclose(session.run(samples())["y"], expected(linear, samples())["y"], rtol=1e-5)
    assert session.inner.on_target is False  # type: ignore[attr-defined]
    exporting.finished(linear, PLAN, samples(), expected(linear, samples()), out)
    assert {path.name for path in out.iterdir()} == {
        "model.onnx", "profile.json", "engine.py", "build.sh", "verify.py", "golden.npz", "evidence.json",
    }  # fmt: skip
    np.testing.assert_allclose(exporting.opened(linear, PLAN, out).run(samples())["y"], expected(linear, samples())["y"], rtol=1e-5)


def test_float16_is_in_the_file_and_a_plan_of_its_own(linear: Graph, tmp_path: Path) -> None:
    """TensorRT 11 has no flag for it."""
    out = exporting.lowered(linear, HALF, tmp_path / "out")
    model = onnx.load(out / "model.onnx")
    assert {tensor.data_type for tensor in model.graph.initializer} == {T.FLOAT16}
    assert {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)} == {T.FLOAT}
    got, want = exporting.opened(linear, HALF, out).run(samples())["y"], expected(linear, samples())["y"]
    assert 1e-6 < np.abs(got - want).max() / np.abs(want).max() < 1e-2
    words = exporting.finished(linear, HALF, samples(), {"y": want}, out)
    assert "--stronglyTyped" in (out / "build.sh").read_text() and "float16" in words
    assert "--fp16" not in (out / "build.sh").read_text()
    with pytest.raises(UsageError, match="tensorrt-int8-t1"):
        exporting.lowered(linear, Plan("tensorrt", "int8"), tmp_path / "int8")


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([node("Unique", "x", "y", name="rare")], "Unique (node 'rare')"),
        ([helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")], "com.microsoft.FusedConv (node 'y')"),
        ([node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 2])], "MaxPool with dilations (node 'the y')"),
        ([helper.make_node("MaxPool", ["x"], ["y", "i"], "pool", kernel_shape=[2, 2])], "MaxPool with indices as an output (node 'pool')"),
        ([node("AveragePool", "x", "y", kernel_shape=[2])], "AveragePool with one axis, where it pools two or three (node 'the y')"),
        ([helper.make_node("Resize", ["x", "", "w"], ["y"], "up", mode="cubic")], "Resize with mode cubic (node 'up')"),
        ([helper.make_node("Resize", ["x", "", "w"], ["y"], "up", mode="linear", antialias=1)], "Resize with antialias (node 'up')"),
        ([node("TopK", "x k", "y", sorted=0)], "TopK with sorted = 0 (node 'the y')"),
        ([node("DequantizeLinear", "x s z", "y")], "DequantizeLinear with a zero point that is not 0 (node 'the y')"),
        ([node("ScatterND", "x k w", "y", reduction="add")], "ScatterND with reduction add (node 'the y')"),
    ],
)  # fmt: skip
def test_an_operator_that_it_lacks_is_named_with_its_node_and_nothing_is_written(tmp_path: Path, nodes: list[Any], words: str) -> None:
    weights = {"w": np.ones(4, np.float32), "k": np.array([1]), "s": np.float32([1]), "z": np.uint8([128])}
    path = written(tmp_path / "model.onnx", [node("Relu", "x", "a"), *nodes], [IMAGE], [("y", T.FLOAT, None)], weights, opset=18)
    signature = Signature((TensorSpec("x", "float32", (BATCH, 3, 8, 8)),), (TensorSpec("y", "float32", (BATCH, 3, 8, 8)),))
    with pytest.raises(StepFailed) as refused:
        exporting.lowered(graph_of(path, signature), PLAN, tmp_path / "out")
    assert words in refused.value.message and "Relu" not in refused.value.message
    assert "choose another target" in refused.value.message
    assert not any((tmp_path / "out").iterdir())


def test_operators_inside_branches_and_functions_are_seen() -> None:
    inner = helper.make_graph([node("Det", "x", "d")], "inner", [], [helper.make_tensor_value_info("d", T.FLOAT, None)])
    other = helper.make_graph([node("Abs", "x", "d")], "other", [], [helper.make_tensor_value_info("d", T.FLOAT, None)])
    branch = helper.make_node("If", ["c"], ["y"], "if", then_branch=inner, else_branch=other)
    function = helper.make_function("mine", "Own", ["a"], ["b"], [node("BitShift", "a a", "b")], [helper.make_opsetid("", 18)])
    graph = helper.make_graph([branch, helper.make_node("Own", ["y"], ["z"], domain="mine")], "g", [], [])
    assert operators.lacking(helper.make_model(graph, functions=[function])) == ("Det (node 'the d')", "BitShift (node 'the b')")


def test_the_usual_layers_of_classifiers_are_taken() -> None:
    usual = (
        "Conv Relu Clip MaxPool AveragePool GlobalAveragePool ReduceMean Flatten Reshape Gemm MatMul Add Mul BatchNormalization Softmax "
        "HardSwish HardSigmoid Sigmoid Concat Transpose Pad Identity Constant Shape Gather Unsqueeze Squeeze Cast LayerNormalization Erf"
    )
    assert set(usual.split()) <= operators.taken()


def test_a_dtype_that_it_does_not_take_is_refused(tmp_path: Path) -> None:
    path = onnx_files.passed_on(tmp_path / "wide.onnx", "float64")
    signature = Signature((TensorSpec("x", "float64", (BATCH,)),), (TensorSpec("y", "float64", (BATCH,)),))
    with pytest.raises(StepFailed, match=r"x:float64\[batch\]"):
        exporting.lowered(graph_of(path, signature), PLAN, tmp_path / "out")


@pytest.mark.parametrize(("given", "wanted"), [(21, 20), (20, 20), (17, 17), (8, 9)])
def test_the_operator_set_is_one_that_it_takes(tmp_path: Path, given: int, wanted: int) -> None:
    path = written(tmp_path / "m.onnx", [node("Relu", "x", "y")], [IMAGE], [("y", T.FLOAT, [BATCH, 3, 8, 8])], opset=given, ir=11)
    signature = Signature((TensorSpec("x", "float32", (BATCH, 3, 8, 8)),), (TensorSpec("y", "float32", (BATCH, 3, 8, 8)),))
    out = exporting.lowered(graph_of(path, signature), PLAN, tmp_path / "out")
    model = onnx.load(out / "model.onnx")
    assert ([entry.version for entry in model.opset_import], model.ir_version) == ([wanted], 10)
    feeds = {"x": np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)}
    assert (exporting.opened(graph_of(path, signature), PLAN, out).run(feeds)["y"] == np.maximum(feeds["x"], 0)).all()


def test_an_operator_set_that_was_not_written_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As exporters do: another version is written, without a word."""
    from onnx import version_converter

    path = written(tmp_path / "m.onnx", [node("Relu", "x", "y")], [IMAGE], [("y", T.FLOAT, [BATCH, 3, 8, 8])], opset=21, ir=10)
    monkeypatch.setattr(version_converter, "convert_version", lambda model, version: model)
    with pytest.raises(StepFailed, match="operator set 20 for TensorRT, and 21 was written"):
        exporting.lowered(graph_of(path), PLAN, tmp_path / "out")


def test_the_sizes_are_those_at_which_answers_were_compared(tmp_path: Path) -> None:
    x, y = TensorSpec("x", "float32", (BATCH, "time", 3)), TensorSpec("y", "float32", (BATCH, "time", 3))
    path = written(tmp_path / "m.onnx", [node("Relu", "x", "y")], [("x", T.FLOAT, [BATCH, "time", 3])], [("y", T.FLOAT, None)])
    for max_batch, most in ((None, 32), (4, 4), (200, 32)):
        signature = Signature((x,), (y,), max_batch=max_batch, sizes=(SizeRange("time", (16, 5, 40), least=5, most=1000),))
        out = exporting.lowered(graph_of(path, signature), PLAN, tmp_path / str(max_batch))
        sizes = json.loads((out / "profile.json").read_text())["inputs"]["x"]
        assert sizes == {"min": [1, 5, 3], "opt": [1, 16, 3], "max": [most, 40, 3]}


def test_the_build_script_is_right_in_a_dry_run(linear: Graph, tmp_path: Path) -> None:
    """A program in place of trtexec records its arguments, and writes the file that is asked for."""
    out = exporting.lowered(linear, PLAN, tmp_path / "out dir")
    exporting.finished(linear, PLAN, samples(), expected(linear, samples()), out)
    subprocess.run(["sh", "-n", str(out / "build.sh")], check=True)
    assert os.access(out / "build.sh", os.X_OK)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "trtexec").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > built/asked\necho engine > built/model.plan.partial\n')
    (tools / "trtexec").chmod(0o755)
    path = os.environ["PATH"]
    subprocess.run([str(out / "build.sh")], check=True, env={"PATH": f"{tools}:{path}"}, cwd=tmp_path, capture_output=True)
    assert (out / "built" / "asked").read_text().splitlines() == [
        "--onnx=model.onnx", "--saveEngine=built/model.plan.partial", "--skipInference", "--noTF32",
        "--minShapes=x:1x8", "--optShapes=x:1x8", "--maxShapes=x:32x8",
    ]  # fmt: skip
    assert (out / "built" / "model.plan").read_text() == "engine\n"
    missing = subprocess.run([str(out / "build.sh")], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
    assert missing.returncode == 2 and "trtexec is not in PATH" in missing.stderr


def test_a_name_with_a_colon_is_quoted_for_trtexec(tmp_path: Path) -> None:
    path = written(tmp_path / "m.onnx", [node("Relu", "in:0", "y")], [("in:0", T.FLOAT, [BATCH, 2])], [("y", T.FLOAT, [BATCH, 2])])
    signature = Signature((TensorSpec("in:0", "float32", (BATCH, 2)),), (TensorSpec("y", "float32", (BATCH, 2)),))
    graph = graph_of(path, signature)
    out = exporting.lowered(graph, PLAN, tmp_path / "out")
    feeds = {"in:0": np.ones((3, 2), np.float32)}
    exporting.finished(graph, PLAN, feeds, {"y": feeds["in:0"]}, out)
    subprocess.run(["sh", "-n", str(out / "build.sh")], check=True)
    assert """--minShapes='"'"'in:0'"'"':1x2""" in (out / "build.sh").read_text()


@pytest.mark.skipif(not engine.lacking(), reason="this machine can run TensorRT")
def test_without_a_gpu_the_scripts_say_what_is_missing(linear: Graph, tmp_path: Path) -> None:
    out = exporting.lowered(linear, PLAN, tmp_path / "out")
    exporting.finished(linear, PLAN, samples(), expected(linear, samples()), out)
    verify = subprocess.run([sys.executable, str(out / "verify.py")], capture_output=True, text=True)
    assert (
        verify.returncode == 2 and "the Python package tensorrt is not installed here" in verify.stderr and "Traceback" not in verify.stderr
    )
    assert not (out / "evidence-target.json").exists()
    built = subprocess.run([sys.executable, str(out / "engine.py")], capture_output=True, text=True)
    assert built.returncode == 1 and "tensorrt is not installed" in built.stderr and "Traceback" not in built.stderr


@pytest.mark.parametrize("plan", [PLAN, HALF], ids=["fp32", "fp16"])
def test_verify_builds_and_asks_the_engine_in_a_dry_run(linear: Graph, tmp_path: Path, plan: Plan) -> None:
    """With stand-ins for tensorrt and polygraphy that record what they are asked, and one for the driver."""
    out = exporting.lowered(linear, plan, tmp_path / "out")
    exporting.finished(linear, plan, samples(40), expected(linear, samples(40)), out)
    (out / "engine.py").write_text((out / "engine.py").read_text().replace("/dev/nvidiactl", "/dev/null"))
    stated = exporting.seal(out, plan, 40)
    environment = {**os.environ, "PYTHONPATH": str(FAKE)}
    done = subprocess.run([sys.executable, str(out / "verify.py")], capture_output=True, text=True, env=environment)
    assert done.returncode == (0 if plan == PLAN else 1), done.stderr  # float16 is beyond this gate
    asked = json.loads((out / "built" / "model.plan").read_text())
    assert (asked["tf32"], asked["strongly_typed"]) == (False, plan == HALF)
    assert asked["profiles"] == [{"x": [[1, 8], [1, 8], [32, 8]]}]
    evidence = export_evidence.read(out / "evidence-target.json")
    assert (evidence.on_target, evidence.files, evidence.golden) == (True, stated.files, stated.golden)
    assert {tool.name: tool.version for tool in evidence.tools}["tensorrt"] == "0.fake"


def test_polygraphy_has_what_the_engine_asks_for() -> None:
    """The interfaces that the stand-ins stand for; polygraphy can be imported without TensorRT."""
    trt = pytest.importorskip("polygraphy.backend.trt")
    common = pytest.importorskip("polygraphy.backend.common")
    of_config = [set(inspect.signature(kind.__init__).parameters) for kind in trt.CreateConfig.__mro__[:2]]
    assert {"tf32", "profiles"} <= set.union(*of_config)
    assert {"path", "strongly_typed"} <= set(inspect.signature(trt.NetworkFromOnnxPath.__init__).parameters)
    assert list(inspect.signature(trt.Profile.add).parameters)[1:5] == ["name", "min", "opt", "max"]
    assert {"network", "config"} <= set(inspect.signature(trt.engine_bytes_from_network).parameters)
    assert callable(trt.EngineFromBytes) and callable(common.BytesFromPath)
    assert {"activate", "infer", "deactivate"} <= set(dir(trt.TrtRunner))


def test_where_there_is_a_gpu_the_session_is_the_engine(linear: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "DEVICES", ("/dev/null",))
    out = exporting.lowered(linear, PLAN, tmp_path / "out")
    with exporting.packages_from(FAKE, names=("polygraphy", "tensorrt")), exporting.opened(linear, PLAN, out) as session:
        assert session.inner.on_target is True  # type: ignore[attr-defined]
        first = session.run(samples())["y"]
        kept = first.copy()
        session.run({"x": -samples()["x"]})
        np.testing.assert_array_equal(first, kept)  # an answer is not overwritten by the next call
        np.testing.assert_allclose(first, expected(linear, samples())["y"], rtol=1e-5)


def test_the_words_say_what_is_in_it(linear: Graph, tmp_path: Path) -> None:
    out = exporting.lowered(linear, PLAN, tmp_path / "out")
    words = exporting.finished(linear, PLAN, samples(), expected(linear, samples()), out)
    assert (
        "nothing was built or run by TensorRT" in words and "operator set 17" in words and "trtcheck: not installed, so not asked" in words
    )
    assert "[1, 8] to [32, 8], tuned for [1, 8]" in words and "@" not in words


@pytest.mark.slow
def test_static_checkers_are_asked_where_they_are_installed(linear: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trtcheck")
    pytest.importorskip("onnx_graphsurgeon")
    trtcheck, polygraphy = checks.findings(linear.path)
    assert trtcheck.startswith("trtcheck: for TensorRT ") and polygraphy == "polygraphy check lint: nothing found"
    monkeypatch.setattr(checks.importlib.util, "find_spec", lambda name: None)
    assert all("not installed, so not asked" in line for line in checks.findings(linear.path))
