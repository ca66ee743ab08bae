"""The parts of a TensorFlow.js graph model: nodes as JSON, constants, and the weights' files in shards."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.nhwc.program import NhwcTensor
from roadworthy.build.onnx_graph import Sizes
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array

MODEL = "model.json"
SHARD = 4 * 1024 * 1024
"""Bytes of one file of weights: a browser keeps files of this size in its cache."""
DTYPES = {
    "float32": "DT_FLOAT", "int64": "DT_INT32", "int32": "DT_INT32", "int8": "DT_INT32", "uint8": "DT_INT32", "bool": "DT_BOOL",
}  # fmt: skip
"""TensorFlow.js computes in these three; whole numbers of every other width are int32 there."""
STORED = {"DT_FLOAT": "float32", "DT_INT32": "int32", "DT_BOOL": "bool"}
INT32 = np.iinfo(np.int32)


class GraphModel:
    """One graph. A value is the name of its node."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self._constants: list[tuple[str, Array]] = []

    def node(self, op: str, inputs: Iterable[str] = (), **attributes: object) -> str:
        """The name of a new node; attributes are whole numbers and lists of them, floats, flags, words and lists of them, dtypes, sizes."""
        # The inputs first: asking for one may make its node.
        given = list(inputs)
        name = f"n{len(self.nodes)}"
        made: dict[str, Any] = {"name": name, "op": op}
        if given:
            made["input"] = given
        if attributes:
            made["attr"] = {key: _attribute(value) for key, value in attributes.items()}
        self.nodes.append(made)
        return name

    def placeholder(self, tensor: NhwcTensor) -> str:
        """The name of a new input."""
        return self.node("Placeholder", dtype=_DtypeWord(DTYPES[tensor.dtype]), shape=_SizesOf(tensor.shape))

    def cast(self, value: str, dtype: str) -> str:
        """The value as numbers of another dtype."""
        return self.node("Cast", (value,), DstT=_DtypeWord(DTYPES[dtype]))

    def constant(self, array: Array) -> str:
        """The name of a new constant. Raises StepFailed for whole numbers that int32 does not hold."""
        if array.dtype.kind in "iu" and array.size and (array.min() < INT32.min or array.max() > INT32.max):
            raise StepFailed("a constant holds whole numbers beyond 32 bits, and TensorFlow.js has none")
        dtype = DTYPES[array.dtype.name]
        name = self.node("Const", dtype=_DtypeWord(dtype))
        self._constants.append((name, array.astype(STORED[dtype])))
        return name

    def numbers(self, numbers: Iterable[int]) -> str:
        """A constant of whole numbers, as nodes take shapes and axes."""
        return self.constant(np.array(list(numbers), np.int32))

    def number(self, number: float) -> str:
        """A constant of one number without axes."""
        return self.constant(np.array(number, np.float32))

    def write(self, out: Path, inputs: Mapping[str, tuple[str, NhwcTensor]], outputs: Mapping[str, tuple[str, NhwcTensor]]) -> None:
        """Write ``model.json`` and its weights into ``out``; inputs and outputs are nodes by the names that a caller knows."""
        content = b"".join(np.ascontiguousarray(array).tobytes() for _, array in self._constants)
        parts = [content[start : start + SHARD] for start in range(0, len(content), SHARD)]
        paths = [f"group1-shard{number}of{len(parts)}.bin" for number in range(1, len(parts) + 1)]
        for path, part in zip(paths, parts, strict=True):
            (out / path).write_bytes(part)
        weights = [{"name": name, "shape": list(array.shape), "dtype": array.dtype.name} for name, array in self._constants]
        model = {
            "format": "graph-model",
            "generatedBy": "roadworthy",
            "convertedBy": None,
            "signature": {"inputs": _ports(inputs), "outputs": _ports(outputs)},
            "modelTopology": {"node": self.nodes, "library": {}, "versions": {"producer": 1882}},
            "weightsManifest": [{"paths": paths, "weights": weights}],
        }
        (out / MODEL).write_text(json.dumps(model, separators=(",", ":")))


class _DtypeWord(str):
    """A dtype's word, where an attribute is a dtype and not a text."""


class _SizesOf(tuple[int | None, ...]):
    """Sizes, where an attribute is a shape and not a list of numbers."""


def _attribute(value: object) -> dict[str, Any]:
    """The value as TensorFlow's JSON has it: texts are base64, whole numbers are texts."""
    match value:
        case _DtypeWord():
            return {"type": str(value)}
        case _SizesOf():
            return {"shape": _sizes(value)}
        case bool():
            return {"b": value}
        case int():
            return {"i": str(value)}
        case float():
            return {"f": value}
        case str():
            return {"s": _text(value)}
        case [str(), *_]:
            return {"list": {"s": [_text(one) for one in value]}}
        case [*numbers]:
            return {"list": {"i": [str(one) for one in numbers]}}
        case _:
            raise TypeError(f"no attribute of TensorFlow's JSON: {value!r}")


def _text(text: object) -> str:
    return b64encode(str(text).encode()).decode()


def _sizes(sizes: Sizes) -> dict[str, Any]:
    return {"dim": [{"size": str(-1 if size is None else size)} for size in sizes]}


def _ports(ports: Mapping[str, tuple[str, NhwcTensor]]) -> dict[str, Any]:
    return {
        name: {"name": f"{node}:0", "dtype": DTYPES[tensor.dtype], "tensorShape": _sizes(tensor.shape)}
        for name, (node, tensor) in ports.items()
    }
