"""Silent wrong results of ONNX Runtime and OpenVINO: each is provoked with the bare library, then avoided by ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadworthy.build.lower import openvino as lower_openvino
from roadworthy.build.lower import plans_for
from roadworthy.core import registry, samples
from roadworthy.core.errors import UsageError
from roadworthy.core.stages import Graph, Plan
from roadworthy.runtimes import onnxruntime, open_session, openvino
from support import hosts
from support.files import onnx_files

SIGNATURE = onnx_files.SIGNATURE
HOST = hosts.true_host()
HINT = "INFERENCE_PRECISION_HINT"
HAS_BF16 = HOST.has("avx512_bf16") or HOST.has("amx_bf16")
SATURATES = HOST.architecture == "x86_64" and not (hosts.has("avx512_vnni") or hosts.has("avx_vnni"))
"""Of the CPU itself: ONNX Runtime follows no mask."""


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return Graph("onnx", onnx_files.linear(tmp_path / "graph.onnx"), SIGNATURE, "by hand")


def bare_openvino(path: Path, **properties: Any) -> Any:
    return openvino.openvino.Core().compile_model(path, "CPU", properties)


# 1. OpenVINO's precision


def test_bare_openvino_computes_in_another_precision_than_asked_for(graph: Graph) -> None:
    """Without a word: float32 for bf16 on CPUs without it, bf16 for nothing asked on machines with AMX."""
    if HOST.has("amx_bf16"):
        assert bare_openvino(graph.path).get_property(HINT) == openvino.openvino.Type.bf16
    if not HAS_BF16:
        assert bare_openvino(graph.path, **{HINT: "bf16"}).get_property(HINT) == openvino.openvino.Type.f32


def test_every_plan_that_is_offered_runs_in_its_own_precision(graph: Graph, tmp_path: Path) -> None:
    data = samples.write(tmp_path / "data", {"x": np.random.default_rng(0).random((16, 8), np.float32)})
    planned = plans_for((graph,), HOST, runtimes=("openvino",), precisions=(), calibrated=True)
    plans = {(plan.artefact, plan.options): plan for plan, _ in planned.plans if "sensitive" not in plan.flavour}
    for plan in plans.values():
        out = tmp_path / plan.name
        out.mkdir()
        lower_openvino.lower(graph, plan, data, out)
        inner = SIGNATURE.fixed(plan.batch) if plan.batch else SIGNATURE
        compiled = openvino.load(out, inner, plan)._request.get_compiled_model()
        assert compiled.get_property(HINT) == openvino.PRECISIONS["bf16" if "bf16" in plan.options else plan.precision], plan.name
        assert compiled.outputs[0].get_element_type() == openvino.openvino.Type.f32


@pytest.mark.skipif(HAS_BF16, reason="this CPU computes in bf16")
def test_bf16_on_a_cpu_without_it_is_neither_planned_nor_loaded(graph: Graph) -> None:
    planned = plans_for((graph,), HOST, runtimes=("openvino",), precisions=("bf16",), calibrated=True)
    assert planned.plans == ()
    assert planned.unavailable == ("openvino: bf16 needs a CPU with avx512_bf16 or amx_bf16",)
    with pytest.raises(UsageError, match="bf16 was asked for and OpenVINO would compute in f32"):
        openvino.load(graph.path, SIGNATURE, Plan("openvino", "bf16"))


# 8. Weights halved on the way to the disk


def test_weights_are_saved_in_full(graph: Graph, tmp_path: Path) -> None:
    core = openvino.openvino.Core()
    openvino.openvino.save_model(core.read_model(graph.path), tmp_path / "bare.xml")
    ours = tmp_path / "ours"
    ours.mkdir()
    lower_openvino.lower(graph, Plan("openvino"), None, ours)
    exact = onnx_files.weight(graph.path)
    assert not np.array_equal(_constant(core.read_model(tmp_path / "bare.xml")), exact)
    assert np.array_equal(_constant(core.read_model(ours / "model.xml")), exact)


def _constant(model: Any) -> Any:
    """The matrix of the model as float32, in the layout of the ONNX file: the converter transposes it."""
    (constant,) = (op for op in model.get_ops() if op.get_type_name() == "Constant" and len(op.shape) == 2)
    values = constant.data.astype(np.float32)
    return values if values.shape == (8, 4) else values.T


# 13. Waiting threads that spin


def test_spinning_is_the_plans_choice(tmp_path: Path) -> None:
    """By what the session says, and by the CPU time (not the wall's) that pauses between calls cost."""
    path = onnx_files.linear(tmp_path / "wide.onnx", width=4096)
    spent = {}
    for spin in (True, False):
        session = onnxruntime.load(path, SIGNATURE, Plan("onnxruntime", threads=2, spin=spin))
        options = session._session.get_session_options()
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == str(int(spin))
        spent[spin] = _cpu_seconds(session.run)
    assert spent[True] > spent[False]


def _cpu_seconds(run: Callable[[dict[str, Any]], object]) -> float:
    feeds = {"x": np.ones((64, 8), np.float32)}
    run(feeds)
    start = time.process_time()
    for _ in range(60):
        run(feeds)
        time.sleep(0.003)
    return time.process_time() - start


# Not in the list when it was written: 8-bit products that saturate on CPUs without VNNI


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.skipif(not SATURATES, reason="this CPU adds 8-bit products without saturating")
def test_int8_keeps_to_seven_bits_where_eight_would_saturate(tmp_path: Path, name: str) -> None:
    """All weights and inputs near their largest value: the sum of two products leaves 16 bits."""
    path = onnx_files.linear(tmp_path / "ones.onnx", ones=True)
    graph = Graph("onnx", path, SIGNATURE, "by hand")
    feeds = {"x": np.ones((16, 8), np.float32)}
    feeds["x"][:, :2] = np.random.default_rng(0).random((16, 2))
    data = samples.write(tmp_path / "data", feeds)
    with open_session(path, SIGNATURE, Plan("onnxruntime")) as session:
        right = session.run(feeds)["y"]
    (offered, *_), _ = zip(*plans_for((graph,), HOST, runtimes=(name,), precisions=("int8",), calibrated=True).plans, strict=True)
    error = {}
    for flavour in ("", offered.flavour):
        plan = Plan(name, "int8", flavour=flavour)
        out = tmp_path / plan.name
        out.mkdir()
        registry.lowering(name).lower(graph, plan, data, out)
        with open_session(out, SIGNATURE, plan) as session:
            error[flavour] = float(np.abs(session.run(feeds)["y"] - right).max() / right.max())
    assert error[""] > 0.2, "the lie did not show"
    assert error["7bit"] < 0.02
