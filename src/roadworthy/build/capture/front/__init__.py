"""The steps in front of a model become part of its captured graph, which then takes uint8 pixels; each result is proven.

The answers that a folded graph is held against are those of the same graph behind the same steps in NumPy.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from roadworthy.build.capture import Captured, exporter_errors, exporter_output, parity
from roadworthy.build.capture.original import Subject
from roadworthy.build.capture.route import Written
from roadworthy.bundle.certificate import TriedRoute
from roadworthy.core import registry
from roadworthy.core.host import usable_cores
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.preprocess.front import Front, front_of
from roadworthy.runtimes import open_session

MODULES = {"onnx": "onnx_file", "pt2": "torch_graphs", "jit": "torch_graphs", "graphdef": "frozen_graph"}
"""The module that puts steps in front of a graph of that format."""
FRAMEWORKS = {"pt2": "torch", "jit": "torch", "graphdef": "tensorflow"}
ROUTE = "pixels in"
"""The name of the route in a certificate."""


@dataclass(frozen=True)
class FoldRequest:
    """``graph`` has steps in front of it (see ``preprocess.front``); with these inside it goes into the directory ``out``.

    ``samples`` are pixels; a few are enough.
    """

    graph: Graph
    samples: SampleSet
    out: Path


@dataclass(frozen=True)
class Folding:
    """The ``front`` of the graph file ``model``, and the original that the result is proven against."""

    front: Front
    model: Path
    graph: Graph
    subject: Subject


def framework(graph: Graph) -> str:
    """The framework that ``fold`` needs for ``graph``; "" where it needs none."""
    return FRAMEWORKS.get(graph.format, "")


def fold(request: FoldRequest) -> Captured:
    """A step: ``request.graph`` with its steps inside. Why a format cannot hold them is in the outcome of the one route."""
    graph, out = request.graph, request.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    try:
        with exporter_output.listening() as said:
            written = _proven(request)
    except OSError:
        raise
    except Exception as problem:
        shutil.rmtree(out, ignore_errors=True)
        reason = f"not folded, the steps stay in front of the graph: {exporter_errors.reason(problem)}"
        return Captured(None, (TriedRoute(graph.format, ROUTE, reason, ok=False),), ())
    made = Graph(graph.format, written.path, written.signature, f"{graph.route}, {ROUTE}", (*written.notes, *said), graph.precision)
    return Captured(made, (TriedRoute(graph.format, ROUTE, "used", ok=True),), ())


def _proven(request: FoldRequest) -> Written:
    graph = request.graph
    if graph.format not in MODULES:
        raise exporter_errors.Refused(f"a {graph.format} file takes no operators in front of its own")
    found = front_of(graph.path)
    assert found is not None
    front, model = found
    plan = Plan(registry.runtime_for(graph.format), graph.precision, threads=usable_cores())
    with open_session(graph.path, graph.signature, plan) as session:
        subject = Subject(
            graph=graph, signature=graph.signature, samples=request.samples, call=lambda feeds: dict(session.run(feeds))
        ).limited()
        write: Callable[[Folding, Path], Written] = importlib.import_module(f"{__name__}.{MODULES[graph.format]}").write
        return parity.prove(write(Folding(front, model, graph, subject), request.out), graph.format, subject)
