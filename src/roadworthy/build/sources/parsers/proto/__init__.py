"""Messages of the protobuf formats that models come in, by our own descriptions: the ``.proto`` files hold only the fields that are read.

What a message holds beyond them, above all the values of its tensors, is never copied out of the file.
"""

from __future__ import annotations

from typing import Any

from roadworthy.core import descriptors
from roadworthy.core.errors import BackendMissing

FAMILIES = {"onnx": ("onnx.proto",), "tensorflow_graph": ("tensorflow_graph.proto",)}
"""The files of each descriptor set."""


def new(family: str, name: str) -> Any:
    """An empty message; BackendMissing without protobuf."""
    try:
        from google.protobuf.message_factory import GetMessageClass

        return GetMessageClass(descriptors.pool(__name__, family).FindMessageTypeByName(name))()
    except ImportError as problem:
        raise BackendMissing("reading this file needs protobuf; install it with: pip install 'roadworthy[build]'") from problem
