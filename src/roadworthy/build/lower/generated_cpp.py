"""A shared library of our own generated C++: the ONNX graph in float32 or int8, compiled with g++ for three levels of x86-64."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from roadworthy.build.lower._onnxruntime import int8
from roadworthy.core.errors import UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan

ACCEPTS = ("onnx",)
LIBRARY = "model.so"
SECONDS = 6.0
COMPILER = "g++"
LACKING = f"it needs a C++ compiler, and this machine has no {COMPILER}; install it with: apt-get install {COMPILER}"


REPAIRS = (int8.PERCENTILE, int8.MIXED)


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """float32 and int8 on one core and on all; none where the processor is another, or the graph has what generated code has not.

    The files hold for any number of samples, and threads share those of a call: with one, all plans are the same. One more recipe of
    int8 is for models that lose too much by the first one. What came quantised keeps its precision.
    """
    lacking = unavailable(host)
    if "fp32" in lacking or host.architecture != "x86_64" or _unfit(graph):
        return
    yield from _on_threads(Plan("generated_cpp", graph.precision), graph, host)
    if not graph.quantized and "int8" not in lacking:
        yield from _on_threads(Plan("generated_cpp", "int8"), graph, host)
        yield Plan("generated_cpp", "int8", threads=1, flavour="-".join(REPAIRS))


def _on_threads(plan: Plan, graph: Graph, host: Host) -> Iterable[Plan]:
    yield plan
    if host.cores > 1 and graph.signature.batched:
        yield replace(plan, threads=host.cores)


def unavailable(host: Host) -> Mapping[str, str]:
    """What cannot be made here, by precision."""
    if not shutil.which(COMPILER):
        return {"fp32": LACKING}
    return int8.unavailable()


def _unfit(graph: Graph) -> bool:
    from roadworthy.build import cpp

    return bool(cpp.unfit(graph.signature) or cpp.lacking(cpp.operators(graph.path)))


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the library into ``out``.

    Raises UsageError for a plan that is not offered and for int8 without samples, ProgramMissing without a compiler, StepFailed for an
    operator that generated code has not, and where quantising or compiling fails.
    """
    from roadworthy.build import cpp

    if plan.precision not in (graph.precision, "int8") or plan.batch not in (None, *(spec.samples for spec in graph.signature.inputs)):
        raise UsageError(f"{plan.name} is not a plan of generated code: it is made in fp32 or int8, for any number of samples")
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch)
        cpp.generate(int8.file_of(graph, plan, plan.flavour, calibration, folder), graph.signature, folder)
        cpp.compile_shared(folder, folder / LIBRARY)
        shutil.move(folder / LIBRARY, out / LIBRARY)
