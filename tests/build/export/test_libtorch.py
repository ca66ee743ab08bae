"""The CMake project against libtorch: what it refuses; its long form builds it and compares its answers."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.export import libtorch
from roadworthy.build.exported import Export
from roadworthy.bundle.golden import Golden
from roadworthy.core.errors import EnvironmentFault, ProgramMissing, StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.runtimes import _cpu_features
from roadworthy.runtimes.exported import libtorch as runtime

SIGNATURE = Signature((TensorSpec("image", "float32", ("batch", 3, 8, 8)),), (TensorSpec("logits", "float32", ("batch", 4)),), max_batch=8)
PLAN = Plan("libtorch", threads=1)
GRAPH = Graph("pt2", Path("model.pt2"), SIGNATURE, "test")


def test_one_thread_and_all_are_planned_and_what_it_does_not_take_is_not() -> None:
    host = replace(this_host(), cores=4)
    assert [plan.name for plan in libtorch.plans(GRAPH, host)] == ["libtorch-fp32-t1", "libtorch-fp32-t4"]
    assert not list(libtorch.plans(replace(GRAPH, precision="int8"), host))
    words = replace(SIGNATURE, inputs=(TensorSpec("text", "object", ("batch",)),))
    assert not list(libtorch.plans(replace(GRAPH, signature=words), host))
    with pytest.raises(StepFailed, match="'text' is object, and a program takes and gives numbers"):
        libtorch.lower(replace(GRAPH, signature=words), PLAN, None, Path())


def test_a_plan_that_is_not_offered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="libtorch-bf16-t1 is not a plan of libtorch"):
        libtorch.lower(GRAPH, replace(PLAN, precision="bf16"), None, tmp_path)
    with pytest.raises(UsageError, match="libtorch-bf16-t1 is not a plan of libtorch"):
        runtime.load(tmp_path, SIGNATURE, replace(PLAN, precision="bf16"))


def test_a_machine_without_cmake_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "g++").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    for call in (libtorch.require, lambda: libtorch.lower(GRAPH, PLAN, None, tmp_path)):
        with pytest.raises(ProgramMissing, match=r"the program cmake is not installed here: install CMake 3\.18"):
            call()


def test_a_cpu_that_lacks_what_the_code_uses_is_told_so(tmp_path: Path) -> None:
    _cpu_features.write(tmp_path, ("planted_feature",))
    with pytest.raises(EnvironmentFault, match="was compiled for a CPU with planted_feature"):
        runtime.load(tmp_path, SIGNATURE, PLAN)
    _cpu_features.write(tmp_path, ())
    with pytest.raises(StepFailed, match="holds no program"):
        runtime.load(tmp_path, SIGNATURE, PLAN)


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not all(map(shutil.which, ("g++", "cmake"))), reason="g++ or cmake is missing here")
def test_the_project_is_built_and_gives_the_answers_of_the_original(tmp_path: Path) -> None:
    """The example that the model was exported with has its channels last in memory: compiled code would trust these strides."""
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(72, 4)
    ).eval()
    example = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    program = torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=8)},))
    torch.export.save(program, tmp_path / "model.pt2")
    graph, out = replace(GRAPH, path=tmp_path / "model.pt2"), tmp_path / "out"
    out.mkdir()
    libtorch.lower(graph, PLAN, None, out)
    images = np.random.default_rng(0).standard_normal((5, 3, 8, 8), dtype=np.float32)
    with torch.inference_mode():
        answers = model(torch.from_numpy(images)).numpy()
    contract = Contract(answer=Answer("softmax", 2, ("a", "b", "c", "d")))
    text = libtorch.finish(Export("net", "1", PLAN, SIGNATURE, contract, Golden({}, {}), 1e-5, tmp_path, (graph,)), out)
    assert f"libtorch {torch.__version__.partition('+')[0]}" in text
    session = runtime.load(out, SIGNATURE, PLAN)
    for count in (1, 5):
        np.testing.assert_allclose(session.run({"image": images[:count]})["logits"], answers[:count], rtol=1e-5, atol=1e-5)
    session.close()
    np.save(tmp_path / "x.npy", images[0])
    done = subprocess.run([out / "program", tmp_path / "x.npy"], capture_output=True, text=True)
    assert done.returncode == 0 and f'"label": "{"abcd"[answers[0].argmax()]}"' in done.stdout
    other = (out / "CMakeLists.txt").read_text().replace(libtorch._version(), "1.2.3")
    (out / "CMakeLists.txt").write_text(other)
    refused = subprocess.run(
        ["cmake", "-S", out, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={libtorch._libtorch()}"], capture_output=True, text=True
    )
    assert refused.returncode and "the model was compiled with libtorch 1.2.3" in refused.stderr
