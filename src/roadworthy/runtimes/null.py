"""A runtime that needs nothing: a linear map kept in an ``.npz``; every package is tested with it in milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from roadworthy.core.errors import UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import Array, Arrays, Signature

RUNS: tuple[str, ...] = ("npz",)
PACKAGES: tuple[str, ...] = ()
FRAMEWORK = False
NATIVE = False


def load(path: Path, signature: Signature, plan: Plan) -> NullSession:
    """The session of ``path/model.npz`` (or of the file itself): ``weight`` [features, classes] and ``bias`` [classes]."""
    if plan.precision not in ("fp32", "fp64"):
        raise UsageError(f"the null runtime has no {plan.precision}")
    dtype = np.float64 if plan.precision == "fp64" else np.float32
    with np.load(path / "model.npz" if path.is_dir() else path, allow_pickle=False) as file:
        return NullSession(file["weight"].astype(dtype), file["bias"].astype(dtype), signature)


class NullSession:
    """Flattens its only input and applies the map."""

    def __init__(self, weight: Array, bias: Array, signature: Signature) -> None:
        self._weight, self._bias = weight, bias
        self._input, self._output = signature.inputs[0].name, signature.outputs[0].name

    def run(self, feeds: Arrays) -> Arrays:
        x = feeds[self._input]
        # What overflows does so in silence, as in every other runtime.
        with np.errstate(all="ignore"):
            return {self._output: x.reshape(len(x), -1).astype(self._weight.dtype) @ self._weight + self._bias}

    def close(self) -> None:
        pass
