"""The C++ files of a program: those that every model has, and ``model.h``, which says what this one takes and gives."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined

from roadworthy.core.types import BYTES, UNKNOWN, Signature, TensorSpec

FILES = Path(__file__).parent / "cpp"
MODEL = "model.h.j2"


@dataclass(frozen=True)
class TensorText:
    """One tensor as ``model.h`` writes it; ``code`` is its dtype in a ``.npy`` file, ``item`` the bytes of one number."""

    name: str
    dtype: str
    code: str
    item: int
    shape: tuple[int, ...]


def unfit(signature: Signature) -> str:
    """In words, why no program can be written around a model of ``signature``; empty where one can."""
    specs = (*signature.inputs, *signature.outputs)
    if other := next((spec for spec in specs if spec.dtype in (BYTES, UNKNOWN) or np.dtype(spec.dtype).kind not in "iufb"), None):
        return f"{other.name!r} is {other.dtype}, and a program takes and gives numbers"
    if half := next((spec for spec in specs if spec.dtype == "float16"), None):
        return f"{half.name!r} is float16, which C++ has no type for"
    if apart := next((spec for spec in specs if spec.sample_axis != 0 or not spec.shape), None):
        return f"{apart.name!r} does not count its samples by its first axis"
    if free := next((spec for spec in specs if spec.open_sizes), None):
        return f"{free.name!r} has axes of free size ({', '.join(free.open_sizes)}), and a program has fixed ones"
    return ""


def write(out: Path, name: str, signature: Signature, *, threads: int = 1, batch: int | None = None) -> None:
    """Write the program's C++ files into ``out``, for a model called ``name`` that takes ``batch`` samples a call, or any number.

    ``threads`` is what the program uses where it is not told otherwise. The signature is one that is not ``unfit``.
    """
    for file in sorted(FILES.iterdir()):
        if file.name != MODEL:
            shutil.copyfile(file, out / file.name)
    described = {"inputs": [_text(spec) for spec in signature.inputs], "outputs": [_text(spec) for spec in signature.outputs]}
    template = _environment().from_string((FILES / MODEL).read_text())
    (out / "model.h").write_text(template.render(name=name, threads=threads, batch=batch or 0, **described) + "\n")


def c_string(text: str) -> str:
    """``text`` as a literal of C, its bytes outside ASCII in octal."""
    plain = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}" for byte in text.encode())
    return f'"{plain}"'


def _text(spec: TensorSpec) -> TensorText:
    dtype = np.dtype(spec.dtype)
    return TensorText(spec.name, spec.dtype, dtype.str, dtype.itemsize, tuple(int(size) for size in spec.sample_shape))


def _environment() -> Environment:
    environment = Environment(undefined=StrictUndefined, autoescape=False)
    environment.filters["c_string"] = c_string
    return environment
