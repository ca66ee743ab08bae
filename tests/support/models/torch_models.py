"""What the tests of the torch runtimes share: a small model in colour, its graphs, and steps for children to run."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import BATCH, Array, Signature, TensorSpec
from roadworthy.frameworks.torch import module as torch_module
from roadworthy.runtimes import open_session

SIGNATURE = Signature((TensorSpec("image", "float32", (BATCH, 3, 8, 8)),), (TensorSpec("logits", "float32", (BATCH, 5)),))


class Colour(nn.Module):
    """Convolutions, BatchNorm, one ReLU used twice, a residual, and a linear layer: [n, 3, 8, 8] to [n, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1)
        self.relu, self.head = nn.ReLU(), nn.Linear(128, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.relu(self.norm(self.first(image)))
        x = self.relu(x + self.second(x))
        return self.head(nn.functional.max_pool2d(x, 2).flatten(1))


def colour() -> Colour:
    """The same weights every time."""
    torch.manual_seed(0)
    return Colour().eval()


def images(count: int, seed: int = 0) -> Array:
    """Normal noise, float32 [count, 3, 8, 8]."""
    return np.random.default_rng(seed).standard_normal((count, 3, 8, 8)).astype(np.float32)


def by_hand(module: nn.Module, array: Array) -> Array:
    """What the module answers when it is called directly."""
    with torch.no_grad():
        return module(torch.tensor(array)).numpy()


def as_module(module: nn.Module, folder: Path) -> Graph:
    return Graph("module", torch_module.save(module, folder), SIGNATURE, "as it is")


def as_script(module: nn.Module, folder: Path) -> Graph:
    with quiet_script():
        torch.jit.script(module).save(str(folder / "graph.ts"))
    return Graph("jit", folder / "graph.ts", SIGNATURE, "script")


def as_program(module: nn.Module, folder: Path, *, channels_last: bool = False) -> Graph:
    example = torch.randn(2, 3, 8, 8)
    torch.export.save(exported(module, example.to(memory_format=torch.channels_last) if channels_last else example), folder / "graph.pt2")
    return Graph("pt2", folder / "graph.pt2", SIGNATURE, "export")


def exported(module: nn.Module, example: Tensor, *, strict: bool = False) -> torch.export.ExportedProgram:
    return torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},), strict=strict)


@contextmanager
def quiet_script() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        yield


@dataclass(frozen=True)
class Opening:
    """A candidate that a child is to open and ask for ``batch`` answers."""

    path: Path
    plan: Plan
    batch: int = 2


@dataclass(frozen=True)
class Answered:
    """The sum of all outputs, and what the child found in its temporary directory while the session was open."""

    total: float
    temporary: tuple[str, ...]


def answer(opening: Opening) -> Answered:
    """Open, answer once, close."""
    import tempfile

    with open_session(opening.path, SIGNATURE, opening.plan) as session:
        outputs = session.run({"image": images(opening.batch)})
        here = tuple(path.name for path in Path(tempfile.gettempdir()).iterdir())
    return Answered(float(outputs["logits"].sum()), here)
