"""What a user names is found where the user stands, also by the child process that reads it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from roadworthy.build.job import Job
from roadworthy.build.original import contract_of, identify
from roadworthy.build.workspace import open_workspace
from support.files import onnx_files

MANIFEST = json.dumps({"model": {"modelName": "m", "serializedFile": "m.onnx", "handler": "image_classifier"}})


@pytest.mark.usefixtures("warm_steps")
def test_a_file_by_a_relative_path_and_what_lies_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m" / "MAR-INF").mkdir(parents=True)
    (tmp_path / "m" / "MAR-INF" / "MANIFEST.json").write_text(MANIFEST)
    onnx_files.linear(tmp_path / "m" / "m.onnx")
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
