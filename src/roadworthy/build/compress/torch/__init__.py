"""Smaller PyTorch models: channels are cut where every reader of theirs is a layer that can be cut as well.

``channels`` finds the blocks, ``importance`` chooses, ``surgery`` cuts, ``proof`` compares; ``architecture`` writes the result for users.
"""

from __future__ import annotations

import importlib

from roadworthy.build.compress.stages import BlocksRequest, Cut, CutRequest, Cuttable, Taught, TeachRequest, WriteRequest, Written
from roadworthy.build.compress.torch import architecture
from roadworthy.build.compress.torch.cutting import blocks, cut

__all__ = ["BlocksRequest", "Cut", "CutRequest", "Cuttable", "blocks", "cut", "teach", "write"]


def teach(request: TeachRequest) -> Taught:
    """As ``roadworthy.build.compress.teach``."""
    taught: Taught = importlib.import_module(f"{__name__}.teaching").teach(request)
    return taught


def write(request: WriteRequest) -> Written:
    """As ``roadworthy.build.compress.write``."""
    return architecture.write(request)
