"""Files as Keras 2 before tf-keras left them: the configuration written by hand, and what it meant in NumPy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Row = dict[str, Any]


def layer(kind: str, name: str, **arguments: Any) -> Row:
    return {"class_name": kind, "config": {"name": name, "trainable": True, **arguments}}


def source(name: str, *shape: int, **arguments: Any) -> Row:
    return {"class_name": "InputLayer", "config": {"name": name, "batch_input_shape": [None, *shape], "dtype": "float32", **arguments}}


def write(path: Path, layers: list[Row], weights: dict[str, dict[str, Any]], version: str = "2.2.4", backend: str = "tensorflow") -> Path:
    """A Sequential; ``weights`` by layer and by name. An empty ``version`` is not written."""
    config = {"class_name": "Sequential", "config": {"name": "net", "layers": layers}}
    attributes = {"backend": backend.encode(), **({"keras_version": version.encode()} if version else {})}
    with h5py.File(path, "w") as file:
        file.attrs.update({"model_config": json.dumps(config).encode(), **attributes})
        group = file.create_group("model_weights")
        group.attrs.update({"layer_names": [row["config"]["name"].encode() for row in layers], **attributes})
        for row in layers:
            own, name = weights.get(row["config"]["name"], {}), row["config"]["name"]
            inner = group.create_group(name)
            inner.attrs["weight_names"] = [f"{name}/{part}".encode() for part in own]
            for part, values in own.items():
                inner[f"{name}/{part}"] = np.asarray(values, np.float32)
    return path


def noise(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def hard_sigmoid(x: Any) -> Any:
    """Keras 2's."""
    return np.clip(0.2 * x + 0.5, 0, 1)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def lstm(x: Any, kernel: Any, recurrent: Any, bias: Any, gate: Callable[[Any], Any]) -> Any:
    """The last output of an LSTM over ``x`` [samples, steps, features]."""
    h = c = np.zeros((len(x), recurrent.shape[0]), np.float32)
    for step in range(x.shape[1]):
        i, f, g, o = np.split(x[:, step] @ kernel + h @ recurrent + bias, 4, axis=1)
        c = gate(f) * c + gate(i) * np.tanh(g)
        h = gate(o) * np.tanh(c)
    return h


def gru(x: Any, kernel: Any, recurrent: Any, bias: Any, gate: Callable[[Any], Any]) -> Any:
    """The last output of a GRU that resets its state before the matrix multiplication, as Keras 2 did."""
    h = np.zeros((len(x), recurrent.shape[0]), np.float32)
    for step in range(x.shape[1]):
        xz, xr, xh = np.split(x[:, step] @ kernel + bias, 3, axis=1)
        wz, wr, wh = np.split(recurrent, 3, axis=1)
        z, r = gate(xz + h @ wz), gate(xr + h @ wr)
        h = z * h + (1 - z) * np.tanh(xh + (r * h) @ wh)
    return h


def convolution(x: Any, kernel: Any) -> Any:
    """A true convolution, as Theano computes it, of ``x`` [samples, height, width, channels] without padding: the kernel is mirrored."""
    mirrored = kernel[::-1, ::-1]
    rows, columns = x.shape[1] - kernel.shape[0] + 1, x.shape[2] - kernel.shape[1] + 1
    out = np.zeros((len(x), rows, columns, kernel.shape[3]), np.float32)
    for row in range(rows):
        for column in range(columns):
            patch = x[:, row : row + kernel.shape[0], column : column + kernel.shape[1]]
            out[:, row, column] = np.tensordot(patch, mirrored, ((1, 2, 3), (0, 1, 2)))
    return out


def bilinear(x: Any, factor: int, *, centres: bool) -> Any:
    """``x`` [samples, height, width, channels] enlarged; sampled at the pixels' corners as TensorFlow 1 did, or at their centres."""
    for axis in (1, 2):
        size = x.shape[axis]
        at = (np.arange(size * factor) + 0.5) / factor - 0.5 if centres else np.arange(size * factor) / factor
        at = np.clip(at, 0, size - 1)
        low = np.floor(at).astype(int)
        part = (at - low).reshape([-1 if one == axis else 1 for one in range(4)])
        x = np.take(x, low, axis) * (1 - part) + np.take(x, np.minimum(low + 1, size - 1), axis) * part
    return x
