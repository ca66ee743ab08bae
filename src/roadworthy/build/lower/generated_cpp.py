"""A shared library of our own generated C++: the ONNX graph in float32, compiled with g++ for three levels of x86-64."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan

ACCEPTS = ("onnx",)
LIBRARY = "model.so"
SECONDS = 6.0
COMPILER = "g++"
LACKING = f"it needs a C++ compiler, and this machine has no {COMPILER}; install it with: apt-get install {COMPILER}"


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """float32 on one core and on all; none where the processor is another, or the graph has what generated code has not.

    The files hold for any number of samples, and threads share those of a call: with one, all plans are the same.
    """
    if unavailable(host) or graph.quantized or host.architecture != "x86_64" or _unfit(graph):
        return
    yield Plan("generated_cpp", "fp32", threads=1)
    if host.cores > 1 and graph.signature.batched:
        yield Plan("generated_cpp", "fp32", threads=host.cores)


def unavailable(host: Host) -> Mapping[str, str]:
    """What cannot be made here, by precision."""
    return {} if shutil.which(COMPILER) else {"fp32": LACKING}


def _unfit(graph: Graph) -> bool:
    from roadworthy.build import cpp

    return bool(cpp.unfit(graph.signature) or cpp.lacking(cpp.operators(graph.path)))


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the library into ``out``.

    Raises UsageError for a plan that is not offered, ProgramMissing without a compiler, StepFailed for an operator that generated code
    has not, and where compiling fails.
    """
    from roadworthy.build import cpp

    if plan.precision != "fp32" or plan.batch not in (None, *(spec.samples for spec in graph.signature.inputs)):
        raise UsageError(f"{plan.name} is not a plan of generated code: it is made in fp32, for any number of samples")
    if graph.quantized:
        raise StepFailed("generated code computes in float32, and this model came quantised")
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch)
        cpp.generate(graph.path, graph.signature, folder)
        cpp.compile_shared(folder, folder / LIBRARY)
        shutil.move(folder / LIBRARY, out / LIBRARY)
