"""A TorchScript archive: a program, which needs the user's permission to run."""

from __future__ import annotations

import torch

from roadworthy.build.sources.model import Opened
from roadworthy.core.errors import SourceRefused, SourceUnreadable
from roadworthy.core.stages import Source
from roadworthy.core.text import first_line
from roadworthy.frameworks.torch.script import quiet


def read(source: Source) -> Opened:
    """The ScriptModule on the CPU."""
    if not source.trust:
        raise SourceRefused(f"{source.path} is a program; pass --trust if you know where it comes from")
    try:
        with quiet():
            return Opened(torch.jit.load(str(source.path), map_location="cpu"))
    except Exception as problem:
        raise SourceUnreadable(f"{source.path} cannot be read as TorchScript: {first_line(problem)}", detail=str(problem)) from problem
