"""A deployment runs the user's code, and leaves what is the user's as it was, or says which file is not and writes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from roadworthy.build import compare, deploy, original, sources
from roadworthy.build.job import Job
from roadworthy.build.sources import Loaded
from roadworthy.build.workspace import Progress, workspace_for
from roadworthy.core.errors import DataError, SourceError
from roadworthy.core.isolation import landlock
from roadworthy.core.isolation.worker import Worker
from roadworthy.preprocess.contract import Contract

pytestmark = pytest.mark.slow

TRAINS = """
from pathlib import Path
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.line(x)

model = Net()
print("epoch 1")
torch.save(model.state_dict(), "net.pt")
torch.save(model.state_dict(), Path(__file__).with_name("net.pt"))
"""
SCORES = """
import numpy as np

def load():
    with np.load("data.npz") as file:
        return file["x"], file["y"]

def score(outputs, labels):
    return (outputs["output"].argmax(1) == labels).astype(float)

def train():
    print("epoch 1 of a million")
    with open("model.npz", "wb") as file:
        file.write(b"trained")

train()
"""


@pytest.fixture
def job(linear: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.chdir(linear)
    return Job(Path("model.npz"), Path("bundle"), data="data.npz", seconds=120)


@pytest.fixture(params=["landlock", "copies"])
def guard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which the user's files are kept from the user's code."""
    if request.param == "copies":
        monkeypatch.setattr(landlock, "version", lambda: 0)
    elif not landlock.version():
        pytest.skip("this kernel has no Landlock, or one that is too old")
    return str(request.param)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def loaded(job: Job, notify: Callable[[Progress], None] = lambda progress: None) -> tuple[Loaded, tuple[str, ...]]:
    """The original of ``job``, and what was noticed about the user's code."""
    with workspace_for((job,), notify) as workspace:
        found, _ = original.load_original(original.identify(job, workspace), job, Contract(), workspace)
        return found, workspace.user_code.notes


def test_a_training_script_as_architecture_trains_on_nothing_of_the_users(
    tmp_path: Path, guard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    torch.save({"line.weight": torch.ones(3, 4), "line.bias": torch.zeros(3)}, "net.pt")
    Path("train.py").write_text(TRAINS)
    before, seen = digest(Path("net.pt")), list[Progress]()
    job = Job(Path("net.pt"), Path("bundle"), arch="train.py:Net", inputs=(sources.parse_input("x:float32[batch,4]"),))
    if guard == "landlock":
        # Its second write, beside itself, is refused by the kernel, and the script ends there: in words.
        with pytest.raises(Exception, match=r"train.py, line 16: .*user code may write to its working directory, which is a scratch copy"):
            loaded(job, seen.append)
        seen.clear()
        Path("train.py").write_text(TRAINS.replace("torch.save(model.state_dict(), Path", "str(Path"))
    found, notes = loaded(job, seen.append)
    assert digest(Path("net.pt")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.pt", "train.py"]
    assert found.parameters == 15
    assert any("user code wrote net.pt in its working directory" in note for note in found.notes)
    assert notes[-1].startswith('train.py runs code when it is imported: line 15 `torch.save(model.state_dict(), "net.pt")`')
    said = [progress.said for progress in seen if progress.said]
    assert said.index(notes[0]) < said.index("train.py | epoch 1")


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock, or one that is too old")
def test_what_a_trusted_pickle_runs_cannot_write_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    import torch

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"echo gone > {tmp_path / 'net.pt'}; echo gone > {tmp_path / 'other.txt'}; echo waved",)

    monkeypatch.chdir(tmp_path)
    torch.save({"model": torch.nn.Linear(4, 3), "hook": Payload()}, "net.pt")
    before = digest(Path("net.pt"))
    job = Job(Path("net.pt"), Path("bundle"), trust=True, inputs=(sources.parse_input("input:float32[batch,4]"),))
    assert loaded(job)[0].parameters == 15
    assert digest(Path("net.pt")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_data_and_metric_are_the_users_code_as_well(job: Job, guard: str) -> None:
    Path("scores.py").write_text(SCORES)
    before, seen = digest(job.source), list[Progress]()
    deployment = deploy.deploy(replace(job, data="scores.py:load", metric="scores.py:score"), seen.append)
    assert digest(job.source) == before
    assert deployment.certificate.goal.metric == "scores.py:score"
    said = [progress.said for progress in seen if progress.said]
    assert said[0].startswith("scores.py runs code when it is imported: line 16 `train()`")
    # Every step that scores imports it again; one look at what it says is enough.
    assert said.count("scores.py | epoch 1 of a million") == 1
    noted = [note.text for note in deployment.certificate.notes]
    assert said[0] in noted
    assert "user code wrote model.npz in its working directory, a scratch copy that was thrown away" in noted


def test_code_that_does_change_the_source_ends_the_deployment(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    code = SCORES.replace('"model.npz"', repr(str(job.source.absolute())))
    Path("scores.py").write_text(code)
    with pytest.raises(
        SourceError, match=r"model.npz was changed while it was deployed.*nothing was written.*scores.py runs code"
    ) as caught:
        deploy.deploy(replace(job, data="scores.py:load"))
    assert caught.value.exit_code == 3
    assert not job.output.exists()
    assert not Worker.running


@pytest.mark.parametrize(("stage", "how"), [("load", "changed"), ("race", "changed"), ("race", "removed")])
def test_a_source_that_another_program_changes_ends_the_deployment(job: Job, stage: str, how: str) -> None:
    def meddle(progress: Progress) -> None:
        if progress.stage == stage and job.source.exists():
            job.source.write_bytes(job.source.read_bytes() + b"x") if how == "changed" else job.source.unlink()

    with pytest.raises(SourceError, match=rf"model.npz was {how} while it was deployed"):
        deploy.deploy(job, meddle)
    assert not job.output.exists()


def test_data_that_changes_while_it_is_read_is_refused_and_later_is_noted(job: Job) -> None:
    def meddle(at: str) -> Callable[[Progress], None]:
        def change(progress: Progress) -> None:
            if progress.stage == at:
                Path("data.npz").touch()
                with Path("data.npz").open("ab") as file:
                    file.write(b"x")

        return change

    with pytest.raises(DataError, match=r"data.npz changed while it was read; nothing was written"):
        deploy.deploy(job, meddle("load"))
    assert not job.output.exists()


def test_a_source_that_changes_during_a_comparison_ends_it(job: Job) -> None:
    other = job.source.with_name("other.npz")
    other.write_bytes(job.source.read_bytes())

    def meddle(progress: Progress) -> None:
        if progress.stage == "layers":
            other.write_bytes(b"x")

    with pytest.raises(SourceError, match=r"other.npz was changed"):
        compare.compare([job, replace(job, source=other)], meddle, timed=False)


def test_every_file_of_a_source_is_held_to_what_it_was(tmp_path: Path) -> None:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((4, 3), np.float32), "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in (("x", 4), ("y", 3))]
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.weights", size_threshold=0)
    source = sources.identify(tmp_path / "net.onnx")
    assert [file.path.name for file in source.files] == ["net.onnx", "net.weights"]
    from roadworthy.core.isolation import unchanged

    unchanged.refuse_changed(source)
    (tmp_path / "net.weights").write_bytes(b"\0" * 48)
    with pytest.raises(SourceError, match=r"net.weights was changed"):
        unchanged.refuse_changed(source)
