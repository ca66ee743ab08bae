"""The C++ files of a program: those that every model has, and ``model.h``, which says what this one takes and gives."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.build.program import steps, templates
from roadworthy.core.types import BYTES, UNKNOWN, Signature, TensorSpec
from roadworthy.preprocess.answer import columns
from roadworthy.preprocess.answer import ranks as ranks_classes
from roadworthy.preprocess.contract import Contract

MOST_THREADS = 1024
FILES = Path(__file__).parent / "cpp"


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


def write(
    out: Path,
    name: str,
    signature: Signature,
    contract: Contract | None = None,
    *,
    threads: int = 1,
    most_threads: int | None = None,
    batch: int | None = None,
) -> None:
    """Write the program's C++ files into ``out``, for a model called ``name`` that takes ``batch`` samples a call, or any number.

    With a ``contract`` whose steps are all there in C++ it also reads images, and ranks classes where the contract does. ``threads`` is
    what it uses where it is not told otherwise, ``most_threads`` what it can be told. The signature is one that is not ``unfit``.
    """
    for file in sorted(FILES.iterdir()):
        if file.suffix != ".j2":
            shutil.copyfile(file, out / file.name)
    contract = contract or Contract()
    images = steps.from_images(contract)
    described = {"inputs": [_text(spec) for spec in signature.inputs], "outputs": [_text(spec) for spec in signature.outputs]}
    templates.render(
        FILES / "model.h.j2",
        out / "model.h",
        name=name,
        threads=threads,
        most_threads=most_threads or MOST_THREADS,
        batch=batch or 0,
        images=images,
        **described,
        **_answer(contract, signature),
    )
    if images:
        templates.render(FILES / "prepared.h.j2", out / "prepared.h", decode=contract.image[0], calls=steps.calls(contract.image))


def _answer(contract: Contract, signature: Signature) -> dict[str, object]:
    """How the first output becomes classes, as the template takes it."""
    answer, first = contract.answer, signature.outputs[0]
    activation = "softmax" if answer.activation == "auto" else answer.activation
    ranks = ("column" if columns(first) == 1 else "rows") if answer.activation != "auto" and ranks_classes(answer, first) else "none"
    return {"ranks": ranks, "activation": activation, "top_k": answer.top_k, "labels": answer.labels, "quantization": first.quantization}


def _text(spec: TensorSpec) -> TensorText:
    dtype = np.dtype(spec.dtype)
    return TensorText(spec.name, spec.dtype, dtype.str, dtype.itemsize, tuple(int(size) for size in spec.sample_shape))
