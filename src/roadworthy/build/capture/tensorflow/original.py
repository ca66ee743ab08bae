"""A Keras, TensorFlow or LiteRT original, opened: its own runtime gives the answers that every graph of it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from roadworthy.build.capture.original import Subject
from roadworthy.core import registry
from roadworthy.core.host import usable_cores
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.runtimes import open_session


@dataclass(frozen=True, kw_only=True)
class TensorFlowSubject(Subject):
    """Routes open the original's files themselves, each in the way it needs them."""

    FRAMEWORK: ClassVar[str] = "tensorflow"
    TRACER: ClassVar[str] = "tf.function"


def open_subject(graph: Graph, samples: SampleSet, doubts: tuple[str, ...], exported: Path | None) -> TensorFlowSubject:
    """Open the original; raises CaptureFailed where it fails on the samples, BackendMissing where nothing here runs it."""
    plan = Plan(registry.runtime_for(graph.format), graph.precision, threads=usable_cores())
    session = open_session(graph.path, graph.signature, plan)
    subject = TensorFlowSubject(
        graph=graph,
        signature=graph.signature,
        samples=samples,
        call=lambda feeds: dict(session.run(feeds)),
        exported=exported,
        doubts=doubts,
    )
    return subject.limited()
