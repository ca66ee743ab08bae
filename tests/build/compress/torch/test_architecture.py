"""A smaller model given back as weights and code, which a process that knows nothing of Roadworthy's files runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from roadworthy.build import compress
from roadworthy.build.compress import CutRequest, WriteRequest, WrittenModel
from roadworthy.build.compress.torch import constructors
from roadworthy.core import samples
from roadworthy.core.errors import SourceError, StepFailed
from roadworthy.core.isolation import usercode
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.frameworks.torch.calling import TorchCall, by_position

pytestmark = pytest.mark.slow

NET = """\
import torch
from torch import nn
{helper}

class Norm(nn.BatchNorm2d):
    def __init__(self, words, channels):
        super().__init__(channels)


class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, (3, 1), stride=2, padding=1, bias=False), nn.BatchNorm2d(width, eps=1e-3), {act}, nn.Dropout(),
            nn.Conv2d(width, width, 3, padding=1, groups=width, padding_mode="reflect"), nn.PReLU(width), Norm("of its own", width),
            nn.Conv2d(width, 4, 1, dilation=1),
        )
        self.head = nn.Linear(4, 5)

    def forward(self, image):
        return self.head(self.body(image).mean((2, 3)))


def model(width=8):
    return Net(width)
"""
IMAGES = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
SIGNATURE = Signature((TensorSpec("image", "float32", (BATCH, 3, 8, 8)),), (TensorSpec("output", "float32", (BATCH, 5)),))


def user_file(folder: Path, name: str, *, helper: str = "", act: str = "nn.ReLU()") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(NET.format(helper=helper, act=act))
    return folder / name


def cut_model(file: Path, folder: Path) -> tuple[Graph, SampleSet]:
    """The network of ``file`` with three of its eight channels."""
    torch.manual_seed(0)
    network = usercode.module(str(file), f"test_{file.stem}_{file.parent.name}").Net().eval()
    (folder / "whole").mkdir(parents=True)
    path = torch_module.save(network, folder / "whole", call=TorchCall(by_position(1), ("output",), True))
    found = samples.write(folder / "samples", {"image": IMAGES})
    request = CutRequest(Graph("module", path, SIGNATURE, "the original"), {"body.0": 3}, "l1", found, folder / "cut")
    return compress.cut(request).graph, found


def given_back(file: Path, call: str, folder: Path) -> tuple[Graph, WrittenModel]:
    graph, found = cut_model(file, folder)
    return graph, compress.write(WriteRequest(graph, f"{file}:{call}", found, folder / "out"))


def test_the_files_build_the_smaller_network_with_only_the_layers_that_changed_replaced(tmp_path: Path) -> None:
    graph, written = given_back(user_file(tmp_path / "user", "net.py"), "Net(width=8)", tmp_path)
    assert [file.name for file in written.files] == ["model.py", "weights.pt", "net.py"]
    replaced = [line.strip() for line in (tmp_path / "out" / "model.py").read_text().splitlines() if "set_submodule" in line]
    assert replaced == [
        "network.set_submodule('body.0', nn.Conv2d(3, 3, kernel_size=(3, 1), stride=(2, 2), padding=(1, 1), bias=False))",
        "network.set_submodule('body.1', nn.BatchNorm2d(3, eps=0.001))",
        "network.set_submodule('body.4', nn.Conv2d(3, 3, kernel_size=(3, 3), padding=(1, 1), groups=3, padding_mode='reflect'))",
        "network.set_submodule('body.5', nn.PReLU(num_parameters=3))",
        "network.set_submodule('body.6', resized(network.get_submodule('body.6'), 3))",
        "network.set_submodule('body.7', nn.Conv2d(3, 4, kernel_size=(1, 1)))",
    ]
    script = f"""
import sys, torch
{written.usage}
assert "roadworthy" not in sys.modules and not network.training
numbers = sum(parameter.numel() for parameter in network.parameters())
torch.save((network(torch.load("image.pt")), numbers), "answer.pt")
"""
    torch.save(torch.from_numpy(IMAGES), tmp_path / "out" / "image.pt")
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path / "out", check=True)
    answer, numbers = torch.load(tmp_path / "out" / "answer.pt")
    smaller = torch_module.load(graph.path)
    torch.testing.assert_close(answer, smaller(torch.from_numpy(IMAGES))[0])
    assert numbers == sum(parameter.numel() for parameter in smaller.parameters())


@pytest.mark.soak
def test_files_that_the_users_file_imports_come_with_it_and_no_name_is_taken_twice(tmp_path: Path) -> None:
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "surgery_helper.py").write_text("from torch import nn\nAct = nn.ReLU\n")
    (folder / "unused.py").write_text("raise RuntimeError\n")
    file = user_file(folder, "model.py", helper="from surgery_helper import Act", act="Act()")
    _, written = given_back(file, "model", tmp_path)
    assert sorted(file.name for file in written.files) == ["model.py", "original_model.py", "surgery_helper.py", "weights.pt"]
    assert "from original_model import model as original_model" in (tmp_path / "out" / "model.py").read_text()


def test_a_file_in_a_package_keeps_its_place(tmp_path: Path) -> None:
    package = tmp_path / "user" / "surgery_package"
    (package / "inner").mkdir(parents=True)
    for folder in (package, package / "inner"):
        (folder / "__init__.py").write_text("")
    (package / "acts.py").write_text("from torch import nn\nAct = nn.ReLU\n")
    file = user_file(package / "inner", "net.py", helper="from ..acts import Act", act="Act()")
    _, written = given_back(file, "Net", tmp_path)
    places = {str(file.relative_to(tmp_path / "out")) for file in written.files}
    assert {"surgery_package/inner/net.py", "surgery_package/acts.py", "surgery_package/__init__.py"} < places
    assert "from surgery_package.inner.net import Net" in (tmp_path / "out" / "model.py").read_text()


def test_a_model_without_a_named_class_is_refused(tmp_path: Path) -> None:
    graph, found = cut_model(user_file(tmp_path / "user", "net.py"), tmp_path)
    with pytest.raises(SourceError, match="its class was not named"):
        compress.write(WriteRequest(graph, None, found, tmp_path / "out"))


@pytest.mark.soak
def test_files_that_do_not_answer_alike_are_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = constructors.expression
    monkeypatch.setattr(constructors, "expression", lambda name, layer: right(name, layer).replace(", padding_mode='reflect'", ""))
    with pytest.raises(StepFailed, match=r"model\.py that was written does not give the answers"):
        given_back(user_file(tmp_path / "user", "net.py"), "Net", tmp_path)
