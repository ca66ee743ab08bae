"""What a user names is found where the user stands, also by the child process that reads it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import onnx
import pytest

from roadworthy.build.job import Job
from roadworthy.build.original import contract_of, identify
from roadworthy.build.preprocessing import ReadRequest, read_step
from roadworthy.build.workspace import open_workspace
from roadworthy.core.errors import DataError
from roadworthy.core.stages import Source
from roadworthy.core.types import TensorSpec
from roadworthy.preprocess import spec
from roadworthy.preprocess.contract import Contract
from support.files import onnx_files

CONFIG = {"image_processor_type": "ViTImageProcessor", "size": {"height": 24, "width": 24}, "resample": 2}
FLOAT = onnx.TensorProto.FLOAT
MANIFEST = json.dumps({"model": {"modelName": "m", "serializedFile": "m.onnx", "handler": "image_classifier"}})


@pytest.mark.usefixtures("warm_steps")
def test_a_file_by_a_relative_path_and_what_lies_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m" / "MAR-INF").mkdir(parents=True)
    (tmp_path / "m" / "MAR-INF" / "MANIFEST.json").write_text(MANIFEST)
    shape = [1, 3, 224, 224]
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    onnx_files.written(tmp_path / "m" / "m.onnx", [node], [("x", FLOAT, shape)], [("y", FLOAT, shape)])
    with zipfile.ZipFile(tmp_path / "m.mar", "w") as archive:
        archive.writestr("MAR-INF/MANIFEST.json", MANIFEST)
        archive.writestr("m.onnx", b"")
    monkeypatch.chdir(tmp_path)
    shapes = []
    with open_workspace(seconds=120, step_seconds=60, memory_mb=0, notify=lambda progress: None) as workspace:
        for asked in ("m.mar", "m", None, "torchserve:image_classifier", "letterbox:224"):
            job = Job(Path("m/m.onnx"), Path("out.bundle"), preprocess=asked, seconds=120)
            shapes.append(contract_of(job, identify(job, workspace), workspace).contract.sample_shape().axes)
    assert shapes == [(3, 224, 224)] * 5


@pytest.mark.usefixtures("warm_steps")
def test_a_folder_with_the_name_of_a_preset_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imagenet").mkdir()
    onnx_files.linear(tmp_path / "m.onnx")
    monkeypatch.chdir(tmp_path)
    with open_workspace(seconds=600, step_seconds=300, memory_mb=0, notify=lambda progress: None) as workspace:
        job = Job(Path("m.onnx"), Path("out.bundle"), preprocess="imagenet", seconds=600)
        assert contract_of(job, identify(job, workspace), workspace).contract == spec.read("imagenet")


def test_what_stands_in_front_of_a_file_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.py").write_text("def build():\n    pass\n")
    monkeypatch.chdir(tmp_path)
    job = Job(Path("m.onnx"), Path("out.bundle"), preprocess="twice:train.py:build")
    assert job.twice and job.named_preprocess == "train.py:build" and job.code == ("train.py",)


def test_what_lies_beside_a_model_that_cannot_take_it_ends_nothing(tmp_path: Path) -> None:
    """A processor that cannot be carried out, and one of images beside a model of rows, are left out with a note."""
    onnx_files.linear(tmp_path / "m.onnx")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CONFIG | {"image_processor_type": "DonutImageProcessor"}))
    unknown = read_step(ReadRequest(None, Source(tmp_path / "m.onnx", "onnx", "onnx", "", 0), "CHW"))
    assert unknown is not None and unknown.contract == Contract()
    assert any(note.warning and "DonutImageProcessor" in note.text for note in unknown.notes)

    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CONFIG))
    rows = (TensorSpec("x", "float32", ("batch", 12)),)
    left_out = read_step(ReadRequest(None, Source(tmp_path / "m.onnx", "onnx", "onnx", "", 0, takes=rows), "CHW"))
    assert left_out is not None and left_out.contract == Contract() and any("was left out" in note.text for note in left_out.notes)
    images = (TensorSpec("x", "float32", ("batch", 3, 24, 24)),)
    taken = read_step(ReadRequest(None, Source(tmp_path / "m.onnx", "onnx", "onnx", "", 0, takes=images), "CHW"))
    assert taken is not None and taken.contract.sample_shape().axes == (3, 24, 24)


def test_two_forms_beside_a_model_end_nothing(tmp_path: Path) -> None:
    """What the user did not name is left out with a warning; what they name is refused."""
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet10t", "pretrained_cfg": {"input_size": [3, 24, 24]}}))
    (tmp_path / "model.pt").touch()
    found = read_step(ReadRequest(None, Source(tmp_path / "model.pt", "checkpoint", "torch", "", 0), "CHW"))
    assert found is not None and found.contract == Contract()
    assert [note.warning for note in found.notes if "of huggingface and of timm" in note.text] == [True]
    with pytest.raises(DataError, match="of huggingface and of timm"):
        read_step(ReadRequest(str(tmp_path), Source(tmp_path / "model.pt", "checkpoint", "torch", "", 0), "CHW"))
