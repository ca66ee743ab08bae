"""A state_dict, alone or inside a trainer's checkpoint: weights only, into the architecture that the user names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from roadworthy.build.sources import user_code
from roadworthy.build.sources.model import Opened
from roadworthy.build.sources.torch import pickled_module, weights
from roadworthy.core.errors import SourceRefused, SourceUnreadable, UsageError
from roadworthy.core.stages import Source
from roadworthy.core.text import first_line


def read(source: Source) -> Opened:
    """The architecture of ``source.arch`` with the file's weights in it."""
    if source.arch is None:
        raise UsageError(
            f"{source.path} holds weights and not the model they belong to; name the code that builds it: --arch FILE.py:CALLABLE"
        )
    state = weights.find(pickled_module.unpickle(source) if source.trust else weights_only(source.path), source.path)
    module = user_code.build(source.arch)
    notes = weights.fill(module, state, source.path)
    proof = f"the {len(state.tensors)} tensors of the file are those of {source.arch}, name by name and shape by shape"
    return Opened(module, proofs=(proof,), notes=notes)


def weights_only(path: Path) -> Any:
    """What ``torch.load`` reads without running anything; SourceRefused where that is not enough, SourceUnreadable for a damaged file."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:
        message = str(problem)
        if asked := re.findall(r"GLOBAL ([\w.]+)|Unsupported (?:global|class|operand)[: ]+([\w.]+)", message):
            names = ", ".join(sorted({first or second for first, second in asked}))
            raise SourceRefused(
                f"{path} asks for {names} when it is read, which is not part of weights; save the state_dict alone, "
                "or pass --trust if you know where the file comes from",
                detail=message,
            ) from problem
        raise SourceUnreadable(f"{path} is cut short or damaged ({first_line(problem)}); fetch it again", detail=message) from problem
