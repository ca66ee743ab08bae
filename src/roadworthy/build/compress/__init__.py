"""A live model made smaller: channels cut where no shape outside changes, and the rest taught by the original."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from roadworthy.build.compress.stages import (
    Block,
    BlocksRequest,
    Cut,
    CutRequest,
    Cuttable,
    Importance,
    Lesson,
    Recipe,
    Taught,
    TeachRequest,
    Widths,
)
from roadworthy.core.errors import SourceError
from roadworthy.core.stages import Graph

__all__ = [
    "Block",
    "BlocksRequest",
    "Cut",
    "CutRequest",
    "Cuttable",
    "Importance",
    "Lesson",
    "Recipe",
    "Taught",
    "TeachRequest",
    "Widths",
    "blocks",
    "cut",
    "framework",
    "teach",
]

FRAMEWORKS = {"module": "torch", "keras": "tensorflow"}
"""The framework that trains a graph, by the graph's format."""


class Framework(Protocol):
    """``build/compress/FRAMEWORK/__init__.py``: the three functions of this package for the models of one framework."""

    def blocks(self, request: BlocksRequest) -> Cuttable: ...

    def cut(self, request: CutRequest) -> Cut: ...

    def teach(self, request: TeachRequest) -> Taught: ...


def framework(graph: Graph) -> str:
    """The framework that trains ``graph``; SourceError for a graph that cannot be trained."""
    if graph.format not in FRAMEWORKS:
        raise SourceError(
            f"a {graph.format} model cannot be trained: its weights are constants of a graph; "
            "give the model that it was exported from, as a PyTorch checkpoint with its class or as a .keras file"
        )
    return FRAMEWORKS[graph.format]


def _of(graph: Graph) -> Framework:
    return cast(Framework, importlib.import_module(f"{__name__}.{framework(graph)}"))


def blocks(request: BlocksRequest) -> Cuttable:
    """Where the model can be cut; a step for a child process. Raises SourceError for a model that cannot be trained."""
    return _of(request.graph).blocks(request)


def cut(request: CutRequest) -> Cut:
    """The model with fewer channels, proven by setting the same channels of the original to zero; a step for a child process.

    Raises StepFailed, which names the layer, where a block cannot have a width, or where the two do not give the same answers.
    """
    return _of(request.graph).cut(request)


def teach(request: TeachRequest) -> Taught:
    """The student after it learned from the teacher, in inference mode; a step for a child process, which says how far it is.

    Raises DataError where the samples cannot be used to train, StepFailed where the loss is not a number from the beginning.
    """
    return _of(request.student).teach(request)
