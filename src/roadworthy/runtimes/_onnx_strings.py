"""ONNX's types by NumPy's names, and its strings, which are texts, as byte strings and back."""

from __future__ import annotations

import numpy as np

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.types import BYTES, Array

TYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool",
    "tensor(int8)": "int8", "tensor(int16)": "int16", "tensor(int32)": "int32", "tensor(int64)": "int64",
    "tensor(uint8)": "uint8", "tensor(uint16)": "uint16", "tensor(uint32)": "uint32", "tensor(uint64)": "uint64",
    "tensor(string)": BYTES, "tensor(bfloat16)": "bfloat16",
}  # fmt: skip


def decoded(name: str, strings: Array) -> Array:
    """The texts of byte strings; InvalidRequest, naming the input, for bytes that are not UTF-8."""
    texts = np.empty(strings.shape, object)
    for position, string in enumerate(strings.flat):
        try:
            texts.flat[position] = string.decode()
        except UnicodeDecodeError:
            where = [int(index) for index in np.unravel_index(position, strings.shape)]
            raise InvalidRequest(f"input {name!r} holds bytes at {where} that are not UTF-8, and a string of ONNX is text") from None
    return texts


def encoded(texts: Array) -> Array:
    """The byte strings of texts."""
    strings = np.empty(texts.shape, BYTES)
    strings.flat[:] = [text.encode() for text in texts.flat]
    return strings
