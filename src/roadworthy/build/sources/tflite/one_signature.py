"""One of several signatures of a TFLite file as a file of its own: its subgraph first, its tensors under its names, no other signature.

A runtime that knows no signatures, or only those of the first subgraph, then runs the right one under the right names.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from roadworthy.build.sources.parsers.tflite import TfliteSignature
from roadworthy.core import registry
from roadworthy.core.errors import SourceError

BEHIND = 1
"""A buffer whose offset is above this lies behind the FlatBuffer, as in files above 2 GB."""


def extracted(path: Path, chosen: TfliteSignature) -> bytes:
    """The file at ``path`` with ``chosen`` alone.

    Raises SourceError where its weights lie behind the FlatBuffer, BackendMissing where no runtime
    for such files is installed.
    """
    registry.runtime(registry.runtime_for("tflite"))  # brings both packages, or says how to install them
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(path.read_bytes()))
    if any(buffer.offset > BEHIND for buffer in model.buffers):
        raise SourceError(f"{path} is too large for one of its signatures to be taken out; convert each signature to a file of its own")
    definition = model.signatureDefs[chosen.number]
    _bring_to_front(model, chosen.subgraph)
    definition.subgraphIndex = 0
    model.signatureDefs = [definition]
    _name(model.subgraphs[0].tensors, (*definition.inputs, *definition.outputs))
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _bring_to_front(model: Any, number: int) -> None:
    """Exchange the first subgraph with that of ``number``, also where an If or a While names either."""
    if not number:
        return
    graphs = model.subgraphs
    graphs[0], graphs[number] = graphs[number], graphs[0]
    other = {0: number, number: 0}
    for operator in (operator for graph in graphs for operator in graph.operators or ()):
        for options in (operator.builtinOptions, operator.builtinOptions2):
            for field, value in list(vars(options).items() if options is not None else ()):
                if "subgraph" in field.lower():
                    setattr(options, field, other.get(value, value) if isinstance(value, int) else [other.get(one, one) for one in value])


def _name(tensors: list[Any], ports: Iterable[Any]) -> None:
    """Give the tensors of the signature its own names, where no other tensor of the subgraph has them."""
    ports = list(ports)
    outside = {port.tensorIndex for port in ports}
    inner = {tensor.name for number, tensor in enumerate(tensors) if number not in outside}
    if not inner.intersection(port.name for port in ports):
        for port in ports:
            tensors[port.tensorIndex].name = port.name
