"""A live PyTorch module as a file: how the original itself is kept, so that any process can run it again.

The file is ours, written from a source that was inspected or trusted before; reading it runs code, so it never
comes from anywhere else. Three forms, by what the module is: a pickle (classes by value, so that an architecture
file is not needed again), a TorchScript archive, an ExportedProgram.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cloudpickle
import torch

PICKLE, SCRIPT, EXPORTED = "module.pt", "module.ts", "module.pt2"


def save(module: Any, directory: Path) -> Path:
    """Write ``module`` (nn.Module, ScriptModule or ExportedProgram) into ``directory``; the file's path."""
    if isinstance(module, torch.export.ExportedProgram):
        torch.export.save(module, directory / EXPORTED)
        return directory / EXPORTED
    if isinstance(module, torch.jit.ScriptModule):
        torch.jit.save(module, str(directory / SCRIPT))
        return directory / SCRIPT
    torch.save(module, directory / PICKLE, pickle_module=cloudpickle)
    return directory / PICKLE


def load(path: Path) -> torch.nn.Module:
    """The module of a file that ``save`` wrote, on the CPU."""
    if path.name == EXPORTED:
        return torch.export.load(path).module()
    if path.name == SCRIPT:
        return torch.jit.load(str(path), map_location="cpu")
    return torch.load(path, map_location="cpu", weights_only=False)
