"""A repository for Triton: what is written, that Triton's own client reads it, and that it answers as its configuration says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from roadworthy.build.export import triton as target
from roadworthy.build.exported import Export
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.other_servers import triton_config, triton_rules
from roadworthy.other_servers.triton_config import TritonConfig
from roadworthy.runtimes.exported import triton as runtime
from support.clients.environments import client_python, drive
from support.server_exports import LABELS, convolution, expected, export, graph, images

PLAN = Plan("triton")


def lowered(graph: Graph, out: Path) -> Path:
    out.mkdir()
    target.lower(graph, PLAN, None, out)
    return out


def finished(graph: Graph, out: Path, plan: Plan = PLAN, **more: Any) -> tuple[Export, str]:
    lowered(graph, out)
    made = export(graph, plan, {"image": images(4)}, {"logits": expected(images(4))}, **more)
    return made, target.finish(made, out)


def config_of(out: Path, name: str = "digits") -> TritonConfig:
    return triton_config.parse((out / name / "config.pbtxt").read_bytes(), "it", StepFailed)


def test_it_answers_before_and_after_it_is_finished(tmp_path: Path) -> None:
    made = convolution(tmp_path / "m.onnx")
    out = lowered(made, tmp_path / "out")
    for threads in (1, 2):
        plan = replace(PLAN, threads=threads, spin=threads > 1)
        session = runtime.load(out, made.signature, plan)
        np.testing.assert_allclose(session.run({"image": images(3)})["logits"], expected(images(3)), atol=1e-5)
    target.finish(export(made, PLAN, {"image": images(4)}, {"logits": expected(images(4))}), out)
    session = runtime.load(out, made.signature, PLAN)
    np.testing.assert_allclose(session.run({"image": images(3)})["logits"], expected(images(3)), atol=1e-5)
    with pytest.raises(UsageError, match="states 1 threads, and the plan 2"):
        runtime.load(out, made.signature, replace(PLAN, threads=2, spin=True))


def test_more_samples_than_the_server_takes_go_in_several_calls(tmp_path: Path) -> None:
    made = convolution(tmp_path / "m.onnx")
    made = replace(made, signature=replace(made.signature, max_batch=4))
    out = lowered(made, tmp_path / "out")
    assert config_of(out, "model").max_batch_size == 4
    answer = runtime.load(out, made.signature, PLAN).run({"image": images(11)})["logits"]
    np.testing.assert_allclose(answer, expected(images(11)), atol=1e-5)


def test_the_configuration_says_everything(tmp_path: Path) -> None:
    exported, readme = finished(convolution(tmp_path / "m.onnx"), out := tmp_path / "out", replace(PLAN, threads=2, spin=True))
    config = config_of(out)
    assert config.name == "digits" and config.runs_on == "onnxruntime" and config.max_batch_size == 64 and config.batching
    # The batch is left out of dims.
    assert config.inputs[0].dims == (1, 8, 8) and config.outputs[0].dims == (4,)
    assert config.parameter("intra_op_thread_count") == "2" and config.parameter("inter_op_thread_count") == "1"
    assert [group.kind for group in config.instances] == ["KIND_CPU"] and config.instances[0].count >= 1
    assert config.outputs[0].labels == "labels.txt" and (out / "digits" / "labels.txt").read_text().split() == list(LABELS)
    for number, warmup in enumerate(config.warmups):
        (one,) = warmup.inputs
        found = np.fromfile(out / "digits" / "warmup" / one.file, np.float32).reshape(1, *one.dims)
        assert warmup.batch_size == 1 and np.array_equal(found, images(4)[number : number + 1])
    assert len(config.warmups) == 2
    model = exported.signature.inputs, exported.signature.outputs
    assert (
        triton_rules.mistakes(config) == triton_rules.contradictions(config, *model) == triton_rules.acts_in_silence(config, *model) == ()
    )
    assert "@" not in readme and "--model-repository=/models" in readme and "--disable-auto-complete-config" not in readme


@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "FLOAT16", "INT64", "INT8", "UINT8", "BOOL", "STRING", "BFLOAT16"])
def test_each_type_is_triton_s(tmp_path: Path, kind: str) -> None:
    names = {"FLOAT": "FP32", "DOUBLE": "FP64", "FLOAT16": "FP16", "BFLOAT16": "BF16"}
    number = getattr(TensorProto, kind)
    made = graph(tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["y"])], [("x", [BATCH, 3])], [("y", [BATCH, 3])], kind=number)
    text = (lowered(made, tmp_path / "out") / "model" / "config.pbtxt").read_text()
    assert text.count(f"TYPE_{names.get(kind, kind)}\n") == 2


def test_what_is_one_number_a_sample_has_a_dimension_for_the_server(tmp_path: Path) -> None:
    """Triton refuses tensors without dims."""
    made = graph(tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], ["y"])], [("x", [BATCH])], [("y", [BATCH])])
    out = lowered(made, tmp_path / "out")
    config = config_of(out, "model")
    assert config.inputs[0].dims == config.outputs[0].dims == (1,) and config.inputs[0].reshape == ()
    assert runtime.load(out, made.signature, PLAN).run({"x": np.float32([1, 2])})["y"].tolist() == [-1, -2]
    target.finish(export(made, PLAN, {"x": np.float32([1, 2])}, {"y": np.float32([-1, -2])}), out)
    assert config_of(out).warmups[0].inputs[0].dims == (1,)
    assert "'numbers': ['x', 'y']" in (out / "verify.py").read_text()


def test_a_sample_axis_that_is_not_the_first_is_part_of_dims(tmp_path: Path) -> None:
    made = graph(
        tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], [("x", ["time", BATCH, 3])], [("y", ["time", BATCH, 3])], axis=1
    )
    out = lowered(made, tmp_path / "out")
    config = config_of(out, "model")
    assert config.max_batch_size == 0 and config.inputs[0].dims == (-1, -1, 3) and not config.batching
    rows = np.ones((2, 5, 3), np.float32)
    readme = target.finish(export(made, PLAN, {"x": rows}, {"y": rows}), out)
    # Left alone, the server would take the first free dimension for a batch.
    assert "--disable-auto-complete-config" in readme
    assert config_of(out).warmups[0].inputs[0].dims == (5, 1, 3)


def test_strings_are_written_with_their_length(tmp_path: Path) -> None:
    made = graph(
        tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["y"])], [("x", [BATCH, 2])], [("y", [BATCH, 2])], kind=TensorProto.STRING
    )
    out, rows = lowered(made, tmp_path / "out"), np.array([[b"ab", b""]], object)
    assert runtime.load(out, made.signature, PLAN).run({"x": rows})["y"].tolist() == rows.tolist()
    target.finish(export(made, PLAN, {"x": rows}, {"y": rows}), out)
    assert (out / "digits" / "warmup" / "golden0-0.bin").read_bytes() == b"\2\0\0\0ab\0\0\0\0"


def test_triton_s_own_client_reads_it(tmp_path: Path) -> None:
    finished(convolution(tmp_path / "m.onnx"), out := tmp_path / "out")
    python = client_python("tritonclient-grpc", "tritonclient[grpc]==2.73.0")
    (out / "digits" / "wrong.pbtxt").write_text('name: "digits" max_batch: 3')
    found = drive(python, "triton_config.py", out / "digits" / "config.pbtxt", out / "digits" / "wrong.pbtxt")
    assert "max_batch" in found[1]["refused"]
    read = found[0]
    assert read["maxBatchSize"] == 64 and read["input"] == [{"name": "image", "dataType": "TYPE_FP32", "dims": ["1", "8", "8"]}]
    assert read["instanceGroup"][0]["kind"] == "KIND_CPU" and read["parameters"]["intra_op_thread_count"] == {"stringValue": "1"}
    assert json.loads(json.dumps(read["modelWarmup"][0]))["inputs"]["image"]["inputDataFile"] == "golden0-0.bin"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("dims: 1\n", "dims: -1\n  dims: 1\n", "the batch is left out of dims"),
        ('name: "image"', 'name: "pixels"', "'pixels' is not in the model"),
        ("TYPE_FP32", "TYPE_FP64", "stated as float64"),
        ("dims: 8\n  dims: 8", "dims: 8\n  dims: 9", "stated with dims"),
        ("max_batch_size: 64", "", "stated with dims"),
        ("max_batch_size: 64", "max_batch_sizes: 64", "not a configuration of Triton"),
    ],
)
def test_a_configuration_that_means_another_model_does_not_load(tmp_path: Path, old: str, new: str, says: str) -> None:
    made = convolution(tmp_path / "m.onnx")
    out = lowered(made, tmp_path / "out")
    file = out / "model" / "config.pbtxt"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(StepFailed, match=says):
        runtime.load(out, made.signature, PLAN)


def test_plans_are_few_and_their_threads_spin(tmp_path: Path) -> None:
    found = list(target.plans(convolution(tmp_path / "m.onnx"), replace(this_host(), cores=4)))
    assert [(plan.threads, plan.spin) for plan in found] == [(1, False), (4, True)]
    with pytest.raises(UsageError, match="no switch for spinning"):
        runtime.load(tmp_path, Signature((), ()), replace(PLAN, threads=4))


def test_a_type_that_triton_lacks_is_named() -> None:
    spec = TensorSpec("z", "complex64", (BATCH, 3))
    with pytest.raises(StepFailed, match="'z', which is complex64"):
        target._config(Signature((spec,), (spec,)), ("z",))
