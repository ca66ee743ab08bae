"""A model that needs torchvision's compiled operators, beside a torch of another build, fails with what to install."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from roadworthy.build.sources import Loaded
from roadworthy.core.errors import EnvironmentFault
from roadworthy.frameworks import pickling
from roadworthy.frameworks.torch import torchvision_ops

NET = """
import torch
import torchvision

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(x) + CALL

boxes, scores = torch.rand(4, 4), torch.rand(4)
"""
CALLS = {
    "function": "torchvision.ops.nms(boxes, scores, 0.5).sum()",
    "operator": "torch.ops.torchvision.nms(boxes, scores, 0.5).sum()",
}


@pytest.fixture
def mismatched() -> None:
    """The test is skipped where torchvision's library works."""
    torchvision_ops.declare_missing()
    extension = pytest.importorskip("torchvision.extension")
    if extension._has_ops():
        pytest.skip("torch and torchvision are of one build here")


@pytest.mark.usefixtures("mismatched")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_builds_are_named_and_what_to_install(tmp_path: Path, loaded: Callable[..., Loaded], call: str) -> None:
    file = tmp_path / "net_of_boxes.py"
    file.write_text(NET.replace("CALL", call))
    torch.save({"fc.weight": torch.ones(3, 4), "fc.bias": torch.zeros(3)}, tmp_path / "net.pt")
    with pytest.raises(EnvironmentFault, match=r"do not fit torch 2\S+, which is of another build: install torch and torchvision together"):
        loaded(tmp_path / "net.pt", "x:float32[N,4]", arch=f"{file}:Net")


@pytest.mark.usefixtures("mismatched")
def test_declaring_again_changes_nothing() -> None:
    before = torch.ops.torchvision.nms
    torchvision_ops.declare_missing()
    assert torch.ops.torchvision.nms is before


USES_OPS = """
import torch

class Net(torch.nn.Module):
    def forward(self, x):
        return torch.ops.aten.relu(x)
"""


def test_code_that_uses_torch_and_ops_is_written_by_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net_with_ops.py").write_text(USES_OPS)
    monkeypatch.syspath_prepend(tmp_path)
    import net_with_ops

    written = io.BytesIO()
    with pickling.by_value():
        pickling.ByValuePickler(written).dump(net_with_ops.Net())
    monkeypatch.delitem(sys.modules, "net_with_ops")
    (tmp_path / "net_with_ops.py").unlink()
    assert pickle.loads(written.getvalue())(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]
