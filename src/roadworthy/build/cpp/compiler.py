"""g++ on the files of a generated model: an object to link into a program, or a shared library."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from roadworthy.build.cpp.program import MODEL, NETWORK
from roadworthy.build.program import compiler

LEVELS = ("v4", "v3", "v2")
"""Levels of x86-64, the highest first."""
FLAGS = (
    "-O2", "-std=c++20", "-fPIC", "-fno-exceptions", "-fno-rtti", "-fno-trapping-math", "-fno-math-errno", "-fvisibility=hidden", "-w",
)  # fmt: skip
STATIC = ("-static-libgcc", "-static-libstdc++", "-Wl,--strip-all", "-Wl,--no-undefined")
LIMIT_S = 600.0


def compile_object(folder: Path, out: Path) -> None:
    """Compile the files that ``generate`` wrote into ``folder`` to the one object ``out``.

    Raises ProgramMissing without a compiler, StepFailed where it fails.
    """
    _compile(folder, out, "-r", "-nostdlib")


def compile_shared(folder: Path, out: Path) -> None:
    """Compile the files that ``generate`` wrote into ``folder`` to the shared library ``out``, which needs the C library alone.

    Raises ProgramMissing without a compiler, StepFailed where it fails.
    """
    _compile(folder, out, "-shared", *STATIC)


def _compile(folder: Path, out: Path, *flags: str) -> None:
    """The network at each level and the model around it, linked with ``flags``."""
    gcc = str(compiler.require())
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        made = Path(scratch).absolute()
        jobs: list[tuple[str, ...]] = [
            (f"model_{level}.o", f"-march=x86-64-{level}", f"-DNETWORK=model_{level}", NETWORK) for level in LEVELS
        ]
        jobs.append(("model.o", "-march=x86-64-v2", MODEL))

        def run(name: str, *arguments: str) -> str:
            compiler.run([gcc, *FLAGS, "-c", *arguments, "-o", str(made / name)], folder, what=out.name, limit_s=LIMIT_S)
            return str(made / name)

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            objects = list(pool.map(lambda job: run(*job), jobs))
        compiler.run([gcc, *objects, *flags, "-o", str(out.absolute())], folder, what=out.name, limit_s=LIMIT_S)
