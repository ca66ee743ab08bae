"""Generated C++ as the object that a program is linked with."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build import cpp
from roadworthy.core.stages import Graph

FLAVOUR = "generated"


def make(graph: Graph, scratch: Path) -> tuple[Path, ...]:
    """The model's object, made in ``scratch``; raises StepFailed, with the operator's and the node's name, for what it lacks."""
    (scratch / "code").mkdir()
    cpp.generate(graph.path, graph.signature, scratch / "code")
    cpp.compile_object(scratch / "code", scratch / "model.o")
    return (scratch / "model.o",)
