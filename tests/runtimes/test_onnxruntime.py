"""The ONNX Runtime runtime: the options that it gets, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.runtimes import onnxruntime, open_session
from support.files import onnx_files

SIGNATURE = onnx_files.SIGNATURE


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_the_plans(tmp_path: Path, threads: int) -> None:
    session = onnxruntime.load(onnx_files.linear(tmp_path / "model.onnx"), SIGNATURE, Plan("onnxruntime", threads=threads))
    options = session._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, 1)
    assert session._session.get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize("precision", ["fp16", "bf16", "fp64"])
def test_a_precision_it_would_only_imitate_is_refused(tmp_path: Path, precision: str) -> None:
    with pytest.raises(UsageError, match=precision):
        onnxruntime.load(onnx_files.linear(tmp_path / "model.onnx"), SIGNATURE, Plan("onnxruntime", precision))  # type: ignore[arg-type]


def test_a_file_that_is_no_model_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("not a model")
    with pytest.raises(StepFailed, match=r"cannot load .*model\.onnx") as caught:
        onnxruntime.load(tmp_path, SIGNATURE, Plan("onnxruntime"))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("away", ["../secret.bin", "absolute", "link.bin"])
def test_weights_outside_the_directory_are_not_read(tmp_path: Path, away: str) -> None:
    secret, folder = tmp_path / "secret.bin", tmp_path / "model"
    folder.mkdir()
    secret.write_bytes(bytes(8 * 4 * 4))
    (folder / "link.bin").symlink_to(secret)
    onnx_files.linear(folder / "model.onnx", weights=str(secret) if away == "absolute" else away)
    with pytest.raises(StepFailed, match="cannot load"):
        onnxruntime.load(folder, SIGNATURE, Plan("onnxruntime"))


def test_weights_beside_the_model_are_read(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8 * 4 * 4))
    onnx_files.linear(tmp_path / "model.onnx", weights="w.bin")
    with open_session(tmp_path, SIGNATURE, Plan("onnxruntime")) as session:
        assert not session.run({"x": np.ones((1, 8), np.float32)})["y"].any()


def test_a_model_of_another_signature_is_refused(tmp_path: Path) -> None:
    path = onnx_files.linear(tmp_path / "model.onnx", batch=1)
    with pytest.raises(StepFailed, match=r"x:float32\[1,8\] where the signature has x:float32\[batch,8\]"):
        onnxruntime.load(path, SIGNATURE, Plan("onnxruntime"))
    other = Signature(SIGNATURE.inputs, (TensorSpec("z", "float32", (BATCH, 4)),))
    with pytest.raises(StepFailed, match="it has y where the signature has z"):
        onnxruntime.load(onnx_files.linear(path), other, Plan("onnxruntime"))
    assert onnxruntime.load(onnx_files.linear(path, batch=1), SIGNATURE.fixed(1), Plan("onnxruntime"))


def test_a_failing_call_is_one_line_of_ours(tmp_path: Path) -> None:
    session = onnxruntime.load(onnx_files.linear(tmp_path / "model.onnx"), SIGNATURE, Plan("onnxruntime"))
    with pytest.raises(StepFailed, match="ONNX Runtime failed") as caught:
        session.run({"x": np.zeros((1, 9), np.float32)})
    assert "\n" not in caught.value.message


def test_reporting_is_off_before_the_library_is_loaded() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
