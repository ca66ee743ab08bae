"""The executable beside ``model.pte``: our main, compiled against the headers and the shared libraries of ExecuTorch's wheel."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

from roadworthy.build.program import compiler, sources
from roadworthy.core.errors import BackendMissing
from roadworthy.core.types import Signature

PROGRAM, LIBRARIES = "program", "lib"
BASE = ("libexecutorch.so", "libexecutorch_backend_xnnpack.so", "libexecutorch_threadpool.so")
KERNELS = "libexecutorch_kernels_optimized.so"
"""The kernels for what XNNPACK does not take over; three times as large as the others together."""
SOURCE = Path(__file__).with_name("model_run.cpp")
MISSING = "it needs the package executorch; install it with: pip install 'roadworthy[executorch]'"


def wheel() -> Path:
    """The folder of ExecuTorch's package, which is not imported; raises BackendMissing without it."""
    found = importlib.util.find_spec("executorch")
    places = list(found.submodule_search_locations or ()) if found else []
    folder = next((Path(place) for place in places if (Path(place) / LIBRARIES / BASE[0]).is_file()), None)
    if folder is None:
        raise BackendMissing(f"ExecuTorch's files cannot be made: {MISSING}")
    return folder


def licence() -> Path:
    """The licence of ExecuTorch, in the wheel's own description."""
    package = distribution("executorch")
    return Path(str(package.locate_file(f"executorch-{package.version}.dist-info/licenses/LICENSE")))


def write(out: Path, name: str, signature: Signature, *, threads: int, batch: int | None, kernels: bool) -> None:
    """Write the program and its libraries into ``out``; ``kernels`` says that XNNPACK alone does not carry out the model.

    Raises BackendMissing without the wheel, ProgramMissing without a compiler, StepFailed where it fails.
    """
    package = wheel()
    libraries = (*BASE, *((KERNELS,) if kernels else ()))
    (out / LIBRARIES).mkdir()
    for library in libraries:
        shutil.copy(package / "lib" / library, out / LIBRARIES / library)
    with tempfile.TemporaryDirectory(dir=out) as scratch:
        folder = Path(scratch)
        sources.write(folder, name, signature, threads=threads, batch=batch)
        compiler.compile(_arguments(package, out, libraries), folder, what="the program around ExecuTorch")
        shutil.move(folder / PROGRAM, out / PROGRAM)


def _arguments(package: Path, out: Path, libraries: Sequence[str]) -> list[str]:
    headers = package / "include"
    return [
        # Its headers are C++20, and give warnings of their own.
        "-std=c++20", "-DC10_USING_CUSTOM_GENERATED_MACROS", "-DET_USE_THREADPOOL", "-I.", "-isystem", str(headers), "-isystem",
        str(headers / "executorch/runtime/core/portable_type/c10"), "main.cpp", str(SOURCE), f"-L{out / LIBRARIES}",
        # Kernels and backends register themselves when they are loaded; nothing of theirs is called by name.
        f"-Wl,-rpath,$ORIGIN/{LIBRARIES}", "-Wl,--no-as-needed", *(f"-l:{library}" for library in libraries), "-o", PROGRAM,
    ]  # fmt: skip
