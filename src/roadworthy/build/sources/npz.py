"""A linear map kept in an ``.npz``: ``weight`` [features, classes] and ``bias`` [classes], for the runtime that needs nothing."""

from __future__ import annotations

import math
import shutil
import zipfile
from pathlib import Path

import numpy as np

from roadworthy.build.sources.model import Model
from roadworthy.core.errors import SourceError, SourceUnreadable
from roadworthy.core.stages import Graph, Source
from roadworthy.core.types import BATCH, Array, Arrays, Signature, TensorSpec

FORMAT = "npz"
FILE = "model.npz"
OUTPUT = "output"
PROOF = "a linear map has no training mode"


def read(source: Source) -> Model:
    """The map of ``source``, which flattens its only input; SourceError where the arrays are not a linear map.

    Its input may have any shape of that many features a sample; where nothing says one, it is ``input`` [batch, features].
    """
    weight, bias = _arrays(source.path)
    features = len(weight)

    def call(feeds: Arrays) -> dict[str, Array]:
        taken = [array for array in feeds.values() if array.ndim and math.prod(array.shape[1:]) == features]
        if len(taken) != 1 or len(feeds) != 1:
            given = ", ".join(f"{name}:{array.dtype}{list(array.shape)}" for name, array in feeds.items())
            raise SourceError(f"{source.path} takes one input of {features} features a sample, and not {given}")
        # What overflows does so without a warning, as in every runtime.
        with np.errstate(all="ignore"):
            return {OUTPUT: taken[0].reshape(len(taken[0]), -1).astype(np.float32) @ weight + bias}

    def keep(signature: Signature, out: Path) -> Graph:
        return Graph(FORMAT, Path(shutil.copyfile(source.path, out / FILE)), signature, route="the original")

    default = TensorSpec("input", "float32", (BATCH, features))
    return Model(call, (), keep, weight.size + bias.size, proofs=(PROOF,), otherwise=(default,))


def _arrays(path: Path) -> tuple[Array, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
        raise SourceUnreadable(f"{path} is damaged ({str(problem)[:200]}); fetch it again") from problem
    if set(arrays) != {"weight", "bias"}:
        raise SourceError(f"{path} holds the arrays {', '.join(sorted(arrays)[:8])}; a linear map has weight and bias")
    weight, bias = arrays["weight"], arrays["bias"]
    if weight.ndim != 2 or bias.shape != weight.shape[1:] or weight.dtype.kind != "f" or bias.dtype.kind != "f" or not weight.size:
        raise SourceError(
            f"{path} holds weight {weight.dtype}{list(weight.shape)} and bias {bias.dtype}{list(bias.shape)}; "
            "a linear map has floating weight [features, classes] and bias [classes]"
        )
    return weight.astype(np.float32), bias.astype(np.float32)
