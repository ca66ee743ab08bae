"""The first operators of a TFLite graph that scale pixels."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.sources.parsers import flatbuffer, tflite
from roadworthy.build.sources.parsers.tflite import TfliteSignature
from roadworthy.build.sources.parsers.untrusted import mapped, reading
from roadworthy.build.sources.pixels.graph_nodes import TensorNode, first_layers
from roadworthy.core.stages import InnerLayer

SIGNS = {"ADD": "+", "SUB": "-", "MUL": "*", "DIV": "/", "CAST": "="}
FLOAT = 0
CHANNELS = (1, 3)


def read(path: Path, chosen: TfliteSignature) -> tuple[InnerLayer, ...]:
    """What the graph behind ``chosen`` does to its only input, where that is a picture; SourceUnreadable where the file is damaged."""
    if len(chosen.signature.inputs) != 1 or len(chosen.signature.inputs[0].shape) != 4:
        return ()
    with reading(path, "TFLite model"):
        model = flatbuffer.root(mapped(path))
        graph = model.tables(2)[chosen.subgraph]
        inputs = graph.numbers(1, "i")
        if len(inputs) != 1:
            return ()
        codes = [tflite.operator(code)[0] for code in model.tables(1)]
        tensors, buffers = graph.tables(0), model.tables(4)
        nodes = [_node(one, codes, tensors) for one in graph.tables(3)]
        return first_layers(
            str(inputs[0]), nodes, lambda name: _values(tensors[int(name)], buffers), grey=1 in chosen.signature.inputs[0].shape[1:]
        )


def _node(operator: flatbuffer.FlatTable, codes: list[str], tensors: tuple[flatbuffer.FlatTable, ...]) -> TensorNode:
    given, made = (tuple(int(number) for number in operator.numbers(field, "i")) for field in (1, 2))
    index = int(operator.scalar(0, "I"))
    sign = SIGNS.get(codes[index], "") if index < len(codes) else ""
    # The operator has no name of its own; its result has.
    name = tensors[made[0]].text(3) if made and 0 <= made[0] < len(tensors) else ""
    return TensorNode(name, sign, tuple(map(str, given)), tuple(map(str, made)))


def _values(tensor: flatbuffer.FlatTable, buffers: tuple[flatbuffer.FlatTable, ...]) -> tuple[float, ...]:
    """One float32 number, or one for each channel; empty for all others."""
    buffer = int(tensor.scalar(2, "I"))
    if int(tensor.scalar(1, "b")) != FLOAT or not 0 < buffer < len(buffers) or any(size not in CHANNELS for size in tensor.numbers(0, "i")):
        return ()
    size = buffers[buffer].length(0)
    return tuple(map(float, buffers[buffer].floats(0))) if size in [4 * count for count in CHANNELS] else ()
