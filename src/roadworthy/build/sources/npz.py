"""A linear map kept in an ``.npz``: ``weight`` [features, classes] and ``bias`` [classes], for the runtime that needs nothing."""

from __future__ import annotations

import math
import shutil
import zipfile
from pathlib import Path

import numpy as np

from roadworthy.core.errors import SourceError, SourceUnreadable
from roadworthy.core.stages import Graph, Source
from roadworthy.core.types import BATCH, Signature, TensorSpec

PROOF = "a linear map has no training mode, and each sample's answer is its own"


def read(source: Source, inputs: tuple[TensorSpec, ...], out: Path) -> tuple[Graph, int]:
    """The graph at ``out`` and how many parameters it has; SourceError where the arrays or the input do not make a linear map."""
    try:
        with np.load(source.path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
        raise SourceUnreadable(f"{source.path} is damaged ({str(problem)[:200]}); fetch it again") from problem
    if set(arrays) != {"weight", "bias"}:
        raise SourceError(f"{source.path} holds the arrays {', '.join(sorted(arrays)[:8])}; a linear map has weight and bias")
    weight, bias = arrays["weight"], arrays["bias"]
    if weight.ndim != 2 or bias.shape != weight.shape[1:] or weight.dtype.kind != "f" or bias.dtype.kind != "f" or not weight.size:
        raise SourceError(
            f"{source.path} holds weight {weight.dtype}{list(weight.shape)} and bias {bias.dtype}{list(bias.shape)}; "
            "a linear map has floating weight [features, classes] and bias [classes]"
        )
    features, classes = weight.shape
    spec = inputs[0] if inputs else TensorSpec("input", "float32", (BATCH, features))
    sizes = [size for size in spec.sample_shape if isinstance(size, int)]
    if len(inputs) > 1 or not spec.batched or math.prod(sizes) != features:
        raise SourceError(f"{source.path} takes one input of {features} features a sample, and not {', '.join(map(str, inputs))}")
    path = out / "model.npz"
    shutil.copyfile(source.path, path)
    signature = Signature((spec,), (TensorSpec("output", "float32", (BATCH, classes)),))
    return Graph("npz", path, signature, route="as it is"), weight.size + bias.size
