"""Try one route after another until a graph is proven; the side of the step that runs in the child."""

from __future__ import annotations

import errno
import importlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from roadworthy.build.capture import FORMATS, Captured, CaptureRequest, exporter_errors, exporter_output, parity
from roadworthy.build.capture.original import Subject
from roadworthy.build.capture.route import CaptureRoute
from roadworthy.bundle import certificate
from roadworthy.core.errors import UsageError
from roadworthy.core.stages import Graph

PACKAGE = __package__
MODULES = {
    "graphdef": "tensorflow.frozen_graph", "jit": "torch.torchscript", "onnx": "onnx_file", "pt2": "torch.export",
    "saved_model": "tensorflow.saved_model",
}  # fmt: skip
"""The module that has the routes to each format."""
FRAMEWORKS = {"module": "torch"}
"""The framework that captures an original of that format; for all others it is TensorFlow."""


@dataclass
class _Log:
    """What has been tried so far."""

    format: str
    tracer: str
    rows: list[certificate.TriedRoute] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    batch_failed: bool = False

    def failed(self, name: str, problem: Exception) -> None:
        """Note why a route failed, and what that says about the others."""
        self.rows.append(certificate.TriedRoute(self.format, name, exporter_errors.reason(problem), ok=False))
        found = f"{self.tracer} found that "
        if exporter_errors.is_data_dependent(problem) and not any(doubt.startswith(found) for doubt in self.doubts):
            self.doubts.append(f"{found}{exporter_errors.reason(problem)}")
        self.batch_failed = self.batch_failed or exporter_errors.is_batch(problem)


def capture(request: CaptureRequest) -> Captured:
    """See ``roadworthy.build.capture.capture``."""
    if request.format not in FORMATS.get(request.graph.format, ()):
        raise UsageError(f"a {request.graph.format} graph cannot be captured as {request.format}")
    with exporter_output.listening():
        subject = _opened(request)
    log = _Log(request.format, subject.TRACER, doubts=list(subject.doubts))
    graph = _first_proven(subject, request, log)
    if graph is None and log.batch_failed and subject.dynamic:
        # One sample a call is better than nothing, and its signature says so.
        graph = _first_proven(subject.fixed(), request, log, ", one sample a call")
    return Captured(graph, tuple(log.rows), tuple(dict.fromkeys(log.doubts)))


def _opened(request: CaptureRequest) -> Subject:
    side = importlib.import_module(f"{PACKAGE}.{FRAMEWORKS.get(request.graph.format, 'tensorflow')}.original")
    subject: Subject = side.open_subject(request.graph, request.samples, request.doubts, request.exported)
    return subject


def _first_proven(subject: Subject, request: CaptureRequest, log: _Log, suffix: str = "") -> Graph | None:
    fixed = False
    for route in _routes(request.format, subject):
        if fixed and route.same_tool:
            continue
        name = route.name + suffix
        shutil.rmtree(request.out, ignore_errors=True)
        request.out.mkdir(parents=True)
        try:
            # A doubt that an earlier route raised holds for this one.
            graph = _attempt(route, name, replace(subject, doubts=tuple(log.doubts)), request)
        except Exception as problem:
            if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            log.failed(name, problem)
            fixed = exporter_errors.fixes_a_size(problem)
            continue
        log.rows.append(certificate.TriedRoute(request.format, name, "used", ok=True))
        return graph
    shutil.rmtree(request.out, ignore_errors=True)
    return None


def _attempt(route: CaptureRoute, name: str, subject: Subject, request: CaptureRequest) -> Graph:
    with exporter_output.listening() as said:
        written = parity.prove(route.write(subject, request.out), request.format, subject)
    notes = (*subject.notes, *written.notes, *said)
    return Graph(request.format, written.path, written.signature, name, notes, precision=request.graph.precision)


def _routes(format: str, subject: Subject) -> Iterable[CaptureRoute]:
    found: Iterable[CaptureRoute] = importlib.import_module(f"{PACKAGE}.{MODULES[format]}").routes(subject)
    return found
