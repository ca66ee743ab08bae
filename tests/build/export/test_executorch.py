"""ExecuTorch's file and the program around its runtime: what they answer, and each thing that can be missing."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from roadworthy.build.export import executorch
from roadworthy.build.export._executorch import runner
from roadworthy.build.exported import Export
from roadworthy.bundle.golden import Golden
from roadworthy.core.errors import BackendMissing, ProgramMissing, StepFailed, UsageError
from roadworthy.core.host import this_host
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Array, Signature, TensorSpec
from roadworthy.preprocess.answer import Answer
from roadworthy.preprocess.contract import Contract
from roadworthy.runtimes import open_session
from roadworthy.runtimes.exported import executorch as runtime

SIGNATURE = Signature((TensorSpec("x", "float32", ("batch", 1, 8, 8)),), (TensorSpec("y", "float32", ("batch", 10)),))
PLAN = Plan("executorch", batch=1)


@dataclass(frozen=True)
class Made:
    """A network, of which XNNPACK leaves the normalisation at its end to ExecuTorch's own kernels, as an export; and its answers."""

    graph: Graph
    out: Path
    x: Array
    wanted: Array


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    if importlib.util.find_spec("executorch") is None or shutil.which("g++") is None:
        pytest.skip("it needs a C++ compiler, and ExecuTorch: pip install 'roadworthy[executorch]'")
    import torch
    from torch import nn

    folder = tmp_path_factory.mktemp("executorch")
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Hardswish(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
        nn.LayerNorm(10),
    )
    network = nn.Sequential(*layers).eval()
    x = torch.randn(5, 1, 8, 8)
    program = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},))
    torch.export.save(program, folder / "model.pt2")
    graph, out = Graph("pt2", folder / "model.pt2", SIGNATURE, "test"), folder / "out"
    out.mkdir()
    executorch.lower(graph, PLAN, None, out)
    with torch.no_grad():
        return Made(graph, out, x.numpy(), network(x).numpy())


pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.soak
def test_a_network_answers_in_executorchs_own_runtime(made: Made) -> None:
    """One sample a call, whatever comes, on one thread and on two; nothing else than the system's libraries is needed."""
    for threads in (1, 2):
        with open_session(made.out, SIGNATURE, Plan("executorch", threads=threads, batch=1)) as session:
            assert np.abs(session.run({"x": made.x})["y"] - made.wanted).max() <= 1e-5
    assert sorted(path.name for path in made.out.iterdir()) == ["lib", "model.pte", "program"]
    said = subprocess.run(["ldd", made.out / "program"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}).stdout
    assert "not found" not in said and "torch_cpu" not in said and str(made.out / "lib") in said
    assert not runtime.ON_TARGET


@pytest.mark.soak
def test_a_kernel_that_is_missing_is_named(made: Made, tmp_path: Path) -> None:
    """XNNPACK alone does not carry out this network: its library of further kernels is replaced by an empty one."""
    out = tmp_path / "out"
    shutil.copytree(made.out, out)
    library = out / "lib" / runner.KERNELS
    library.unlink()
    command = ["g++", "-shared", f"-Wl,-soname,{runner.KERNELS}", "-x", "c++", "/dev/null", "-o", str(library)]
    subprocess.run(command, check=True)
    with open_session(out, SIGNATURE, PLAN) as session, pytest.raises(StepFailed, match=r"kernel 'aten::native_layer_norm\.out' not found"):
        session.run({"x": made.x})


@pytest.mark.soak
def test_a_damaged_file_is_refused_in_words(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(made.out, out)
    content = (out / "model.pte").read_bytes()
    (out / "model.pte").write_bytes(content[:64] + b"\0" * 64)
    with open_session(out, SIGNATURE, PLAN) as session, pytest.raises(StepFailed, match=r"model\.pte cannot be loaded"):
        session.run({"x": made.x})
    (out / "program").unlink()
    with pytest.raises(StepFailed, match="holds no program"):
        open_session(out, SIGNATURE, PLAN)


@pytest.mark.soak
def test_beside_the_file_lie_class_names_and_a_script(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.out, tmp_path, dirs_exist_ok=True)
    contract, golden = Contract(answer=Answer(labels=("a", "b"))), Golden({"x": made.x}, {"y": made.wanted})
    text = executorch.finish(Export("digits", "3", PLAN, SIGNATURE, contract, golden, 1e-5, tmp_path), tmp_path)
    assert (tmp_path / "labels.txt").read_text() == "a\nb\n"
    assert "Redistribution" in (tmp_path / "licences" / "executorch.txt").read_text()
    assert "Not verified on the target" in text and "its optimised kernels" in text and "@" not in text
    compile((tmp_path / "verify.py").read_text(), "verify.py", "exec")


def test_plans_are_for_one_sample_and_what_the_program_cannot_feed_has_none(tmp_path: Path) -> None:
    def plans(signature: Signature) -> list[Plan]:
        return list(executorch.plans(Graph("pt2", tmp_path, signature, "test"), this_host()))

    assert {(plan.precision, plan.batch) for plan in plans(SIGNATURE)} == {("fp32", 1)}
    half = Signature((TensorSpec("x", "float16", ("batch", 4)),), SIGNATURE.outputs)
    assert not plans(half)
    assert not plans(Signature((TensorSpec("x", "float32", (4, "batch")),), SIGNATURE.outputs))


def test_what_is_not_offered_or_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph("pt2", tmp_path / "model.pt2", SIGNATURE, "test")
    for plan in (Plan("executorch"), Plan("executorch", "int8", batch=1)):
        with pytest.raises(UsageError, match="it is made in fp32, for one sample a call"):
            executorch.lower(graph, plan, None, tmp_path)
    half = Signature((TensorSpec("x", "float16", ("batch", 4)),), SIGNATURE.outputs)
    with pytest.raises(StepFailed, match="'x' is float16"):
        executorch.lower(Graph("pt2", tmp_path, half, "test"), PLAN, None, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "wheel", lambda: tmp_path)
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(ProgramMissing, match=r"apt-get install g\+\+"):
            executorch.lower(graph, PLAN, None, tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendMissing, match=r"pip install 'roadworthy\[executorch\]'"):
        executorch.require()
    assert not list(tmp_path.iterdir())
