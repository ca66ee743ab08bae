"""Wrong answers that made-up samples once let through: identifiers cut to 32 bits, a batch of one verified on one sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from roadworthy.build import original, reference
from roadworthy.build.certificate import nothing_left
from roadworthy.build.job import Job
from roadworthy.build.search import search
from roadworthy.build.sources import parse_inputs
from roadworthy.build.workspace import open_workspace
from roadworthy.core.stages import Plan, Rejected, Verified
from support.files import onnx_files

pytestmark = pytest.mark.slow


def hashing(path: Path) -> Path:
    """Whole numbers of 64 bits, each the row of a table by its remainder."""
    table = np.random.default_rng(0).standard_normal((101, 8)).astype(np.float32)
    nodes = [helper.make_node("Mod", ["ids", "rows"], ["row"]), helper.make_node("Gather", ["table", "row"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "hash",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 8])],
        [numpy_helper.from_array(np.array(101), "rows"), numpy_helper.from_array(table, "table")],
    )
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    return path


def tried(job: Job, runtime: str) -> Verified | Rejected:
    """What becomes of one runtime's float32 plan."""
    with open_workspace(seconds=job.seconds, step_seconds=120, memory_mb=0, notify=lambda progress: None) as workspace:
        source = original.identify(job, workspace)
        loaded, data = original.load_original(source, job, original.contract_of(job, source, workspace).contract, workspace)
        trial, _ = reference.reference_of(loaded.graph, loaded.signature, data, job, workspace)
        outcome = search([(Plan(runtime), loaded.graph)], (loaded.graph,), trial, workspace)
        (result,) = (*outcome.verified, *outcome.rejected)
        if isinstance(result, Rejected):
            assert "outside int32" in result.reason or "not the same function" in result.reason
            said = nothing_left((), (), outcome.rejected, (), data.notes)
            assert "(int64)" in said and "--data" in said
        return result


def test_a_runtime_that_cuts_identifiers_to_32_bits_is_caught_without_data(tmp_path: Path) -> None:
    job = Job(hashing(tmp_path / "hash.onnx"), tmp_path / "bundle")
    assert isinstance(tried(job, "onnxruntime"), Verified)
    assert isinstance(tried(job, "openvino"), Rejected)


def test_within_a_stated_range_it_may_serve(tmp_path: Path) -> None:
    specs, stated = parse_inputs(("ids:int64[batch,4] in 0..1000000",))
    job = Job(hashing(tmp_path / "hash.onnx"), tmp_path / "bundle", inputs=specs, stated=stated)
    assert isinstance(tried(job, "openvino"), Verified)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_file_of_a_fixed_batch_is_verified_on_as_many_samples_as_any_other(batch: int, tmp_path: Path) -> None:
    job = Job(onnx_files.linear(tmp_path / "fixed.onnx", batch=batch), tmp_path / "bundle", samples=40)
    result = tried(job, "onnxruntime")
    assert isinstance(result, Verified) and result.parity.samples == 40
    assert result.score is not None and result.score.samples == 40
