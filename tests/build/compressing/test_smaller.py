"""A whole search for a smaller model of a trained network. The speeds are planted: no test depends on what pays on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from roadworthy.build import benchmark, compressing
from roadworthy.build.benchmark import Beside
from roadworthy.build.compress import Cut
from roadworthy.build.compressing import steps
from roadworthy.build.compressing.attempt import Attempt
from roadworthy.build.compressing.given_back import compress_source
from roadworthy.build.compressing.widths import WidthChoice
from roadworthy.build.deploy import deploy
from roadworthy.build.job import Compression, Job
from roadworthy.bundle import compression, store
from roadworthy.core.errors import DataError, NoCandidate, StepFailed
from roadworthy.core.evidence import Budget, Interval
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Candidate, Graph
from support import warm_children
from support.models import networks

pytestmark = pytest.mark.slow

CODE = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16 * 16, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv1(x)), 2)
        return self.head(nn.functional.relu(self.conv2(x)).flatten(1))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``net.py``, ``net.pt``, ``train.npz`` and ``test.npz``: a small network that knows most digits."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "net.py").write_text(CODE)
    x, y = networks.digits()
    space: dict[str, type[torch.nn.Module]] = {}
    exec(compile(CODE, "net.py", "exec"), space)
    torch.manual_seed(0)
    model = space["Net"]()
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(15):
        for rows in torch.randperm(1000).split(100):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    torch.save(model.state_dict(), folder / "net.pt")
    np.savez(folder / "train.npz", x=x[:1000].numpy(), y=y[:1000].numpy())
    np.savez(folder / "test.npz", x=x[1000:].numpy(), y=y[1000:].numpy())
    return folder


@pytest.fixture
def job(trained: Path, tmp_path: Path, torch_server: str, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A deployment that may lose nearly everything, in one runtime: what a few seconds of lessons give is not judged."""
    warm_children.install(torch_server, monkeypatch.setattr)
    asked = Compression(("prune", "distil"), str(trained / "train.npz"), 4.0)
    return Job(
        trained / "net.pt", tmp_path / "bundle", arch=f"{trained / 'net.py'}:Net", data=str(trained / "test.npz"),
        budget=Budget(1.0, relative=False), runtimes=("onnxruntime",), compress=asked,
    )  # fmt: skip


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """From now on a candidate with a part of another's bytes takes that part of its time, to the power that is given."""

    def plant(power: float) -> None:
        def side_by_side(
            old: Sequence[Candidate], new: Sequence[Candidate], samples: SampleSet, *, seconds: float, log_dir: Path, progress: object
        ) -> tuple[Beside, ...]:
            other = min(float(one.size) ** power for one in old)
            times = [float(one.size) ** power for one in new]
            ratios = [Interval(other / mine, 0.999 * other / mine, 1.001 * other / mine) for mine in times]
            return tuple(Beside(one, ms, old[0].plan.name, ratio) for one, ms, ratio in zip(new, times, ratios, strict=True))

        monkeypatch.setattr(benchmark, "side_by_side", side_by_side)

    return plant


def test_a_smaller_model_that_pays_takes_part_in_the_race_and_is_in_the_evidence(job: Job, planted: Callable[[float], None]) -> None:
    planted(1.0)
    made = deploy(job)
    proof = made.certificate.compression
    assert proof is not None and proof.kept, proof
    assert proof.training + proof.validation == 1000 and proof.validation == 200 and proof.labelled
    for step in proof.kept:
        assert step.multiplications < proof.multiplications and step.parameters < proof.parameters
        assert step.speedup.low > 1 and step.score is not None and step.score.samples == 200
        assert {layer.layer for layer in step.layers} == {"conv1", "conv2"}
        assert all(layer.after < layer.before for layer in step.layers)
        assert step.lessons.ended and step.beside.startswith("onnxruntime-fp32-")
    deeper = [step.multiplications for step in proof.steps]
    assert deeper == sorted(deeper, reverse=True), "each step is cut deeper than the one before"
    tried = [one.verified.candidate.plan for one in made.certificate.measured] + [one.plan for one in made.certificate.rejected]
    assert {step.name for step in proof.kept} <= {plan.compression for plan in tried}
    assert all(plan.lossy for plan in tried if plan.compression)
    assert store.read_certificate(job.output).compression == proof
    report = (job.output / "report.html").read_text()
    assert "A smaller model" in report and proof.kept[0].name in report


def test_where_fewer_channels_are_no_faster_nothing_is_taught_and_the_figures_say_so(job: Job, planted: Callable[[float], None]) -> None:
    planted(0.0)
    made = deploy(job)
    proof = made.certificate.compression
    assert proof is not None and not proof.steps
    assert proof.outcome.startswith("fewer channels do not make it faster: 1.00 times as fast as onnxruntime-fp32-")
    with pytest.raises(NoCandidate, match="no smaller model pays: fewer channels do not make it faster"):
        compress_source(replace(job, output=job.output.with_name("smaller")))
    assert not job.output.with_name("smaller").exists()


@pytest.mark.soak
def test_what_leaves_the_budget_is_left_out(job: Job, planted: Callable[[float], None]) -> None:
    planted(1.0)
    assert job.compress is not None
    strict = replace(job, budget=Budget(0.0, relative=False), compress=replace(job.compress, seconds=1.0))
    proof = deploy(strict).certificate.compression
    assert proof is not None and len(proof.steps) == 1 and not proof.kept
    assert "is allowed" in proof.steps[0].reason and proof.steps[0].name in proof.outcome
    assert proof.steps[0].score is not None and proof.steps[0].score.samples <= 200


def test_the_smaller_model_is_given_back_as_code_that_loads_without_us(job: Job, planted: Callable[[float], None]) -> None:
    planted(1.0)
    out = job.output.with_name("smaller")
    made = compress_source(replace(job, output=out, data=None))
    assert made.path == out and (out / compression.NAME).is_file()
    text = (out / "README.md").read_text()
    usage = text.partition("```python\n")[2].partition("```")[0]
    program = f"import sys; sys.path.insert(0, {str(out)!r})\n{usage}\nimport torch\nprint(tuple(network(torch.zeros(3, 1, 8, 8)).shape))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=out)
    assert said.stdout.strip() == "(3, 10)"
    step = made.proof.kept[-1]
    assert step.name in text and f"{step.parameters:,} of {made.proof.parameters:,} parameters" in text
    # A second run replaces it, and anything else is left alone.
    other = job.output.with_name("other")
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(compressing.UsageError, match="is not a smaller model of ours"):
        compress_source(replace(job, output=other))


def test_a_cut_that_cannot_be_made_is_left_out_and_the_others_go_on(
    job: Job, planted: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(1.0)
    cut = steps.cut_to

    def refusing(model: Graph, choice: WidthChoice, attempt: Attempt, name: str) -> Cut:
        if choice.share == 0.25:
            raise StepFailed("the layer conv1 cannot have that width")
        return cut(model, choice, attempt, name)

    monkeypatch.setattr(steps, "cut_to", refusing)
    proof = deploy(job).certificate.compression
    assert proof is not None and proof.kept
    assert all(layer.after <= layer.before // 2 for step in proof.kept for layer in step.layers)


def test_labels_that_are_not_there_cannot_teach(job: Job, trained: Path, tmp_path: Path) -> None:
    assert job.compress is not None
    x, _ = networks.digits()
    np.savez(tmp_path / "bare.npz", x=x[:100].numpy())
    asked = replace(job.compress, ways=("prune",), data=str(tmp_path / "bare.npz"))
    with pytest.raises(DataError, match=r"has no labels to train with.*--compress prune,distil"):
        deploy(replace(job, compress=asked))


def test_training_data_that_does_not_fit_is_refused(job: Job, trained: Path, tmp_path: Path, planted: Callable[[float], None]) -> None:
    planted(1.0)
    assert job.compress is not None
    x, y = networks.digits()
    for name, arrays, words in (
        ("few", {"x": x[:19], "y": y[:19]}, "holds 19 samples: too few"),
        ("labels", {"x": x[:100], "y": y[:100] + 40}, "4[0-9]"),
        ("shape", {"x": x[:100, :, :4], "y": y[:100]}, "the model takes"),
    ):
        np.savez(tmp_path / f"{name}.npz", **{key: array.numpy() for key, array in arrays.items()})
        with pytest.raises(DataError, match=words):
            deploy(replace(job, compress=replace(job.compress, data=str(tmp_path / f"{name}.npz"))))
        assert not job.output.exists()
