"""Which plans a host is offered, and the step that carries one out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from onnx import load as load_onnx
from onnx import save as save_onnx

from roadworthy.build import lower
from roadworthy.build.lower import null
from roadworthy.core import registry, samples
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.isolation import isolate
from roadworthy.core.stages import Graph, Plan, Precision
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.runtimes import open_session
from support.files import onnx_files

LARGE = replace(this_host(), architecture="x86_64", cores=4, features=("avx512_vnni", "avx512_bf16", "amx_bf16", "avx512_fp16"))
SMALL = replace(LARGE, cores=1, features=("avx2",))
TWO = ("onnxruntime", "openvino")
LINEAR = Signature((TensorSpec("x", "float32", (BATCH, 8)),), (TensorSpec("y", "float32", (BATCH, 4)),))


@pytest.fixture
def onnx(tmp_path: Path) -> Graph:
    return Graph("onnx", onnx_files.linear(tmp_path / "graph.onnx"), onnx_files.SIGNATURE, "by hand")


@pytest.fixture
def npz(tmp_path: Path) -> Graph:
    np.savez(tmp_path / "graph.npz", weight=np.ones((8, 4), np.float32), bias=np.zeros(4, np.float32))
    return Graph("npz", tmp_path / "graph.npz", LINEAR, "by hand")


def test_plans_have_names_of_their_own_and_share_artefacts(onnx: Graph) -> None:
    planned = lower.plans_for((onnx,), LARGE, runtimes=(), precisions=(), calibrated=True)
    names = [plan.name for plan, _ in planned.plans]
    assert len(set(names)) == len(names)
    assert {plan.precision for plan, _ in planned.plans if plan.runtime == "openvino"} == {"fp32", "bf16", "fp16", "int8"}
    assert {plan.batch for plan, _ in planned.plans if plan.runtime == "openvino"} == {None, 1}
    assert {plan.threads for plan, _ in planned.plans} == {1, 4}
    assert len({plan.artefact for plan, _ in planned.plans if plan.runtime == "onnxruntime"}) == 4


def test_a_lesser_host_gets_less_and_is_told_why(onnx: Graph) -> None:
    planned = lower.plans_for((onnx,), SMALL, runtimes=TWO, precisions=(), calibrated=True)
    assert {plan.precision for plan, _ in planned.plans} == {"fp32", "int8"}
    assert {plan.threads for plan, _ in planned.plans} == {1}
    assert all("7bit" in plan.flavour.split("-") for plan, _ in planned.plans if plan.precision == "int8")
    assert "openvino: bf16 needs a CPU with avx512_bf16 or amx_bf16" in planned.unavailable
    assert "openvino: fp16 needs a CPU with avx512_fp16 or amx_fp16" in planned.unavailable


def test_a_model_without_a_dynamic_batch_gets_no_second_fixed_one(onnx: Graph) -> None:
    static = replace(onnx, signature=onnx.signature.fixed(1))
    planned = lower.plans_for((static,), LARGE, runtimes=("openvino",), precisions=("fp32",), calibrated=True)
    assert [plan.batch for plan, _ in planned.plans] == [None]


def test_int8_without_samples_is_named(onnx: Graph) -> None:
    planned = lower.plans_for((onnx,), LARGE, runtimes=TWO, precisions=("int8",), calibrated=False)
    assert planned.plans == ()
    assert planned.unavailable == tuple(f"{name}: int8 needs samples to calibrate on" for name in TWO)


def test_what_the_samples_cannot_prove_is_not_planned_but_for_the_precision_that_the_original_came_in(onnx: Graph) -> None:
    def planned(graph: Graph, unproven: str) -> lower.Planned:
        return lower.plans_for((graph,), LARGE, runtimes=TWO, precisions=(), calibrated=False, unproven=unproven)

    found = planned(onnx, "they need --data to be proven on")
    assert {plan.precision for plan, _ in found.plans} == {"fp32"}
    assert [line for line in found.unavailable if "--data" in line] == ["int8, bf16, fp16: they need --data to be proven on"]
    assert {plan.precision for plan, _ in planned(replace(onnx, precision="int8"), "they need --data").plans} == {"int8"}
    assert {"bf16", "fp16"} < {plan.precision for plan, _ in planned(onnx, "").plans}


def test_filters_narrow_the_search_and_know_their_words(onnx: Graph) -> None:
    planned = lower.plans_for((onnx,), LARGE, runtimes=("onnxruntime",), precisions=("fp32",), calibrated=True)
    assert {(plan.runtime, plan.precision) for plan, _ in planned.plans} == {("onnxruntime", "fp32")}
    with pytest.raises(UsageError, match=r"there is no runtime 'onyx'; choose from .*onnxruntime"):
        lower.refuse_unknown(("onyx",), ())
    with pytest.raises(UsageError, match="there is no precision 'int4'; choose from fp32, bf16, fp16, int8"):
        lower.refuse_unknown((), ("int4",))


def test_a_graph_that_was_not_captured_is_missed_only_where_it_was_asked_for(npz: Graph) -> None:
    planned = lower.plans_for((npz,), LARGE, runtimes=(), precisions=(), calibrated=True)
    assert [plan.runtime for plan, _ in planned.plans] == ["null"]
    planned = lower.plans_for((npz,), LARGE, runtimes=("openvino",), precisions=(), calibrated=True)
    wanted = " or ".join(registry.lowering("openvino").ACCEPTS)
    assert planned == lower.Planned((), (f"openvino: it needs the model as {wanted}, and no such graph was captured",))


def test_a_missing_package_is_a_line_with_its_remedy(onnx: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(package: str, installed: Callable[[str], str] = registry.version) -> str:
        if package == "openvino":
            raise registry.PackageNotFoundError(package)
        return installed(package)

    monkeypatch.setattr(registry, "version", without)
    planned = lower.plans_for((onnx,), LARGE, runtimes=TWO, precisions=("fp32",), calibrated=True)
    assert {plan.runtime for plan, _ in planned.plans} == {"onnxruntime"}
    (line,) = planned.unavailable
    assert line.startswith("openvino cannot be used") and line.endswith("pip install 'roadworthy[openvino]'")


def test_the_step_in_its_own_process(npz: Graph, tmp_path: Path) -> None:
    candidate = isolate.call(lower.lower, lower.LowerRequest(npz, Plan("null"), None, tmp_path / "out"))
    assert (candidate.plan, candidate.graph, candidate.signature) == (Plan("null"), "npz", LINEAR)
    assert candidate.size == (tmp_path / "out" / "model.npz").stat().st_size
    assert candidate.seconds > 0


def test_a_directory_in_use_is_refused(npz: Graph, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        lower.lower(lower.LowerRequest(npz, Plan("null"), None, tmp_path))


def test_a_lowering_that_leaves_nothing_is_no_candidate(npz: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(null, "lower", lambda *arguments: None)
    with pytest.raises(StepFailed, match="left no file"):
        lower.lower(lower.LowerRequest(npz, Plan("null"), None, tmp_path / "out"))


@pytest.mark.parametrize("name", TWO)
def test_what_its_runtime_cannot_open_is_no_candidate(onnx: Graph, tmp_path: Path, name: str) -> None:
    """A graph that is not of its signature, and a file that is no graph."""
    wrong = Signature(onnx.signature.inputs, (TensorSpec("z", "float32", (BATCH, 4)),))
    with pytest.raises(StepFailed, match="it has y where the signature has z"):
        lower.lower(lower.LowerRequest(replace(onnx, signature=wrong), Plan(name), None, tmp_path / "out"))
    onnx.path.write_text("not a model")
    with pytest.raises(StepFailed) as caught:
        lower.lower(lower.LowerRequest(onnx, Plan(name), None, tmp_path / "again"))
    assert "graph.onnx" in caught.value.message and "\n" not in caught.value.message


@pytest.mark.parametrize("name", TWO)
def test_int8_without_samples_is_refused(onnx: Graph, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="samples to calibrate on"):
        lower.lower(lower.LowerRequest(onnx, Plan(name, "int8"), None, tmp_path / "out"))


@pytest.mark.parametrize("name", TWO)
def test_weights_beside_the_graph_come_along(tmp_path: Path, name: str) -> None:
    weights = np.random.default_rng(0).standard_normal((8, 4), dtype=np.float32)
    (tmp_path / "w.bin").write_bytes(weights.tobytes())
    graph = Graph("onnx", onnx_files.linear(tmp_path / "graph.onnx", weights="w.bin"), LINEAR, "by hand")
    lower.lower(lower.LowerRequest(graph, Plan(name), None, tmp_path / "out"))
    (tmp_path / "w.bin").unlink()
    feeds = {"x": np.ones((2, 8), np.float32)}
    with lower.open_session(tmp_path / "out", LINEAR, Plan(name)) as session:
        assert np.allclose(session.run(feeds)["y"], feeds["x"] @ weights)


@pytest.mark.parametrize(
    ("shape", "limit", "wanted"),
    [((BATCH, 8), None, [4, 4, 2]), ((BATCH, 8), 3, [3, 3, 3, 1]), ((1, 8), 1, [1] * 10), ((4, 8), 4, [4, 4])],
)
def test_calibration_comes_in_batches_that_the_model_takes(
    tmp_path: Path, shape: tuple[int | str, ...], limit: int | None, wanted: list[int]
) -> None:
    data = samples.write(tmp_path / "data", {"x": np.zeros((10, 8), np.float32)})
    signature = Signature((TensorSpec("x", "float32", shape),), (TensorSpec("y", "float32", shape),), limit)
    assert [len(feeds["x"]) for feeds in lower.calibration_batches(data, signature, 4)] == wanted


@pytest.mark.parametrize(
    ("features", "architecture", "flavour"),
    [(("avx2",), "x86_64", "7bit"), (("avx512_vnni",), "x86_64", ""), (("avx_vnni",), "x86_64", ""), (("asimddp",), "aarch64", "")],
)
def test_int8_flavour(features: tuple[str, ...], architecture: str, flavour: str) -> None:
    assert lower.int8_flavour(replace(LARGE, features=features, architecture=architecture)) == flavour


def test_every_lowering_has_its_runtime() -> None:
    assert set(registry.names(registry.LOWERINGS)) <= set(registry.names(registry.RUNTIMES))


def files_with(folder: Path, kind: str) -> Path:
    """``y = relu(x @ w)`` with a function of the file's own around it, or with a wrong shape stated for what is inside."""
    nodes = [onnx_files.node("MatMul", "x w", "h"), onnx_files.node("Relu", "h", "y")]
    weights = {"w": np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)}
    tensors = ([("x", 1, [BATCH, 8])], [("y", 1, [BATCH, 4])], weights)
    if kind == "function":
        own = helper.make_function("own", "Layer", ["a", "b"], ["c"], [
            helper.make_node("MatMul", ["a", "b"], ["m"]), helper.make_node("Relu", ["m"], ["c"]),
        ], [helper.make_opsetid("", 17)])  # fmt: skip
        layer = onnx_files.node("Layer", "x w", "y", domain="own")
        return onnx_files.written(folder / "graph.onnx", [layer], *tensors, functions=(own,), domains=("own",))
    model = load_onnx(onnx_files.written(folder / "graph.onnx", nodes, *tensors))
    model.graph.value_info.append(helper.make_tensor_value_info("h", 1, [BATCH, 9]))
    save_onnx(model, folder / "graph.onnx")
    return folder / "graph.onnx"


@pytest.mark.parametrize("kind", ["function", "wrong"])
@pytest.mark.parametrize(("runtime", "precision"), [("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("openvino", "fp32")])
def test_functions_of_a_file_and_wrong_statements_in_it_keep_no_runtime_away(
    kind: str, runtime: str, precision: Precision, tmp_path: Path
) -> None:
    graph = Graph("onnx", files_with(tmp_path, kind), onnx_files.SIGNATURE, "by hand")
    x = np.random.default_rng(1).standard_normal((32, 8)).astype(np.float32)
    data = samples.write(tmp_path / "s", {"x": x}) if precision == "int8" else None
    plan = Plan(runtime, precision)
    path = lower.lower(lower.LowerRequest(graph, plan, data, tmp_path / "out")).path
    wanted = np.maximum(x[:3] @ np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32), 0)
    with open_session(path, graph.signature, plan) as session:
        assert np.allclose(session.run({"x": x[:3]})["y"], wanted, atol=0.2 if precision == "int8" else 1e-4)


def test_a_graph_for_one_sample_a_call_is_a_plan_of_that_size(tmp_path: Path) -> None:
    """What was captured for one sample alone answers any number, one at a time."""
    whole = onnx_files.SIGNATURE
    graph = Graph("onnx", onnx_files.linear(tmp_path / "graph.onnx", batch=1), whole.fixed(1), "by hand")
    plan = Plan("onnxruntime", batch=1)
    path = lower.lower(lower.LowerRequest(graph, plan, None, tmp_path / "out")).path
    x = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
    with open_session(path, whole, plan) as session:
        assert np.allclose(session.run({"x": x})["y"], x @ onnx_files.weight(graph.path), atol=1e-5)
    batched = Graph("onnx", graph.path, whole, "by hand")
    with pytest.raises(UsageError, match="is not a plan of ONNX Runtime"):
        lower.lower(lower.LowerRequest(batched, plan, None, tmp_path / "other"))
