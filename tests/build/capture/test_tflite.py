"""TFLite files as ONNX: float and quantised, and what is said where TensorFlow, which the converter needs, is not installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.capture import Captured, CaptureRequest, try_routes
from roadworthy.core import samples
from roadworthy.core.errors import BackendMissing
from roadworthy.core.stages import Graph
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.frameworks.tensorflow import framework
from support.files import tflite_models
from support.models.tensorflow_captures import Original

pytestmark = pytest.mark.slow


def linear(folder: Path, *, quantised: bool) -> Original:
    """One sample a call, so that other tests' numbers of threads do not matter."""
    path = (tflite_models.quantised if quantised else tflite_models.linear)(folder / "model.tflite")
    dtype = "uint8" if quantised else "float32"
    quantization = (tflite_models.IN, tflite_models.OUT) if quantised else (None, None)
    signature = Signature((TensorSpec("x", dtype, (1, 8), quantization[0]),), (TensorSpec("y", dtype, (1, 4), quantization[1]),), 1)
    draws = np.random.default_rng(1)
    x = draws.integers(0, 256, (6, 8), np.uint8) if quantised else draws.standard_normal((6, 8)).astype(np.float32)
    return Original(
        Graph("tflite", path, signature, "the original", precision="int8" if quantised else "fp32"),
        samples.write(folder / "samples", {"x": x}),
    )


@pytest.mark.parametrize("quantised", [False, True])
def test_a_file_becomes_onnx(tmp_path: Path, captured: Callable[..., Captured], quantised: bool) -> None:
    original = linear(tmp_path, quantised=quantised)
    graph = captured(original, "onnx").graph
    assert graph is not None and graph.route == "tf2onnx, from the file"
    assert graph.signature == original.graph.signature and graph.precision == original.graph.precision


def test_without_tensorflow_the_route_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise BackendMissing("needs TensorFlow, which is not installed")

    monkeypatch.setattr(framework, "framework", missing)
    original = linear(tmp_path, quantised=False)
    outcome = try_routes.capture(CaptureRequest(original.graph, "onnx", original.samples, tmp_path / "onnx"))
    assert outcome.graph is None
    assert [route.outcome for route in outcome.routes] == ["needs TensorFlow, which is not installed"]
