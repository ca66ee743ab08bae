"""g++ on the files of a generated model: an object to link into a program, or a shared library."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from roadworthy.build.cpp.program import MODEL, NETWORK
from roadworthy.core.errors import EnvironmentFault, StepFailed

LEVELS = ("v4", "v3", "v2")
"""Levels of x86-64, the highest first."""
FLAGS = (
    "-O3",
    "-std=c++20",
    "-fPIC",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-trapping-math",
    "-fno-math-errno",
    "-fvisibility=hidden",
    "-Wno-psabi",
)
LIMIT_S = 600
MISSING = "there is no g++ on this machine; install it with your system's packages: apt-get install g++"


def compiler() -> str | None:
    """The C++ compiler: that of the environment variable CXX, or g++."""
    return shutil.which(os.environ.get("CXX", "g++"))


def compile_object(folder: Path, out: Path) -> None:
    """Compile the files that ``generate`` wrote into ``folder`` to the one object ``out``.

    Raises ProgramMissing without a compiler, StepFailed where it fails.
    """
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        objects = _objects(folder, Path(scratch))
        _run(["-r", "-nostdlib", *map(str, objects), "-o", str(out.absolute())], folder)


def compile_shared(folder: Path, out: Path) -> None:
    """Compile the files that ``generate`` wrote into ``folder`` to the shared library ``out``, which needs the C library alone.

    Raises ProgramMissing without a compiler, StepFailed where it fails.
    """
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        objects = _objects(folder, Path(scratch))
        static = ("-static-libgcc", "-static-libstdc++", "-Wl,-s", "-Wl,--no-undefined")
        _run(["-shared", *map(str, objects), *static, "-o", str(out.absolute())], folder)


def _objects(folder: Path, scratch: Path) -> list[Path]:
    """The network at each level, and the model around it."""
    jobs = [([f"-march=x86-64-{level}", f"-DNETWORK=model_{level}", NETWORK], scratch.absolute() / f"{level}.o") for level in LEVELS]
    jobs.append((["-march=x86-64-v2", MODEL], scratch.absolute() / "model.o"))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(lambda job: _run([*FLAGS, "-c", *job[0], "-o", str(job[1])], folder), jobs))
    return [made for _, made in jobs]


def _run(arguments: Sequence[str], folder: Path) -> None:
    program = compiler()
    if program is None:
        raise EnvironmentFault(f"generated code cannot be compiled: {MISSING}")
    try:
        done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, errors="replace", timeout=LIMIT_S)
    except subprocess.TimeoutExpired as problem:
        raise StepFailed(f"{Path(program).name} took more than {LIMIT_S} s") from problem
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["it said nothing"]
        raise StepFailed(f"{Path(program).name} failed: {lines[0]}", detail=done.stderr)
