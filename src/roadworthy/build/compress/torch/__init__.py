"""Smaller PyTorch models: channels are cut where every reader of theirs is a layer that can be cut as well.

``channels`` finds the blocks, ``importance`` chooses, ``surgery`` cuts, ``proof`` compares; ``architecture`` writes the result for users.
"""

from __future__ import annotations

import importlib

from roadworthy.build.compress.stages import Taught, TeachRequest
from roadworthy.build.compress.torch.architecture import write
from roadworthy.build.compress.torch.cutting import blocks, cut
from roadworthy.build.compress.torch.student import student

__all__ = ["blocks", "cut", "student", "teach", "write"]


def teach(request: TeachRequest) -> Taught:
    """As ``roadworthy.build.compress.teach``."""
    taught: Taught = importlib.import_module(f"{__name__}.teaching").teach(request)
    return taught
