"""The ncnn runtime and its converter: float32 that is float32, one sample a call, and what ncnn cannot do, by name."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ncnn as bare
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from roadworthy.build import lower
from roadworthy.build.lower import _ncnn_files
from roadworthy.build.lower import ncnn as lowering
from roadworthy.core.errors import BackendMissing, StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.stages import Candidate, Graph, Plan
from roadworthy.core.types import Array, Signature, TensorSpec
from roadworthy.runtimes import ncnn, open_session

PLAN = Plan("ncnn", batch=1)
RANDOM = np.random.default_rng(0)
WEIGHTS = {
    "w": RANDOM.standard_normal((16, 3, 3, 3), dtype=np.float32),
    "d": RANDOM.standard_normal((5, 16), dtype=np.float32),
}
NETWORK = (("Conv", "image w", "c"), ("Relu", "c", "r"), ("GlobalAveragePool", "r", "g"), ("Flatten", "g", "f"), ("Gemm", "f d", "logits"))


def model(nodes: tuple[tuple[str, str, str], ...] = NETWORK) -> Any:
    made = [helper.make_node(op, given.split(), [output], **({"transB": 1} if op == "Gemm" else {})) for op, given, output in nodes]
    graph = helper.make_graph(
        made,
        "network",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 12, 12])],
        [helper.make_tensor_value_info(nodes[-1][2], TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(array, name) for name, array in WEIGHTS.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def graph(folder: Path, *, made: Any = None) -> Graph:
    path = folder / "model.onnx"
    onnx.save(made or model(), path)
    signature = Signature((TensorSpec("image", "float32", ("batch", 3, 12, 12)),), (TensorSpec("logits", "float32", ("batch", 5)),))
    return Graph("onnx", path, signature, "test")


def images(samples: int) -> Array:
    return np.random.default_rng(samples).standard_normal((samples, 3, 12, 12), dtype=np.float32)


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    folder = tmp_path_factory.mktemp("ncnn")
    return lower.lower(lower.LowerRequest(graph(folder), PLAN, None, folder / "out"))


def error(candidate: Candidate, plan: Plan, samples: int) -> float:
    """The largest difference to ONNX's own definition, relative to the largest answer."""
    (wanted,) = ReferenceEvaluator(model()).run(None, {"image": images(samples)})
    with open_session(candidate.path, candidate.signature, plan) as session:
        found = session.run({"image": images(samples)})["logits"]
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("threads", [1, 2])
def test_float32_is_float32_for_any_number_of_samples(candidate: Candidate, threads: int) -> None:
    for samples in (1, 3):
        assert error(candidate, replace(PLAN, threads=threads), samples) < 1e-5


def test_bare_pnnx_rounds_the_weights_and_ours_does_not(candidate: Candidate, tmp_path: Path) -> None:
    onnx.save(model(), tmp_path / "model.onnx")
    command = [str(_ncnn_files.converter()), "model.onnx", "inputshape=[1,3,12,12]f32"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    rounded = replace(candidate, path=tmp_path)
    assert (tmp_path / ncnn.WEIGHTS).stat().st_size < 0.7 * (candidate.path / ncnn.WEIGHTS).stat().st_size
    assert error(rounded, PLAN, 1) > 1e-5 > error(candidate, PLAN, 1)


def test_a_bare_matrix_reads_memory_that_is_no_longer_its_array() -> None:
    """Why the session copies: the matrix shares the array's memory and does not keep it."""
    array = np.ones((64, 64), np.float32)
    matrix = bare.Mat(array)
    array[:] = 2
    assert float(np.array(matrix).max()) == 2


def test_waiting_threads_do_not_spin() -> None:
    """What the OpenMP of ncnn's package says of itself as it is loaded."""
    environment = {**os.environ, "OMP_DISPLAY_ENV": "VERBOSE"}
    environment.pop("OMP_WAIT_POLICY", None)
    said = [
        subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, capture_output=True, text=True, check=True).stderr
        for module in ("ncnn", "roadworthy.runtimes.ncnn")
    ]
    assert ["GOMP_SPINCOUNT = '0'" in text for text in said] == [False, True]


def test_settings_of_fewer_bits_are_off(candidate: Candidate) -> None:
    assert any(getattr(bare.Net().opt, setting) for setting in ncnn.NARROW), "bare, some are on"
    session = ncnn.load(candidate.path, candidate.signature.fixed(1), replace(PLAN, threads=2))
    assert not any(getattr(session._net.opt, setting) for setting in ncnn.NARROW)
    assert session._net.opt.num_threads == 2 and not session._net.opt.use_vulkan_compute


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (replace(PLAN, precision="bf16"), "in fp32 here, and bf16 was asked for"),
        (replace(PLAN, precision="int8"), "in fp32 here, and int8 was asked for"),
        (replace(PLAN, spin=True), "no choice of spinning threads"),
        (replace(PLAN, batch=None), "one sample a call"),
        (replace(PLAN, batch=4), "one sample a call"),
    ],
)
def test_what_it_would_only_imitate_is_refused(candidate: Candidate, plan: Plan, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_session(candidate.path, candidate.signature, plan)


def test_a_layer_that_ncnn_lacks_is_named(tmp_path: Path) -> None:
    """Every second row, as option A of a ResNet's shortcut takes it."""
    made = model((("Slice", "image from to axes by", "s"), ("Conv", "s w", "c"), *NETWORK[1:]))
    for name, number in (("from", 0), ("to", 12), ("axes", 2), ("by", 2)):
        made.graph.initializer.append(numpy_helper.from_array(np.array([number]), name))
    with pytest.raises(StepFailed, match=r"ncnn has no layer for Tensor\.slice"):
        lower.lower(lower.LowerRequest(graph(tmp_path, made=made), PLAN, None, tmp_path / "out"))
    assert not list((tmp_path / "out").iterdir())


def test_a_graph_that_the_converter_refuses_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")
    broken = replace(graph(tmp_path), path=path)
    path.write_bytes(b"no graph")
    with pytest.raises(StepFailed, match=r"pnnx could not convert model\.onnx for ncnn") as caught:
        lower.lower(lower.LowerRequest(broken, PLAN, None, tmp_path / "out"))
    assert "\n" not in caught.value.message


def test_a_damaged_candidate_is_refused(candidate: Candidate, tmp_path: Path) -> None:
    (tmp_path / ncnn.PARAM).write_text("7767517\n1 1\nNoSuchLayer a 0 1 b\n")
    (tmp_path / ncnn.WEIGHTS).write_bytes(b"")
    with pytest.raises(StepFailed, match="ncnn cannot load"):
        open_session(tmp_path, candidate.signature, PLAN)


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        (TensorSpec("x", "int64", ("batch", 7)), TensorSpec("y", "float32", ("batch", 3)), "'x' is int64"),
        (TensorSpec("x", "float32", ("batch", 7)), TensorSpec("y", "int64", ("batch",)), "'y' is int64"),
        (TensorSpec("x", "float32", (2, 7)), TensorSpec("y", "float32", (2, 3)), "does not count its samples by its first axis"),
        (TensorSpec("x", "float32", (9, "batch", 7), sample_axis=1), TensorSpec("y", "float32", ("batch", 3)), "by its first axis"),
        (TensorSpec("x", "float32", ("batch", "length")), TensorSpec("y", "float32", ("batch", 3)), "free sizes"),
    ],
)
def test_a_signature_that_ncnn_cannot_take_has_no_plans_and_a_reason(
    tmp_path: Path, inputs: TensorSpec, outputs: TensorSpec, words: str
) -> None:
    odd = replace(graph(tmp_path), signature=Signature((inputs,), (outputs,)))
    assert not list(lowering.plans(odd, this_host()))
    with pytest.raises(StepFailed, match=f"ncnn cannot run this model: .*{words}"):
        lower.lower(lower.LowerRequest(odd, PLAN, None, tmp_path / "out"))


def test_without_the_converter_the_reason_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ncnn_files, "converter", lambda: None)
    words = "it needs the converter pnnx; install it with: pip install 'roadworthy[ncnn]'"
    planned = lower.plans_for((graph(tmp_path),), this_host(), runtimes=("ncnn",), precisions=(), calibrated=False)
    assert planned.plans == () and planned.unavailable == (f"ncnn: {words}",)
    with pytest.raises(BackendMissing, match="needs the converter pnnx"):
        lower.lower(lower.LowerRequest(graph(tmp_path), PLAN, None, tmp_path / "out"))


def test_plans_are_for_one_sample_on_one_core_and_on_all(tmp_path: Path) -> None:
    host = replace(this_host(), cores=4)
    assert [plan.name for plan in lowering.plans(graph(tmp_path), host)] == ["ncnn-fp32-b1-t1", "ncnn-fp32-b1-t4"]
    assert not list(lowering.plans(replace(graph(tmp_path), precision="int8"), host))
