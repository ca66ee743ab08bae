"""One executable for x86-64 that needs the Linux kernel alone: generated C++, or a network of a library, in a program of ours."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
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


def require() -> None:
    """Raise ProgramMissing without a C++ compiler."""
    compiler.require()


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """Generated code, and a network of the library, each on one thread and on all.

    The latter where the library is built already, or where code may not be generated for some operator: to build it takes minutes.
    """
    if graph.quantized or graph.unfolded or sources.unfit(graph.signature):
        return
    may = not unfit(graph.signature)
    other = _ncnn.built() or not may or lacking(operators(graph.path))
    for flavour in (*((generated.FLAVOUR,) if may else ()), *((_ncnn.FLAVOUR,) if other else ())):
        yield Plan("native", "fp32", threads=1, flavour=flavour)
        if host.cores > 1:
            yield Plan("native", "fp32", threads=host.cores, flavour=flavour)


def unavailable(host: Host) -> Mapping[str, str]:
    """What cannot be made here, by precision."""
    if host.architecture != "x86_64":
        return {"fp32": f"the executable is for x86-64, and this machine is {host.architecture}"}
    return {}


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the program, its sources and the model's static library into ``out``.

    Raises UsageError for a plan that is not offered, ProgramMissing without a compiler, StepFailed for an operator that the form lacks.
    """
    if plan.precision != "fp32" or plan.flavour not in (generated.FLAVOUR, _ncnn.FLAVOUR):
        raise UsageError(f"{plan.name} is not a plan of native: it is made in fp32, as {generated.FLAVOUR} or {_ncnn.FLAVOUR}")
    if words := sources.unfit(graph.signature):
        raise StepFailed(f"no executable can be made of this model: {words}")
    compiler.require()
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        make = generated.make if plan.flavour == generated.FLAVOUR else _ncnn.make
        files.write_archive(make(graph, Path(scratch)), out)
    files.write_program(out, "model", graph.signature, plan, Contract())


def finish(export: Export, out: Path) -> str:
    """Put images, labels and ranked classes into the program, a C header and an example beside its library; how all is used."""
    files.write_program(out, export.name, export.signature, export.plan, export.contract)
    files.write_library(out, export.name, export.signature)
    files.write_licences(out)
    if export.plan.flavour == _ncnn.FLAVOUR:
        _ncnn.write_licence(out / files.LICENCES)
    return files.guide(out, export)
