"""The OpenVINO runtime: the options that it gets, read back, and what it refuses."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from roadworthy.core.errors import InvalidRequest, StepFailed, UsageError
from roadworthy.core.stages import PINNED, Plan
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.runtimes import openvino
from support.files import onnx_files

SIGNATURE = onnx_files.SIGNATURE


@pytest.mark.parametrize("threads", [1, 2])
def test_what_the_plan_says_is_what_was_compiled(tmp_path: Path, threads: int) -> None:
    session = openvino.load(onnx_files.linear(tmp_path / "model.onnx"), SIGNATURE, Plan("openvino", threads=threads))
    compiled = session._request.get_compiled_model()
    # Fewer where two of the machine's threads share a core.
    assert 1 <= compiled.get_property("INFERENCE_NUM_THREADS") <= threads
    assert compiled.get_property("NUM_STREAMS") == 1
    assert compiled.get_property("ENABLE_CPU_PINNING") is False


def test_threads_are_pinned_where_the_plan_says_so_and_the_machine_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cores = onnx_files.linear(tmp_path / "model.onnx"), os.cpu_count()
    monkeypatch.setattr(openvino, "usable_cores", lambda: cores)
    session = openvino.load(path, SIGNATURE, Plan("openvino", threads=cores, options=(PINNED,)))
    assert session._request.get_compiled_model().get_property("ENABLE_CPU_PINNING") is True
    monkeypatch.setattr(openvino, "usable_cores", lambda: cores - 1)
    with pytest.raises(
        UsageError, match=f"pinned threads are for a process that has the whole machine, and this one has {cores - 1} of {cores} cores"
    ):
        openvino.load(path, SIGNATURE, Plan("openvino", threads=cores, options=(PINNED,)))


@pytest.mark.parametrize(
    ("name", "asked", "given", "said"),
    [
        ("INFERENCE_PRECISION_HINT", openvino.PRECISIONS["bf16"], openvino.PRECISIONS["fp32"], "bf16 was asked for .* compute in f32"),
        ("NUM_STREAMS", 1, 2, "NUM_STREAMS=1 was asked for and OpenVINO would run with 2"),
        ("INFERENCE_NUM_THREADS", 1, 2, "INFERENCE_NUM_THREADS=1 was asked for .* with 2"),
        ("INFERENCE_NUM_THREADS", 2, 1, ""),
        ("ENABLE_CPU_PINNING", True, False, "ENABLE_CPU_PINNING=True was asked for .* with False"),
    ],
)
def test_what_was_compiled_otherwise_than_asked_is_refused(name: str, asked: object, given: object, said: str) -> None:
    compiled = SimpleNamespace(get_property={name: given}.__getitem__)
    with pytest.raises(UsageError, match=said) if said else nullcontext():
        openvino._check_honoured(compiled, {name: asked})


def test_bf16_beside_int8_is_asked_for_by_an_option(tmp_path: Path) -> None:
    assert openvino._properties(Plan("openvino", "int8", options=("bf16",)))["INFERENCE_PRECISION_HINT"] == openvino.PRECISIONS["bf16"]
    with pytest.raises(UsageError, match="this plan is fp32; choose the precision bf16"):
        openvino.load(onnx_files.linear(tmp_path / "model.onnx"), SIGNATURE, Plan("openvino", options=("bf16",)))


def test_a_plan_that_it_cannot_honour_is_refused(tmp_path: Path) -> None:
    path = onnx_files.linear(tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="fp64"):
        openvino.load(path, SIGNATURE, Plan("openvino", "fp64"))
    with pytest.raises(UsageError, match="spin"):
        openvino.load(path, SIGNATURE, Plan("openvino", spin=True))


def test_a_file_that_is_no_model_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text("not a model")
    with pytest.raises(StepFailed, match=r"cannot load .*model\.xml") as caught:
        openvino.load(tmp_path, SIGNATURE, Plan("openvino"))
    assert "\n" not in caught.value.message


def test_a_model_of_another_signature_is_refused(tmp_path: Path) -> None:
    path = onnx_files.linear(tmp_path / "model.onnx", batch=1)
    with pytest.raises(StepFailed, match=r"x:float32\[1,8\] where the signature has x:float32\[batch,8\]"):
        openvino.load(path, SIGNATURE, Plan("openvino"))
    other = Signature(SIGNATURE.inputs, (TensorSpec("z", "float32", (BATCH, 4)),))
    with pytest.raises(StepFailed, match="it has y where the signature has z"):
        openvino.load(onnx_files.linear(path), other, Plan("openvino"))


@pytest.mark.parametrize("copied", [0, 100, 64 * 1024])
def test_calls_of_any_size_and_of_memory_that_is_read_only_get_their_own_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: int
) -> None:
    """Whether the runtime's buffer is used again, replaced, or the caller's memory is read in its place."""
    monkeypatch.setattr(openvino, "COPIED", copied)
    path = onnx_files.linear(tmp_path / "model.onnx")
    session = openvino.load(path, SIGNATURE, Plan("openvino"))
    random, answers = np.random.default_rng(0), []
    for rows, writeable in [(1, True), (1, True), (5, True), (1, False), (5, False), (5, True), (1, True)]:
        x = random.standard_normal((rows, 8)).astype(np.float32)
        wanted = x @ onnx_files.weight(path)
        x.flags.writeable = writeable
        answers.append((session.run({"x": x})["y"], wanted))
        if writeable:
            x[:] = np.nan
    assert all(np.allclose(found, wanted, atol=1e-5) for found, wanted in answers)


def test_a_failing_call_is_one_line_of_ours(tmp_path: Path) -> None:
    session = openvino.load(onnx_files.linear(tmp_path / "model.onnx"), SIGNATURE, Plan("openvino"))
    with pytest.raises(StepFailed, match="OpenVINO failed") as caught:
        session.run({"x": np.zeros((1, 9), np.float32)})
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("dtype", "wrong", "right"),
    [
        ("int64", 2**32 + 3, 2**31 - 1),
        ("int64", -(2**40), -(2**31)),
        ("uint64", 2**63, 2**31 - 1),
        ("uint32", 2**31, 2**31 - 1),
        ("float64", 1e300, 0.5),
    ],
)
def test_a_value_that_it_would_change_is_refused(tmp_path: Path, dtype: str, wrong: float, right: float) -> None:
    """It computes int64 as int32: 4294967299 would be 3."""
    signature = Signature((TensorSpec("x", dtype, (BATCH,)),), (TensorSpec("y", dtype, (BATCH,)),))
    session = openvino.load(onnx_files.passed_on(tmp_path / "model.onnx", dtype), signature, Plan("openvino"))
    with pytest.raises(InvalidRequest, match=rf"input 'x' holds .* at \[1\], which is outside .*; OpenVINO computes {dtype} as "):
        session.run({"x": np.array([1, wrong], dtype)})
    held = np.array([right, 0], dtype)
    assert np.array_equal(session.run({"x": held})["y"], held)
