"""``golden.npz``: a few samples with the original's answers; byte strings are stored without a pickle."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.core.errors import BundleError
from roadworthy.core.samples import join_strings, split_strings
from roadworthy.core.text import first_line
from roadworthy.core.types import BYTES, Array, Arrays, Signature, TensorSpec


@dataclass(frozen=True)
class Golden:
    """Inputs and the original's outputs by name, samples first."""

    inputs: Arrays
    outputs: Arrays


def write(path: Path, golden: Golden) -> None:
    """``in.<name>`` and ``out.<name>`` for each tensor; byte strings are joined as uint8, with ``ends.in.<name>`` or
    ``ends.out.<name>`` for where each ends (int64)."""
    arrays: dict[str, Array] = {}
    for place, tensors in (("in", golden.inputs), ("out", golden.outputs)):
        for name, array in tensors.items():
            key = f"{place}.{name}"
            if array.dtype == np.dtype(BYTES):
                arrays[key], arrays[f"ends.{key}"] = join_strings(array)
            else:
                arrays[key] = np.ascontiguousarray(array)
    np.savez(path, allow_pickle=False, **arrays)


def read(path: Path, signature: Signature) -> Golden:
    """The golden samples of a model of that ``signature``; BundleError where one is missing or cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:

            def array(place: str, spec: TensorSpec) -> Array:
                key = f"{place}.{spec.name}"
                return split_strings(file[key], file[f"ends.{key}"]) if spec.dtype == BYTES else file[key]

            inputs = {spec.name: array("in", spec) for spec in signature.inputs}
            outputs = {spec.name: array("out", spec) for spec in signature.outputs}
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as problem:
        raise BundleError(f"{path} holds no golden samples for this model ({type(problem).__name__}: {first_line(problem)})") from problem
    return Golden(inputs, outputs)
