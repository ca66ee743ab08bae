"""One executable for x86-64 that needs the Linux kernel alone: generated C++, or a network of a library, in a program of ours."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from roadworthy.build.cpp import lacking, operators, unfit
from roadworthy.build.export import _ncnn
from roadworthy.build.export._native import files, generated
from roadworthy.build.exported import Export
from roadworthy.build.program import compiler, sources
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.preprocess.contract import Contract

ACCEPTS = ("onnx",)
SECONDS = 20.0
PRECISIONS = ("fp32", "int8")
REPAIRS = generated.REPAIRS


def require() -> None:
    """Raise ProgramMissing without a C++ compiler."""
    compiler.require()


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """Generated code in float32 and int8, and a network of the library in float32, each on one thread and on all.

    The latter where the library is built already, or where code may not be generated for some operator: to build it takes minutes.
    One more recipe of int8 is for models that lose too much by the first one. What came quantised keeps its precision.
    """
    if graph.unfolded or sources.unfit(graph.signature):
        return
    may = not unfit(graph.signature)
    lacks = bool(lacking(operators(graph.path)))
    if may:
        yield from _on_threads(Plan("native", graph.precision, flavour=generated.FLAVOUR), host)
    if not graph.quantized:
        if _ncnn.built() or not may or lacks:
            yield from _on_threads(Plan("native", "fp32", flavour=_ncnn.FLAVOUR), host)
        if may and not lacks and "int8" not in unavailable(host):
            yield from _on_threads(Plan("native", "int8", flavour=generated.FLAVOUR), host)
            yield Plan("native", "int8", flavour="-".join((generated.FLAVOUR, *REPAIRS)))


def _on_threads(plan: Plan, host: Host) -> Iterable[Plan]:
    yield plan
    if host.cores > 1:
        yield replace(plan, threads=host.cores)


def unavailable(host: Host) -> Mapping[str, str]:
    """What cannot be made here, by precision."""
    if host.architecture != "x86_64":
        return dict.fromkeys(PRECISIONS, f"the executable is for x86-64, and this machine is {host.architecture}")
    return generated.unavailable()


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the program, its sources and the model's static library into ``out``.

    Raises UsageError for a plan that is not offered and for int8 without samples, ProgramMissing without a compiler, StepFailed for an
    operator that the form lacks and where quantising fails.
    """
    library = (plan.precision, plan.flavour) == ("fp32", _ncnn.FLAVOUR) and not graph.quantized
    if not library and not (generated.is_form_of(plan) and plan.precision in (graph.precision, "int8")):
        raise UsageError(
            f"{plan.name} is not a plan of native: it is made in fp32 or int8 as {generated.FLAVOUR}, or in fp32 as {_ncnn.FLAVOUR}"
        )
    if words := sources.unfit(graph.signature):
        raise StepFailed(f"no executable can be made of this model: {words}")
    compiler.require()
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch)
        files.write_archive(_ncnn.make(graph, folder) if library else generated.make(graph, plan, calibration, folder), out)
    files.write_program(out, "model", graph.signature, plan, Contract())


def finish(export: Export, out: Path) -> str:
    """Put images, labels and ranked classes into the program, a C header and an example beside its library; how all is used."""
    files.write_program(out, export.name, export.signature, export.plan, export.contract)
    files.write_library(out, export.name, export.signature)
    files.write_licences(out)
    if export.plan.flavour == _ncnn.FLAVOUR:
        _ncnn.write_licence(out / files.LICENCES)
    return files.guide(out, export)
