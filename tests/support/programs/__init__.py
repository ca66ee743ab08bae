"""A program around a model of a few lines of C++, for tests of everything around a model."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.program import compiler, sources
from roadworthy.core.types import Signature, TensorSpec

LINEAR = Signature((TensorSpec("x", "float32", ("batch", 3)),), (TensorSpec("y", "float32", ("batch", 2)),))
"""What ``model.cpp`` takes and gives: y0 = x0 + x1, y1 = 2 x2. An x2 of 5 hangs, 6 crashes, 7 is an error."""


def linear(folder: Path, signature: Signature = LINEAR, *, name: str = "linear", batch: int | None = None) -> Path:
    """The program around ``model.cpp``, made in ``folder``; its path."""
    sources.write(folder, name, signature, batch=batch)
    model = Path(__file__).with_name("model.cpp")
    compiler.compile(["-O0", "-I.", "main.cpp", str(model), "-o", "program"], folder, what="the program of a test")
    return folder / "program"
