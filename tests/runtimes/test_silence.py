"""No library sends telemetry, and nothing is left in a home directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.files import onnx_files

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
from pathlib import Path
from roadworthy.core import samples
from roadworthy.core.stages import Graph, Plan
from roadworthy.build import lower
import numpy
from support.files import onnx_files
graph = Graph("onnx", Path(sys.argv[1]), onnx_files.SIGNATURE, "test")
data = samples.write(Path(sys.argv[2]) / "data", {"x": numpy.random.default_rng(0).random((16, 8), numpy.float32)})
lower.lower(lower.LowerRequest(graph, Plan(sys.argv[3], sys.argv[4]), data, Path(sys.argv[2]) / "out"))
"""


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_lowering_and_opening_leave_a_home_directory_empty(tmp_path: Path, name: str, precision: str) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    path = onnx_files.linear(tmp_path / "model.onnx")
    kept = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "CI")}
    environment = {**kept, "HOME": str(home), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", PROGRAM, path, work, name, precision], check=True, env=environment, capture_output=True)
    assert list(home.rglob("*")) == []
