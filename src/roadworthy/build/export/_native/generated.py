"""Generated C++ as the object that a program is linked with."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build import cpp
from roadworthy.build.lower._onnxruntime import int8
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan

FLAVOUR = "generated"
REPAIRS = (int8.PERCENTILE, int8.MIXED)
unavailable = int8.unavailable


def is_form_of(plan: Plan) -> bool:
    """Whether the plan is generated code; its flavour may go on with a recipe of int8."""
    return plan.flavour.partition("-")[0] == FLAVOUR


def make(graph: Graph, plan: Plan, calibration: SampleSet | None, scratch: Path) -> tuple[Path, ...]:
    """The model's object, made in ``scratch``.

    Raises UsageError for int8 without samples, StepFailed where quantising fails, and with the operator's and the node's name for what
    generated code lacks.
    """
    (scratch / "code").mkdir()
    file = int8.file_of(graph, plan, plan.flavour.partition("-")[2], calibration, scratch)
    cpp.generate(file, graph.signature, scratch / "code")
    cpp.compile_object(scratch / "code", scratch / "model.o")
    return (scratch / "model.o",)
