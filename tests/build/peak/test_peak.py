"""The peak is of the precision that was asked for or there is no figure, and a share of it is claimed only where both parts are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from roadworthy.build import peak
from roadworthy.build.peak import matrices
from roadworthy.build.peak.matrices import PeakRequest
from roadworthy.bundle.peak import MatrixPeak, ModelWork
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing, StepFailed
from roadworthy.core.evidence import Interval
from roadworthy.core.host import this_host
from roadworthy.core.stages import Plan, Precision
from roadworthy.core.types import BATCH, Signature, TensorSpec

SIGNATURE = Signature((TensorSpec("x", "float32", (BATCH, 12)),), (TensorSpec("y", "float32", (BATCH, 4)),))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices that are multiplied in no time."""
    pytest.importorskip("openvino")
    monkeypatch.setattr(matrices, "SMALL", 64)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_precision_that_every_cpu_has(precision: Precision) -> None:
    found = matrices.measure(PeakRequest(precision, 1, 0.0))
    assert found.precision == precision and found.threads == 1 and found.kernel.startswith("openvino ")
    assert 0 < found.gops.low <= found.gops.value <= found.gops.high <= found.best


def test_another_precision_than_was_asked_for_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    from roadworthy.build.peak import openvino

    monkeypatch.setattr(openvino, "_layers", lambda compiled: ({"f32"}, "some kernel"))
    for precision in ("bf16", "int8"):
        with pytest.raises(StepFailed, match=f"multiplies matrices in f32 here where {precision} was asked for"):
            matrices.measure(PeakRequest(precision, 1, 0.0))  # type: ignore[arg-type]
    monkeypatch.setattr(matrices, "_runtimes", list)
    with pytest.raises(BackendMissing):
        matrices.measure(PeakRequest("fp32", 1, 0.0))


def test_the_fastest_runtime_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert matrices._runtimes() == ["openvino"] and set(matrices._runtimes()) <= set(registry.names(registry.RUNTIMES))
    assert matrices.copied().value > 0


def test_the_work_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = helper.make_tensor_value_info("x", TensorProto.FLOAT, (BATCH, 12)), helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(np.ones((12, 4), np.float32), "w")]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], held)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "model.onnx")
    work = peak.of_model(peak.WorkRequest(tmp_path / "model.onnx", SIGNATURE, Plan("any"), 0.0))
    assert work.operations == 96 and work.peak is not None and (work.peak.precision, work.peak.threads) == ("fp32", 1)
    assert work.share_of_peak(1.0) == pytest.approx(96 / 1e-3 / (work.peak.best * 1e9))
    assert peak.of_model(peak.WorkRequest(tmp_path / "model.onnx", SIGNATURE, Plan("any", "fp16"), 0.0)).peak is None


def test_no_share_is_claimed_where_a_part_is_not_known() -> None:
    known = MatrixPeak("fp32", 1, Interval(90.0, 80.0, 95.0), 100.0, "some kernel")
    assert ModelWork(10**9, (), known).share_of_peak(100.0) == pytest.approx(0.1)
    for work in (ModelWork(10**9, (), None), ModelWork(10**9, ("LSTM",), known), ModelWork(0, (), known)):
        assert work.share_of_peak(100.0) is None


def test_a_host_without_a_precision_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(function: object, request: PeakRequest, **limits: object) -> MatrixPeak:
        if request.precision == "bf16":
            raise StepFailed("this CPU has none")
        return MatrixPeak(request.precision, request.threads, Interval(1.0, 1.0, 1.0), 1.0, "k")

    monkeypatch.setattr(peak.isolate, "call", measured)
    found = peak.of_host(this_host())
    assert found.unmeasured == ("bf16: this CPU has none",)
    assert {one.precision for one in found.matrices} == {"fp32", "int8"} and {one.threads for one in found.matrices} == {
        1,
        this_host().cores,
    }
