"""Smaller PyTorch modules: channels are cut where every reader of theirs is a layer that can be cut as well.

``network`` opens the module and runs it, ``follow`` sees in one run which layer reads which channels, ``ties`` says which channels go
together, ``groups`` makes blocks of that, ``surgery`` cuts, ``proof`` compares, ``importance`` chooses.
"""

from __future__ import annotations

import importlib

from roadworthy.build.compress.stages import BlocksRequest, Cut, CutRequest, Cuttable, Taught, TeachRequest
from roadworthy.build.compress.torch.cutting import blocks, cut
from roadworthy.build.compress.torch.student import student

__all__ = ["BlocksRequest", "Cut", "CutRequest", "Cuttable", "blocks", "cut", "student", "teach"]


def teach(request: TeachRequest) -> Taught:
    """As ``roadworthy.build.compress.teach``."""
    taught: Taught = importlib.import_module(f"{__name__}.teaching").teach(request)
    return taught
