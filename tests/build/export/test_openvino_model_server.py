"""A repository for OpenVINO Model Server: the precision is stated, and it answers as its configuration says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from roadworthy.build.export import openvino_model_server as target
from roadworthy.core.errors import InvalidRequest, StepFailed, UsageError
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH
from roadworthy.other_servers import ovms_config
from roadworthy.runtimes.exported import openvino_model_server as runtime
from support.server_exports import convolution, expected, export, graph, images

PLAN = Plan("openvino_model_server")


def lowered(graph: Graph, out: Path) -> Path:
    out.mkdir()
    target.lower(graph, PLAN, None, out)
    return out


def edit(out: Path, change: dict[str, Any], **plugin: Any) -> None:
    """Change the entry of the model: a value of None takes it out."""
    found = json.loads((out / "config.json").read_text())
    entry = found["model_config_list"][0]["config"]
    for held, changes in ((entry, change), (entry["plugin_config"], plugin)):
        held.update(changes)
        for name in [name for name, value in held.items() if value is None]:
            del held[name]
    (out / "config.json").write_text(json.dumps(found))


def test_it_answers_before_and_after_it_is_finished(tmp_path: Path) -> None:
    made = convolution(tmp_path / "m.onnx")
    out = lowered(made, tmp_path / "out")
    for threads in (1, 2):
        session = runtime.load(out, made.signature, replace(PLAN, threads=threads))
        np.testing.assert_allclose(session.run({"image": images(3)})["logits"], expected(images(3)), atol=1e-5)
    readme = target.finish(export(made, PLAN, {"image": images(4)}, {"logits": expected(images(4))}), out)
    session = runtime.load(out, made.signature, PLAN)
    np.testing.assert_allclose(session.run({"image": images(3)})["logits"], expected(images(3)), atol=1e-5)
    with pytest.raises(UsageError, match="the plan 2 for each"):
        runtime.load(out, made.signature, replace(PLAN, threads=2))
    assert "@" not in readme and "--config_path /models/config.json" in readme and (out / "digits" / "1" / "model.bin").is_file()


def test_the_precision_and_the_threads_are_stated(tmp_path: Path) -> None:
    made = convolution(tmp_path / "m.onnx")
    out = lowered(made, tmp_path / "out")
    target.finish(export(made, PLAN, {"image": images(4)}, {"logits": expected(images(4))}), out)
    (model,) = ovms_config.parse((out / "config.json").read_bytes(), "it", StepFailed)
    assert model.property("INFERENCE_PRECISION_HINT") == "f32" and model.target_device == "CPU" and model.base_path == "/models/digits"
    assert int(model.property("INFERENCE_NUM_THREADS")) == int(model.property("NUM_STREAMS")) == model.nireq
    assert ovms_config.acts_in_silence(model) == ()


@pytest.mark.parametrize(
    ("change", "plugin", "says"),
    [
        ({}, {"INFERENCE_PRECISION_HINT": None}, "computes in bf16; state f32"),
        ({"shape": "(1,1,8,8)", "batch_size": 1}, {}, "the server ignores batch_size"),
        ({"target_device": None}, {}, "chooses the device"),
        ({"batch": 1}, {}, "'batch', which the server does not know"),
        ({"name": "other"}, {}, "no folder 'other'"),
        ({"base_path": "/models/gone"}, {}, "base_path is '/models/gone'"),
        ({"model_version_policy": {"specific": {"versions": [7]}}}, {}, "holds no version"),
        ({}, {"INFERENCE_PRECISION_HINT": "f31"}, "OpenVINO cannot load"),
    ],
)
def test_a_configuration_that_runs_otherwise_than_it_reads_does_not_load(
    tmp_path: Path, change: dict[str, Any], plugin: dict[str, Any], says: str
) -> None:
    made = convolution(tmp_path / "m.onnx")
    out = lowered(made, tmp_path / "out")
    edit(out, change, **plugin)
    with pytest.raises(StepFailed, match=says):
        runtime.load(out, made.signature, PLAN)


def test_values_that_a_narrower_type_would_change_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "one"], ["y"])]
    weights = {"one": np.array([1], np.int64)}
    made = graph(tmp_path / "m.onnx", nodes, [("x", [BATCH, 2])], [("y", [BATCH, 2])], weights, kind=TensorProto.INT64)
    session = runtime.load(lowered(made, tmp_path / "out"), made.signature, PLAN)
    assert session.run({"x": np.array([[1, 2]])})["y"].tolist() == [[2, 3]]
    with pytest.raises(InvalidRequest, match="computes it as int32"):
        session.run({"x": np.array([[1, 2**32 + 3]])})


def test_strings_are_refused_by_name(tmp_path: Path) -> None:
    made = graph(
        tmp_path / "m.onnx", [helper.make_node("Identity", ["x"], ["y"])], [("x", [BATCH])], [("y", [BATCH])], kind=TensorProto.STRING
    )
    with pytest.raises(StepFailed, match="'x' takes strings"):
        lowered(made, tmp_path / "out")
