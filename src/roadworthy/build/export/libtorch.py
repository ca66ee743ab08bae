"""A CMake project in C++ against libtorch: the model compiled by AOTInductor for a level of CPUs that many share, and a program of ours."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from roadworthy.build.exported import Export
from roadworthy.build.lower import _aotinductor_package
from roadworthy.build.program import compiler, sources, steps, templates
from roadworthy.core import codec, programs
from roadworthy.core.errors import BackendMissing, StepFailed, UsageError
from roadworthy.core.host import Host, this_host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature
from roadworthy.preprocess.contract import Contract
from roadworthy.runtimes import _cpu_features

ACCEPTS = ("pt2",)
SECONDS = 90.0
MODEL, SOURCE, BUILD = "model", "source", "build"
FILES = Path(__file__).parent / "_libtorch"
C_TYPES = {
    "float32": "kFloat32", "float64": "kFloat64", "bool": "kBool", "uint8": "kUInt8", "int8": "kInt8", "int16": "kInt16", "int32": "kInt32",
    "int64": "kInt64",
}  # fmt: skip
"""Names of libtorch for the dtypes that it has."""
REMEDY = "install CMake 3.18 or later: apt-get install cmake"


def require() -> None:
    """Raise ProgramMissing without CMake or a C++ compiler."""
    compiler.require()
    programs.require("cmake", REMEDY)


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """float32 for any number of samples, on one thread and on all."""
    if graph.precision != "fp32" or graph.unfolded or _unfit(graph.signature):
        return
    yield Plan("libtorch", "fp32", threads=1)
    if host.cores > 1:
        yield Plan("libtorch", "fp32", threads=host.cores)


def unavailable(host: Host) -> Mapping[str, str]:
    """What cannot be made here, by precision."""
    return {} if find_spec("torch") else {"fp32": "it needs PyTorch: pip install 'roadworthy[aotinductor]'"}


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write the compiled model, the project and the built program into ``out``.

    Raises UsageError for a plan that is not offered, ProgramMissing without CMake or a compiler, StepFailed where a step fails.
    """
    if plan.precision != "fp32" or plan.flavour or plan.batch:
        raise UsageError(f"{plan.name} is not a plan of libtorch: it is made in fp32, for any number of samples")
    if words := _unfit(graph.signature):
        raise StepFailed(f"no program with libtorch can be made of this model: {words}")
    require()
    host = this_host()
    settings, features = _aotinductor_package.portable(host)
    (out / MODEL).mkdir()
    _aotinductor_package.make(graph, plan, None, host, settings, out / MODEL)
    _cpu_features.write(out, features)
    _program(out, MODEL, graph.signature, plan, Contract())


def finish(export: Export, out: Path) -> str:
    """Put images, labels and ranked classes into the program; how it is built and used."""
    _program(out, export.name, export.signature, export.plan, export.contract)
    needs = codec.from_json(_cpu_features.Needs, (out / _cpu_features.NAME).read_bytes(), error=StepFailed, what=_cpu_features.NAME)
    values: dict[str, Any] = {
        "features": needs.features, "threads": export.plan.threads, "version": _version(), "lacking": steps.lacking(export.contract),
        "images": steps.from_images(export.contract),
    }  # fmt: skip
    return templates.text(FILES / "guide.md.j2", **values)


def _program(out: Path, name: str, signature: Signature, plan: Plan, contract: Contract) -> None:
    """Write the project, and build the program with the libtorch that is inside PyTorch."""
    folder = out / SOURCE
    folder.mkdir(exist_ok=True)
    batch = None if signature.dynamic else signature.call_size(1)
    sources.write(folder, name, signature, contract, threads=plan.threads, batch=batch)
    tensors = {"inputs": _tensors(signature.inputs), "outputs": _tensors(signature.outputs)}
    templates.render(FILES / "model.cpp.j2", folder / "model.cpp", **tensors)
    templates.render(FILES / "CMakeLists.txt.j2", out / "CMakeLists.txt", version=_version())
    cmake = str(programs.require("cmake", REMEDY))
    with tempfile.TemporaryDirectory() as scratch:
        project, build = Path(scratch) / "project", Path(scratch) / BUILD
        shutil.copytree(out, project, ignore=shutil.ignore_patterns(MODEL, "program"))
        settings = ["-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_PREFIX_PATH={_libtorch()}"]
        compiler.run([cmake, "-S", str(project), "-B", str(build), *settings], project, what="the build of the program")
        compiler.run([cmake, "--build", str(build), "--parallel", str(os.cpu_count() or 1)], project, what="the program")
        shutil.copyfile(project / "program", out / "program")
        (out / "program").chmod(0o755)


def _unfit(signature: Signature) -> str:
    """In words, why no such program can be made for a model of ``signature``; empty where one can."""
    if words := sources.unfit(signature):
        return words
    other = next((spec for spec in (*signature.inputs, *signature.outputs) if spec.dtype not in C_TYPES), None)
    return f"{other.name!r} is {other.dtype}, which libtorch does not compute with" if other else ""


def _tensors(specs: Iterable[Any]) -> list[dict[str, Any]]:
    return [{"name": spec.name, "dtype": C_TYPES[spec.dtype], "shape": spec.sample_shape} for spec in specs]


def _libtorch() -> Path:
    """Where CMake finds the libtorch that is inside PyTorch, which is not imported."""
    found = find_spec("torch")
    if found is None or not found.submodule_search_locations:
        raise BackendMissing("libtorch cannot be found: it needs PyTorch; install it with: pip install 'roadworthy[aotinductor]'")
    return Path(found.submodule_search_locations[0]) / "share" / "cmake"


def _version() -> str:
    return version("torch").partition("+")[0]
