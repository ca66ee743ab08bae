"""XLA ahead of time: the graph compiled to objects for a level of x86-64, linked with TensorFlow's base library to a program of ours."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.export._tensorflow import frozen
from roadworthy.build.export._xla import library, network
from roadworthy.build.exported import Export
from roadworthy.build.program import compiler, image_files, licences, sources, steps, templates
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.contract import Contract
from roadworthy.runtimes import _cpu_features

ACCEPTS = ("graphdef", "saved_model", "onnx")
SECONDS = 60.0
LEVELS: Mapping[str, tuple[str, ...]] = {"v3": ("avx2", "fma", "f16c"), "v2": ("sse4_2",)}
"""The levels of x86-64 that code is made for, the higher one first, with CPU features that tell them apart."""
PROGRAM, SOURCE, LIBRARIES, GLUE = "program", "source", "lib", "model.o"
HERE = Path(__file__).parent / "_xla"


def require() -> None:
    """Raise ProgramMissing without a C++ compiler and its tools."""
    compiler.require()
    compiler.archiver()


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """One thread, for the higher of two levels of x86-64 that ``host`` has; none where the graph or the signature is unfit."""
    if _unfit(graph):
        return
    level = next((name for name, features in LEVELS.items() if host.has(*features)), None)
    if level:
        yield Plan("xla_aot", "fp32", threads=1, flavour=level)


def unavailable(host: Host) -> Mapping[str, str]:
    """What cannot be made here, by precision."""
    if host.architecture != "x86_64":
        return {"fp32": f"the code is for x86-64, and this machine is {host.architecture}"}
    return {} if find_spec("tensorflow") else {"fp32": "it needs TensorFlow: pip install 'roadworthy[xla-aot]'"}


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the compiled network, the program and the library that it needs into ``out``.

    Raises UsageError for a plan that is not offered, ProgramMissing without a compiler, BackendMissing without TensorFlow, StepFailed for
    an operator that TensorFlow or XLA has no counterpart of.
    """
    if plan.precision != "fp32" or plan.flavour not in LEVELS:
        raise UsageError(f"{plan.name} is not a plan of xla-aot: it is made in fp32, for {' or '.join(LEVELS)}")
    if words := _unfit(graph):
        raise StepFailed(f"XLA cannot compile this model ahead of time: {words}")
    require()
    (out / SOURCE).mkdir()
    network.write(graph, plan, plan.flavour, out / SOURCE)
    shutil.copyfile(library.make(plan.flavour), out / SOURCE / library.ARCHIVE)
    library.copy_framework(out / LIBRARIES)
    _cpu_features.write(out, LEVELS[plan.flavour])
    _glue(out, graph.signature, plan)
    _program(out, "model", graph.signature, plan, Contract())


def finish(export: Export, out: Path) -> str:
    """Put images, labels and ranked classes into the program, licences beside it; how it is used."""
    licences.write(out, library.licences())
    if image_files.wanted(export.contract):
        licences.of_debian(out, licences.IMAGES)
    _program(out, export.name, export.signature, export.plan, export.contract)
    values: dict[str, Any] = {
        "level": export.plan.flavour, "features": LEVELS[export.plan.flavour], "version": library.release(),
        "lacking": steps.lacking(export.contract), "images": steps.from_images(export.contract),
        "formats": [one.format for one in image_files.wanted(export.contract)], "batch": network.fixed(export.signature).call_size(1),
        "size": (out / LIBRARIES / library.FRAMEWORK).stat().st_size / 1e6,
        "again": shlex.join(["g++", *compiler.FLAGS, *_command(export.plan, export.contract)]),
    }  # fmt: skip
    return templates.text(HERE / "guide.md.j2", **values)


def _unfit(graph: Graph) -> str:
    """In words, why the graph cannot be compiled so; empty where it may be."""
    if graph.precision != "fp32":
        return f"it computes in {graph.precision}, and the library for the code has float32"
    return frozen.unfit(graph) or sources.unfit(graph.signature)


def _glue(out: Path, signature: Signature, plan: Plan) -> None:
    """Write and compile the functions that a program calls: with TensorFlow's headers, which takes most of the time."""
    folder, call = out / SOURCE, network.fixed(signature)
    sizes = {"inputs": [_bytes(spec) for spec in call.inputs], "outputs": [_bytes(spec) for spec in call.outputs]}
    templates.render(HERE / "model.cpp.j2", folder / "model.cpp", batch=call.call_size(1), **sizes)
    shutil.copyfile(sources.FILES / "model_run.h", folder / "model_run.h")
    headers = f"-I{library.tensorflow() / 'include'}"
    compiler.compile([*library.flags(plan.flavour), headers, "-c", "model.cpp", "-o", GLUE], folder, what="the program's model")


def _program(out: Path, name: str, signature: Signature, plan: Plan, contract: Contract) -> None:
    """Write the sources of the program, and compile and link it. One from before is replaced."""
    batch = None if signature.dynamic else signature.call_size(1)
    sources.write(out / SOURCE, name, signature, contract, threads=1, most_threads=1, batch=batch)
    compiler.compile(_command(plan, contract), out, what="the program")


def _command(plan: Plan, contract: Contract) -> list[str]:
    """What the compiler is told, relative to the directory."""
    libraries = image_files.wanted(contract)
    read = [part for one in libraries for part in (*(f"-l:{archive}" for archive in one.archives), "-lm")]
    parts = [f"{SOURCE}/{name}" for name in ("main.cpp", GLUE, *network.OBJECTS, library.ARCHIVE)]
    linked = [f"{LIBRARIES}/{library.FRAMEWORK}", "-pthread", f"-Wl,-rpath,$ORIGIN/{LIBRARIES}", "-Wl,-s"]
    return [*library.flags(plan.flavour), *(one.define for one in libraries), *parts, *read, *linked, "-o", PROGRAM]


def _bytes(spec: TensorSpec) -> int:
    """The bytes of one call."""
    return int(np.prod([int(size) for size in spec.shape], dtype=np.int64)) * np.dtype(spec.dtype).itemsize
