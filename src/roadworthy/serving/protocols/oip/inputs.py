"""The inputs of one request of the Open Inference Protocol, added one by one, for HTTP and gRPC.

BYTES where the bundle says how an item becomes the model's inputs are items, one element a sample: encoded images, texts or wav files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.types import BYTES, Array
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols import items
from roadworthy.serving.protocols.oip import tensors


class OipInputs:
    """``feeds`` by name, or ``items`` for a model that takes them. Every method raises InvalidRequest for what does not fit."""

    def __init__(self, model: LocalEngine) -> None:
        self.feeds: dict[str, Array] = {}
        self.items: tuple[bytes, ...] = ()
        self._model = model

    def add_json(self, name: str, datatype: object, shape: tuple[int, ...], data: object) -> None:
        """An input whose elements are a JSON list: numbers, booleans, texts, or images in base64."""
        self._check_new(name)
        if datatype != tensors.BYTES:
            self.feeds[name] = tensors.from_json(name, datatype, shape, data)
        elif self._takes_strings(name):
            self.feeds[name] = tensors.strings_from_json(name, shape, data)
        else:
            count = self._count_items(name, shape)
            self.items = tuple(items.of_json(self._model, one, f"input {name!r}") for one in tensors.flatten(name, shape, data)[:count])

    def add_binary(self, name: str, datatype: object, shape: tuple[int, ...], data: memoryview) -> None:
        """An input in the binary form; numbers that lie aligned are not copied."""
        self._check_new(name)
        if datatype != tensors.BYTES:
            self.feeds[name] = tensors.from_binary(name, datatype, shape, data)
        elif self._takes_strings(name):
            self.feeds[name] = tensors.strings_from_binary(name, shape, data)
        else:
            self.items = tensors.split_bytes(name, self._count_items(name, shape), data)

    def add_strings(self, name: str, shape: tuple[int, ...], elements: Sequence[bytes]) -> None:
        """BYTES whose elements are separate already."""
        self._check_new(name)
        if len(elements) != math.prod(shape):
            raise InvalidRequest(f"input {name!r} has shape {list(shape)}, {math.prod(shape)} elements; its contents have {len(elements)}")
        if self._takes_strings(name):
            self.feeds[name] = tensors.strings(elements, shape)
        else:
            self._count_items(name, shape)
            self.items = tuple(elements)

    def add_array(self, name: str, array: Array) -> None:
        """An input that is an array already."""
        self._check_new(name)
        self.feeds[name] = array

    def add_file(self, data: bytes) -> None:
        """``data`` as the one sample of a model of one input: a byte string, or an item."""
        # A long body is a bytearray, and an element of BYTES is bytes. For a body of bytes this makes no copy.
        if self._model.takes_files:
            self.feeds[self._model.signature.inputs[0].name] = tensors.strings([bytes(data)], (1,))
        elif self._model.takes_items:
            self.items = (bytes(data),)
        else:
            raise InvalidRequest(f"{self._model.name} has no rule that turns an image into its input; it takes {takes(self._model)}")

    def add_raw(self, data: memoryview) -> None:
        """``data`` as the only input of the model, its shape inferred from its length: at most one of its sizes may be free."""
        spec = self._model.signature.inputs[0]
        if self._model.takes_files:
            self.add_file(bytes(data))
            return
        if len(self._model.signature.inputs) != 1 or spec.dtype not in tensors.DATATYPES or spec.dtype == BYTES:
            raise InvalidRequest(
                f"a raw binary request is for models of one input of numbers; {self._model.name} takes {takes(self._model)}"
            )
        known = math.prod(size for size in spec.shape if isinstance(size, int)) * np.dtype(spec.dtype).itemsize
        free = sum(isinstance(size, str) for size in spec.shape)
        if free > 1 or not len(data) or len(data) % known:
            raise InvalidRequest(f"a raw binary request for {self._model.name} is a multiple of {known} bytes ({spec}); {len(data)} came")
        shape = tuple(size if isinstance(size, int) else len(data) // known for size in spec.shape)
        self.feeds[spec.name] = tensors.from_binary(spec.name, tensors.DATATYPES[spec.dtype], shape, data)

    def check_any(self) -> None:
        """Raises InvalidRequest where nothing was added."""
        if not self.feeds and not self.items:
            raise InvalidRequest(f"the request has no inputs; the model takes {takes(self._model)}")

    def _check_new(self, name: str) -> None:
        if name in self.feeds or self.items:
            raise InvalidRequest(f"input {name!r} is not an input of the model, or came twice; it takes {takes(self._model)}")

    def _takes_strings(self, name: str) -> bool:
        return any(spec.name == name and spec.dtype == BYTES for spec in self._model.signature.inputs)

    def _count_items(self, name: str, shape: tuple[int, ...]) -> int:
        if name not in self._model.item_names:
            raise InvalidRequest(f"input {name!r} is BYTES; the model takes {takes(self._model)}")
        if self.feeds:
            raise InvalidRequest(f"the request holds {items.several(self._model)} and tensors; send one of the two")
        count = math.prod(shape)
        if not shape or count != shape[0] or not count:
            raise InvalidRequest(
                f"input {name!r} has shape {list(shape)}; {items.several(self._model)} are [n], one BYTES element a sample"
            )
        return count


def takes(model: LocalEngine) -> str:
    """The model's inputs as text."""
    return ", ".join(map(str, model.signature.inputs))
