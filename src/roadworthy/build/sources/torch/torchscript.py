"""A TorchScript archive: a program, which needs the user's permission to run."""

from __future__ import annotations

import warnings

import torch

from roadworthy.build.sources.model import Opened
from roadworthy.core.errors import SourceRefused, SourceUnreadable
from roadworthy.core.stages import Source
from roadworthy.core.text import first_line


def read(source: Source) -> Opened:
    """The ScriptModule on the CPU."""
    if not source.trust:
        raise SourceRefused(f"{source.path} is a program; pass --trust if you know where it comes from")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit.*deprecated.*", category=DeprecationWarning)
            return Opened(torch.jit.load(str(source.path), map_location="cpu"))
    except Exception as problem:
        raise SourceUnreadable(f"{source.path} cannot be read as TorchScript: {first_line(problem)}", detail=str(problem)) from problem
