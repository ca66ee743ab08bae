"""A program around a model of a few lines of C++, for tests of everything around a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from roadworthy.build.program import compiler, image_files, sources, steps
from roadworthy.core.types import Signature, TensorSpec
from roadworthy.preprocess.steps import Decode, Step

LINEAR = Signature((TensorSpec("x", "float32", ("batch", 3)),), (TensorSpec("y", "float32", ("batch", 2)),))
"""What ``model.cpp`` takes and gives: y0 = x0 + x1, y1 = 2 x2. An x2 of 5 hangs, 6 crashes, 7 is an error."""


def linear(folder: Path, signature: Signature = LINEAR, *, name: str = "linear", batch: int | None = None) -> Path:
    """The program around ``model.cpp``, made in ``folder``; its path."""
    sources.write(folder, name, signature, batch=batch)
    model = Path(__file__).with_name("model.cpp")
    compiler.compile(["-O0", "-I.", "main.cpp", str(model), "-o", "program"], folder, what="the program of a test")
    return folder / "program"


def contracts(folder: Path, contracts: Sequence[Sequence[Step]]) -> Path:
    """The program of ``steps.cpp`` for these contracts' steps, made in ``folder``; its path."""
    sources.write(folder, "steps", LINEAR)
    cases = []
    for number, one in enumerate(contracts):
        first, calls = one[0], steps.calls(one)
        assert isinstance(first, Decode)
        decode = f"Picture picture = decode(data, path, {1 if first.color == 'L' else 3}, {'true' if first.orient else 'false'});"
        cases.append(f"case {number}: {{ {decode} {' '.join(f'{call};' for call in calls)} return picture; }}")
    (folder / "cases.h").write_text("\n".join(cases))
    found = image_files.found()
    options = [library.define for library in found] + [link for library in found for link in library.link]
    compiler.compile(["-I.", str(Path(__file__).with_name("steps.cpp")), *options, "-o", "steps"], folder, what="the steps of a test")
    return folder / "steps"
