"""Files that a user might give by mistake or on purpose, made once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from support.models.networks import SmallCNN

NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.head = torch.nn.Linear(4 * 64, classes)

    def forward(self, image):
        return self.head(torch.relu(self.conv(image)).flatten(1))

def raises():
    raise RuntimeError("the licence server is away")

number = 7
"""

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def cli() -> Cli:
    """``roadworthy`` as a real process, in a folder of its own."""

    def run(*arguments: str | Path, cwd: Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("roadworthy")), *map(str, arguments)]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout)

    return run


class Payload:
    """A pickle that leaves a marker when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small checkpoint, its architecture, and everything that is wrong with others of its kind."""
    desk = tmp_path_factory.mktemp("desk")
    (desk / "net.py").write_text(NET)
    namespace: dict[str, type[torch.nn.Module]] = {}
    exec(NET, namespace)
    torch.manual_seed(0)
    torch.save(namespace["Net"]().state_dict(), desk / "net.pt")
    data = (desk / "net.pt").read_bytes()
    (desk / "cut.pt").write_bytes(data[: len(data) // 2])
    (desk / "empty.pt").write_bytes(b"")
    (desk / "notes.pt").write_text("These are my notes about the model, not the model.\n")
    torch.save({"state_dict": namespace["Net"]().state_dict(), "note": Payload(desk / "marker")}, desk / "evil.pt")
    torch.save(SmallCNN().state_dict(), desk / "other.pt")
    for digit in range(10):
        folder = desk / "images" / str(digit)
        folder.mkdir(parents=True)
        for number in range(4):
            pixels = np.random.default_rng(10 * digit + number).integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (desk / "none").mkdir()
    (desk / "grey.toml").write_text('[image]\ncolor = "L"\nresize = { size = [8, 8] }\n')
    (desk / "large.toml").write_text('[image]\ncolor = "L"\nresize = { size = [9, 9] }\n')
    (desk / "typo.toml").write_text('[image]\ncolour = "L"\n')
    return desk
