"""Protobuf, FlatBuffer and HDF5 model files written by hand: no framework, ready in milliseconds, hostile where one is asked for."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np

FLOAT, STRING = 1, 7


def varint(value: int) -> bytes:
    value %= 2**64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """A protobuf message: integers as varints, all else with a length before it."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def entry(key: str, value: bytes) -> bytes:
    return message((1, key), (2, value))


def node(op: str, name: str = "", inputs: Iterable[str] = (), **attributes: bytes) -> bytes:
    """A NodeDef; an attribute is an AttrValue."""
    edges = [(3, edge) for edge in inputs]
    return message((1, name or op), (2, op), *edges, *((5, entry(key, value)) for key, value in attributes.items()))


def text(value: str) -> bytes:
    return message((2, value))


def call(function: str) -> bytes:
    return message((10, message((1, function))))


def shape(*sizes: int) -> bytes:
    return message(*((2, message((1, size))) for size in sizes))


def function(name: str, *nodes: bytes) -> bytes:
    return message((1, message((1, name))), *((3, one) for one in nodes))


def graph_def(*nodes: bytes, functions: Iterable[bytes] = ()) -> bytes:
    library = message(*((1, one) for one in functions))
    return message(*((1, one) for one in nodes), *([(2, library)] if library else []), (4, message((1, 1286))))


def tensor_info(name: str, dtype: int = FLOAT, sizes: Iterable[int] = (-1, 4)) -> bytes:
    return message((1, name), (2, dtype), (3, shape(*sizes)))


def signature(key: str = "serving_default", fetched: str = "y:0") -> tuple[int, bytes]:
    return 5, entry(key, message((1, entry("x", tensor_info("x:0"))), (2, entry("y", tensor_info(fetched, sizes=(-1, 2))))))


def saver(save: str = "save:0", restore: str = "restore") -> tuple[int, bytes]:
    return 3, message((1, "file:0"), (2, save), (3, restore))


def meta_graph(graph: bytes, *more: tuple[int, bytes], tags: Iterable[str] = ("serve",)) -> bytes:
    about = message(*((4, tag) for tag in tags), (5, "2.21.0"))
    return message((1, about), (2, graph), *more)


def saved_model(folder: Path, *meta_graphs: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "saved_model.pb").write_bytes(message((1, 1), *((2, graph) for graph in meta_graphs)))
    return folder


ORDINARY = (node("Placeholder", "x"), node("Identity", "y", ["x"]))
SAVING = (
    node("Placeholder", "file"),
    node("SaveV2", "save", ["file", "x"]),
    node("RestoreV2", "restored", ["file"]),
    node("NoOp", "restore", ["^restored"]),
)


def keras_config(*layers: dict[str, Any]) -> dict[str, Any]:
    """A Sequential of ``layers`` as Keras 3 writes it."""
    first = keras_layer("InputLayer", "image", batch_shape=[None, 4], dtype="float32")
    return {
        "module": "keras", "class_name": "Sequential", "registered_name": None,
        "config": {"name": "net", "trainable": True, "layers": [first, *layers]},
    }  # fmt: skip


def keras_layer(kind: str, name: str, module: str | None = "keras.layers", registered: str | None = None, **config: Any) -> dict[str, Any]:
    inner = {"name": name, "trainable": True, **config}
    return {"module": module, "class_name": kind, "config": inner, "registered_name": registered}


def keras_file(path: Path, config: object, **members: bytes) -> Path:
    """A ``.keras`` archive; further members by name."""
    weights = BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((4, 2), np.float32)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", config if isinstance(config, str | bytes) else json.dumps(config))
        for name, data in {"model.weights.h5": weights.getvalue(), **members}.items():
            archive.writestr(name, data)
    return path


def keras_hdf5(path: Path, config: object) -> Path:
    """A whole model as Keras writes it in HDF5."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.4.0"
        file["model_weights/dense/kernel:0"] = np.zeros((4, 2), np.float32)
        file["model_weights"].attrs["layer_names"] = ["dense"]
    return path


def onnx(
    *, location: str | None = None, offset: int = 0, length: int = 16, domain: str = "", local: bool = False, inside: bool = False
) -> bytes:
    """``y = x @ w``, with ``w`` listed as an input as well; ``location`` names a file for it, ``inside`` puts it in an inner graph."""
    where = [(13, entry("location", location.encode())), (13, entry("offset", b"%d" % offset)), (13, entry("length", b"%d" % length))] \
        if location is not None else [(9, struct.pack("<4f", 1, 2, 3, 4))]  # fmt: skip
    weight = message((1, 4), (1, 1), (2, FLOAT), (8, "w"), *where, *([(14, 1)] if location is not None else []))
    ordinary = message((1, 4), (1, 1), (2, FLOAT), (8, "w"), (9, struct.pack("<4f", 1, 2, 3, 4)))
    inner = message((1, "then"), (6, message((5, weight))))
    matmul = message((1, "x"), (1, "w"), (2, "y"), (4, "MatMul"), (7, domain), *([(5, inner)] if inside else []))
    graph = message(
        (1, matmul),
        (5, ordinary if inside else weight),
        (11, _value("x", "batch", 4)),
        (11, _value("w", 4, 1)),
        (12, _value("y", "batch", 1)),
    )
    functions = [(25, message((1, "MatMul"), (10, domain)))] if local else []
    return message((1, 8), (2, "by-hand"), (7, graph), (8, message((1, ""), (2, 17))), *functions)


def _value(name: str, *sizes: int | str) -> bytes:
    dims = message(*((1, message((1, size) if isinstance(size, int) else (2, size))) for size in sizes))
    return message((1, name), (2, message((1, message((1, FLOAT), (2, dims))))))


def tflite(*, op: int = 9, custom: str = "", sizes: tuple[int, ...] = (1, 4), open_batch: bool = True) -> bytes:
    """One operator from ``x`` (quantised, uint8) to ``y``, written with the format's own generated writer."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name: str, buffer: int = 0) -> Any:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name.encode(), list(sizes), schema.TensorType.UINT8, buffer
        made.shapeSignature = [-1, *sizes[1:]] if open_batch else None
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [0.5], [128]
        return made

    operator, code, graph, model = schema.OperatorT(), schema.OperatorCodeT(), schema.SubGraphT(), schema.ModelT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 2], [1]
    code.deprecatedBuiltinCode = code.builtinCode = 32 if custom else op
    code.customCode = custom.encode() or None
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor("x"), tensor("y"), tensor("w", 1)], [0], [1], [operator]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = list(range(16))
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
