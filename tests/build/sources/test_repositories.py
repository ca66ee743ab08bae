"""Model repositories of Triton and OpenVINO Model Server as sources: the version that is served, what is stated, what holds no model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from roadworthy.build import sources
from roadworthy.core.errors import SourceError, SourceRefused, SourceUnreadable
from support.files import onnx_files

INPUT = 'input { name: "x" data_type: TYPE_FP32 dims: 8 }'
OUTPUT = 'output { name: "y" data_type: TYPE_FP32 dims: 4 label_filename: "labels.txt" }'
PLAIN = f'backend: "onnxruntime" max_batch_size: 8 {INPUT} {OUTPUT}'


def triton(tmp_path: Path, config: str = PLAIN, versions: tuple[str, ...] = ("1",), file: str = "model.onnx") -> Path:
    folder = tmp_path / "linear"
    folder.mkdir()
    (folder / "config.pbtxt").write_text(config)
    (folder / "labels.txt").write_text("ant\nbee\ncat\ndog\n")
    for number, version in enumerate(versions):
        (folder / version).mkdir()
        onnx_files.linear(folder / version / file, ones=number % 2 == 1)
    return folder


def test_a_model_of_a_repository_is_a_source(tmp_path: Path) -> None:
    folder = triton(tmp_path, versions=("1", "3", "02", "old"))
    for named in (folder, tmp_path, folder / "config.pbtxt"):
        found = sources.identify(named)
        assert found.kind == "onnx" and found.path == (folder / "3" / "model.onnx").absolute()
        assert found.labels == ("ant", "bee", "cat", "dog") and "version 3 of Triton's model linear" in found.notes[0]
        assert {file.path.name for file in found.files} == {"model.onnx", "config.pbtxt", "labels.txt"}
    assert sources.inspect(folder).kind == "triton_repository" and sources.identify(folder).named.name == "linear"


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [("latest { num_versions: 2 }", "3"), ("all {}", "3"), ("specific { versions: [ 1 ] }", "1"), ("specific { versions: [ 2, 1 ] }", "2")],
)
def test_the_version_policy_is_obeyed(tmp_path: Path, policy: str, wanted: str) -> None:
    folder = triton(tmp_path, f"{PLAIN} version_policy {{ {policy} }}", ("1", "2", "3"))
    assert sources.identify(folder).path.parent.name == wanted


def test_a_version_that_is_not_there_is_said(tmp_path: Path) -> None:
    folder = triton(tmp_path, f"{PLAIN} version_policy {{ specific {{ versions: [ 7 ] }} }}", ("1", "2"))
    with pytest.raises(SourceUnreadable, match=r"no version that its version_policy \(specific: 7\) serves; it has 2, 1"):
        sources.identify(folder)


def test_several_models_are_listed_and_one_is_asked_for(tmp_path: Path) -> None:
    folder = triton(tmp_path)
    folder.rename(tmp_path / "other")
    triton(tmp_path)
    with pytest.raises(SourceError, match=r"a Triton repository of 2 models \(linear, other\); deploy the folder of one"):
        sources.identify(tmp_path)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('platform: "tensorrt_plan"', "holds a TensorRT plan, machine code for one kind of GPU; deploy the ONNX file"),
        ('backend: "python"', r"is Python code \(model.py\), which is never run"),
        ('platform: "ensemble" ensemble_scheduling { step { model_name: "a" } }', "is a pipeline of other models"),
        ('backend: "fil"', "is of the backend 'fil', whose files are not read"),
        ('backend: "openvino" default_model_filename: "model.xml"', "OpenVINO's own format is not read as a source"),
    ],
)
def test_backends_without_a_model_that_is_read_are_named(tmp_path: Path, config: str, says: str) -> None:
    folder = triton(tmp_path, config)
    (folder / "1" / "model.xml").touch()
    with pytest.raises(SourceError, match=says):
        sources.identify(folder)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (PLAIN.replace("dims: 8", "dims: 9"), "stated with dims"),
        (PLAIN.replace("dims: 8", "dims: [ -1, 8 ]"), "the batch is left out of dims"),
        (PLAIN.replace('"x"', '"z"'), "the input 'z' is not in the model"),
        (PLAIN.replace("TYPE_FP32", "TYPE_INT32", 1), "stated as int32, and the model has float32"),
        (PLAIN.replace("max_batch_size: 8", ""), "stated with dims"),
    ],
)
def test_a_configuration_of_another_model_is_refused(tmp_path: Path, config: str, says: str) -> None:
    folder = triton(tmp_path, config)
    with pytest.raises(SourceError, match=r"states another model than model\.onnx") as refused:
        sources.identify(folder)
    assert says in refused.value.message and f"roadworthy deploy {folder / '1' / 'model.onnx'}" in refused.value.message
    assert sources.identify(folder / "1" / "model.onnx").kind == "onnx"


@pytest.mark.parametrize(
    ("config", "says"),
    [("backend: [", "is not a configuration of Triton"), ('default_model_filename: "../../x.onnx"', "which is not a plain name"),
     ('default_model_filename: "gone.onnx"', "holds no gone.onnx")],
)  # fmt: skip
def test_a_damaged_configuration_is_refused(tmp_path: Path, config: str, says: str) -> None:
    with pytest.raises(SourceUnreadable, match=says):
        sources.identify(triton(tmp_path, config))


def test_labels_that_do_not_fit_are_left_out_with_a_note(tmp_path: Path) -> None:
    folder = triton(tmp_path)
    for content, says in (("ant\n", "has 1 lines and 'y' 4 classes"), (None, "are not a file beside config.pbtxt")):
        if content is None:
            (folder / "labels.txt").unlink()
        else:
            (folder / "labels.txt").write_text(content)
        found = sources.identify(folder)
        assert found.labels == () and any(says in note for note in found.notes)


def test_mistakes_that_the_model_does_not_share_are_notes(tmp_path: Path) -> None:
    folder = triton(tmp_path, f"{PLAIN} dynamic_batching {{ preferred_batch_size: [ 99 ] }}")
    assert any("preferred_batch_size 99 is not in 1..8" in note for note in sources.identify(folder).notes)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_model_takes_what_the_configuration_states(tmp_path: Path) -> None:
    """The file states no inputs, and Triton calls them by their order."""
    config = 'platform: "pytorch_libtorch" max_batch_size: 4 input { name: "INPUT__0" data_type: TYPE_FP32 dims: [ 3, 8 ] }'
    folder = triton(tmp_path, config)
    torch.jit.script(torch.nn.ReLU()).save(str(folder / "1" / "model.pt"))
    with pytest.raises(SourceRefused, match="pass --trust"):
        sources.identify(folder)
    found = sources.identify(folder, trust=True)
    loaded = sources.load(sources.LoadRequest(found, (), None, tmp_path / "out"))
    assert [str(spec) for spec in loaded.signature.inputs] == ["input:float32[batch,3,8]"]


def ovms(tmp_path: Path, versions: tuple[str, ...] = ("1",), **config: Any) -> Path:
    folder = tmp_path / "linear"
    for version in versions:
        (folder / version).mkdir(parents=True)
        onnx_files.linear(folder / version / "any.onnx")
    if config:
        entry = {"name": "linear", "base_path": "/models/linear", **config}
        (tmp_path / "config.json").write_text(json.dumps({"model_config_list": [{"config": entry}]}))
    return folder


def test_a_folder_of_versions_is_a_source(tmp_path: Path) -> None:
    folder = ovms(tmp_path, ("2", "10", "old"))
    found = sources.identify(folder)
    assert found.kind == "onnx" and found.path.parent.name == "10" and found.named == folder.absolute()
    assert sources.inspect(folder).kind == "ovms"


def test_a_configuration_names_the_folder_and_the_version(tmp_path: Path) -> None:
    folder = ovms(tmp_path, ("1", "2"), model_version_policy={"specific": {"versions": [1]}}, shape="(1,8)")
    for named in (tmp_path, tmp_path / "config.json", folder):
        found = sources.identify(named)
        assert found.path == (folder / "1" / "any.onnx").absolute(), named
        assert any("shape (1,8)" in note for note in found.notes) and {file.path.name for file in found.files} == {
            "any.onnx",
            "config.json",
        }


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"base_path": "s3://bucket/linear"}, "fetch its folder and deploy that"),
        ({"base_path": "/models/gone"}, "holds no folder 'gone'"),
        ({"base_path": "/models/../../etc"}, "leads out of its folder"),
        ({"graph_path": "graph.pbtxt"}, "is a MediaPipe graph"),
        ({"custom_loader_options": {"loader_name": "l"}}, "loaded by a library of its own"),
        ({"nireq": "2"}, "is not a configuration of OpenVINO Model Server"),
        ({"model_version_policy": {"specific": {"versions": [7]}}}, "no version that its version policy"),
    ],
)
def test_configurations_without_a_model_that_is_read_are_refused(tmp_path: Path, config: dict[str, Any], says: str) -> None:
    ovms(tmp_path, **{"nireq": 1, **config})
    with pytest.raises(SourceError, match=says):
        sources.identify(tmp_path)


def test_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    for suffix, says in ((".xml", "OpenVINO's own format"), (".pdmodel", "export it to ONNX with paddle2onnx")):
        place = tmp_path / suffix[1:] / "1"
        place.mkdir(parents=True)
        (place / f"model{suffix}").touch()
        with pytest.raises(SourceError, match=says):
            sources.identify(place.parent)
    folder = ovms(tmp_path)
    onnx_files.linear(folder / "1" / "second.onnx")
    with pytest.raises(SourceUnreadable, match="holds 2 model files, and one is wanted"):
        sources.identify(folder)


def test_what_was_exported_is_read_back(tmp_path: Path) -> None:
    """The repository of an export for Triton is a source again."""
    from roadworthy.build.export import triton as target
    from roadworthy.core.stages import Plan
    from support.server_exports import LABELS, convolution, expected, export, images

    made = convolution(tmp_path / "m.onnx")
    out = tmp_path / "out"
    out.mkdir()
    target.lower(made, Plan("triton"), None, out)
    target.finish(export(made, Plan("triton"), {"image": images(4)}, {"logits": expected(images(4))}), out)
    found = sources.identify(out / "digits")
    assert found.takes == made.signature.inputs and found.labels == LABELS
