"""What the tests of this folder share: files as tools write them, and a clean state of imports for each test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roadworthy.build import sources
from roadworthy.build.sources import Loaded, LoadRequest
from roadworthy.core.samples import SampleSet

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=3, width=4):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(width, classes)

    def forward(self, image):
        x = self.drop(torch.relu(self.bn(self.conv(image))).mean((2, 3)))
        return self.fc(x)

def build(classes=3):
    return Net(classes)

def wrong():
    return "no module"

def broken():
    raise RuntimeError("no such depth: 7")

ready = Net()
"""


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """These models are far too small for more, and the machine may be shared."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def clean_imports(tmp_path: Path) -> Iterator[None]:
    """An architecture file puts its folder on the path and its module into ``sys.modules``: one test's is not the next one's."""
    path = list(sys.path)
    _forget(tmp_path.parent)
    yield
    sys.path[:] = path
    _forget(tmp_path.parent)


def _forget(folder: Path) -> None:
    """Modules of this folder leave ``sys.modules``; tests of other folders import theirs from beside it."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def net_file(tmp_path: Path) -> Path:
    """An architecture file with a small CNN, ``Net``, and functions that build it or fail to."""
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


@pytest.fixture
def net(net_file: Path) -> Any:
    """The module of ``net_file``, with fixed weights."""
    import torch

    from roadworthy.build.sources import user_code

    torch.manual_seed(0)
    return user_code.build(f"{net_file}:Net")


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Loaded]:
    """Identify and load a file in this process, as a child would."""

    def run(
        path: Path,
        *said: str,
        arch: str | None = None,
        trust: bool = False,
        samples: SampleSet | None = None,
        allow: bool = False,
        weights: str = "",
        signature: str = "",
        outputs: tuple[str, ...] = (),
    ) -> Loaded:
        source = sources.identify(path, arch=arch, trust=trust, weights=weights, signature=signature, outputs=outputs)
        out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        out.mkdir()
        return sources.load(LoadRequest(source, tuple(sources.parse_input(text) for text in said), samples, out, allow))

    return run


@pytest.fixture
def from_module(tmp_path: Path) -> Callable[..., Loaded]:
    """Load a live module, as ``deploy`` does."""

    def run(module: Any, *said: str, samples: SampleSet | None = None, allow: bool = False) -> Loaded:
        folder = tmp_path / f"live{len(list(tmp_path.glob('live*')))}"
        (folder / "out").mkdir(parents=True)
        source = sources.save_live(module, folder)
        return sources.load(LoadRequest(source, tuple(sources.parse_input(text) for text in said), samples, folder / "out", allow))

    return run
