"""The entry of a TensorFlow graph on disk: which tensors go in and out under which names, as JSON beside the graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from roadworthy.core import codec
from roadworthy.core.errors import RoadworthyError, StepFailed
from roadworthy.core.types import BYTES, Array, BoundInput

ENTRY = "entry.json"


SAVED_MODEL = "model"


GRAPHDEF = "model.pb"


CALL = "__call__"
"""In place of a signature's key for a SavedModel that has no signature and is called itself."""


@dataclass(frozen=True)
class Port:
    """One input or output: ``name`` as the signature has it, ``tensor`` as the model has it.

    ``scalar`` says that the model takes or gives a single value where the signature has one axis of one sample.
    """

    name: str
    tensor: str
    scalar: bool = False


@dataclass(frozen=True)
class Constant:
    """A placeholder that is fed the same value in every call: ``is_training`` with false, say; ``stated`` by the user."""

    tensor: str
    dtype: str
    value: bool | int | float | bytes
    shape: tuple[int, ...] = ()
    stated: bool = False

    @property
    def array(self) -> Array:
        """The value in the shape of the placeholder."""
        return np.full(self.shape, self.value, BYTES if self.dtype == "string" else self.dtype)


def fixed(ports: tuple[Port, ...], bound: tuple[BoundInput, ...]) -> tuple[Constant, ...]:
    """Those of ``ports`` that are ``bound``, as the constants that are fed in their place."""
    values = {one.name: one for one in bound}
    return tuple(
        Constant(port.tensor, _dtype(one), one.value, () if port.scalar else one.shape, stated=True)
        for port in ports
        if (one := values.get(port.name)) is not None
    )


def _dtype(one: BoundInput) -> str:
    return "string" if one.dtype == BYTES else one.dtype


@dataclass(frozen=True)
class GraphEntry:
    """How a model is called. ``signature`` is the SavedModel's key or, where it has none, the name of its
    function (``CALL``: the model itself); empty for a GraphDef.

    ``initialisers`` are operations of a GraphDef that run once when it is opened: they fill its tables.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    signature: str = ""
    constants: tuple[Constant, ...] = ()
    initialisers: tuple[str, ...] = ()


def refuse_tables(entry: GraphEntry) -> None:
    """StepFailed where the graph has tables to fill, which a converter would leave empty."""
    if entry.initialisers:
        raise StepFailed(f"it looks things up in tables ({', '.join(entry.initialisers)} fills them), which TensorFlow alone has")


def write_entry(directory: Path, entry: GraphEntry) -> None:
    """Put ``entry`` beside the model in ``directory``."""
    (directory / ENTRY).write_bytes(codec.to_json(entry))


def read_entry(directory: Path) -> GraphEntry:
    """How the model in ``directory`` is called; StepFailed where that is not said."""
    try:
        return codec.from_json(GraphEntry, (directory / ENTRY).read_bytes())
    except (OSError, RoadworthyError) as problem:
        raise StepFailed(f"{directory} is not a model that Roadworthy wrote: {problem}") from None
