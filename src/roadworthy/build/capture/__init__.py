"""The original as a graph: one file a format, several routes each, every result proven against the original."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roadworthy.bundle.certificate import TriedRoute
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph

FORMATS: dict[str, tuple[str, ...]] = {
    "module": ("pt2", "onnx", "jit"),
    "keras": ("graphdef", "onnx", "saved_model"),
    "saved_model": ("graphdef", "onnx"),
    "graphdef": ("onnx",),
    "tflite": ("onnx",),
}
"""For each format that an original comes in, those it is captured as, in the order to try them."""


_FRAMEWORKS = {"module": "torch"} | dict.fromkeys(("keras", "saved_model", "graphdef", "tflite"), "tensorflow")


@dataclass(frozen=True)
class CaptureRequest:
    """Capture ``graph`` as ``format`` into the directory ``out``, which is made if need be.

    ``samples`` are real ones, named as the signature's inputs; a few are enough. ``doubts`` are what captures in
    other formats found against trusting a trace; ``exported`` is where the graph of the first format is, which another
    format may start from.
    """

    graph: Graph
    format: str
    samples: SampleSet
    out: Path
    doubts: tuple[str, ...] = ()
    exported: Path | None = None


@dataclass(frozen=True)
class Captured:
    """The graph, if a route gave one that agrees with the original; every route that was tried, with its outcome in words.

    The graph's signature is what was proven of this graph, which may be less than was asked. ``doubts`` holds
    the request's own and what was found here.
    """

    graph: Graph | None
    routes: tuple[TriedRoute, ...]
    doubts: tuple[str, ...]


def formats(graph: Graph) -> tuple[str, ...]:
    """The formats that ``graph`` can be captured as, in the order to try them; none where it is used as it is."""
    return FORMATS.get(graph.format, ())


def framework(graph: Graph) -> str:
    """The framework that captures ``graph``; "" where none does."""
    return _FRAMEWORKS.get(graph.format, "")


def capture(request: CaptureRequest) -> Captured:
    """Try the routes to ``request.format`` until one gives a graph that agrees with the original; for a child process.

    A route that fails is a value. Raises CaptureFailed where no route makes sense: the original does not run on the
    samples, or is in training mode.
    """
    from roadworthy.build.capture import try_routes

    return try_routes.capture(request)
