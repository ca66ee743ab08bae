"""Keras models as "keras" graphs, and samples for them, without the checks of a deployment's load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.samples import SampleSet, write_array
from roadworthy.core.stages import Graph
from roadworthy.core.types import BATCH, Signature, TensorSpec
from roadworthy.frameworks.tensorflow import keras_model
from roadworthy.frameworks.tensorflow.keras_model import KerasCall, Original, Reader

LENGTH = 12
"""The size of samples along an axis that is free."""


def graph(model: Any, reader: Reader, folder: Path, *, objects: Mapping[str, Any] | None = None, form: str = "zip") -> Graph:
    """``model`` in ``folder``, which is new, in the ``form`` of ``keras_model.MODEL``."""
    folder.mkdir()
    names = tuple(tensor.name.partition(":")[0] for tensor in model.inputs)
    outputs = tuple(f"out{number}" for number in range(len(model.outputs)))
    with keras_model._quiet():
        keras_model.save(
            folder, Original(reader, keras_model.MODEL[form], KerasCall("graph", names, outputs=outputs)), objects or {}, model.save
        )
    inputs = tuple(_spec(name, tensor.shape) for name, tensor in zip(names, model.inputs, strict=True))
    signature = Signature(inputs, tuple(_spec(name, tensor.shape) for name, tensor in zip(outputs, model.outputs, strict=True)))
    return Graph("keras", folder, signature, "the original")


def _spec(name: str, shape: Any) -> TensorSpec:
    return TensorSpec(
        name, "float32", (BATCH, *(f"{name}_{axis}" if size is None else int(size) for axis, size in enumerate(shape) if axis))
    )


def samples(signature: Signature, folder: Path, count: int = 8) -> SampleSet:
    """Noise for ``signature`` in ``folder``, which is new."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for spec in signature.inputs:
        shape = [size if isinstance(size, int) else LENGTH for size in spec.shape[1:]]
        write_array(folder, spec.name, generator.standard_normal((count, *shape)).astype(spec.dtype))
    return SampleSet(folder, tuple(spec.name for spec in signature.inputs), count)
