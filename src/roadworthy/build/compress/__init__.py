"""A live model made smaller: channels cut where no shape outside changes, and the rest taught by the original."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from roadworthy.build.compress.stages import (
    STUDENT,
    Block,
    BlocksRequest,
    Cut,
    CutRequest,
    Cuttable,
    Importance,
    Lesson,
    StudentRequest,
    Taught,
    TeachingRecipe,
    TeachRequest,
    Widths,
    WriteRequest,
    WrittenModel,
)
from roadworthy.core.errors import SourceError
from roadworthy.core.stages import Graph

__all__ = [
    "STUDENT",
    "Block",
    "BlocksRequest",
    "Cut",
    "CutRequest",
    "Cuttable",
    "Importance",
    "Lesson",
    "StudentRequest",
    "Taught",
    "TeachRequest",
    "TeachingRecipe",
    "Widths",
    "WriteRequest",
    "WrittenModel",
    "blocks",
    "cut",
    "framework",
    "student",
    "teach",
    "write",
]

TRAINABLE = "Give the model that it was exported from: a PyTorch checkpoint with its class, or a .keras file"
FRAMEWORKS = {"module": "torch", "keras": "tensorflow"}
"""The framework that trains a graph, by the graph's format."""


class Framework(Protocol):
    """``build/compress/FRAMEWORK/__init__.py``: the three functions of this package for the models of one framework."""

    def blocks(self, request: BlocksRequest) -> Cuttable: ...

    def cut(self, request: CutRequest) -> Cut: ...

    def teach(self, request: TeachRequest) -> Taught: ...

    def student(self, request: StudentRequest) -> Cut: ...

    def write(self, request: WriteRequest) -> WrittenModel: ...


def framework(graph: Graph) -> str:
    """The framework that trains ``graph``; SourceError for a graph that cannot be trained."""
    if graph.format not in FRAMEWORKS or graph.path.suffix in (".ts", ".pt2"):
        raise SourceError(f"the original cannot be trained: its weights are constants of a graph. {TRAINABLE}")
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


def student(request: StudentRequest) -> Cut:
    """The user's own smaller network with its first weights, as a graph of the teacher's format; a step for a child process.

    Raises SourceError where it cannot be built, takes other inputs, or gives outputs of other shapes than the teacher's.
    """
    return _of(request.teacher).student(request)


def write(request: WriteRequest) -> WrittenModel:
    """A smaller model as files of its own framework, which it can be loaded from without Roadworthy; a step for a child process.

    Raises SourceError where the class of the model is in no file that could be given with it, StepFailed where what was written does not
    give the model's answers.
    """
    return _of(request.model).write(request)
