"""The metadata of TFLite files, written by hand after metadata_schema.fbs, and image models that carry them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from roadworthy.core.types import Quantization
from support.files import tflite_models
from support.files.tflite_models import Operator, Tensor

NORMALIZATION, CALIBRATION = 1, 2
AXIS, VALUES = 2, 3


@dataclass(frozen=True)
class Written:
    """The fields that the tests vary; None leaves one out. ``color`` is ColorSpaceType's number, ``files`` (name, type, locale)."""

    color: int | None = 1
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = (127.5,)
    std: tuple[float, ...] | None = (127.5,)
    image: bool = True
    extra_units: tuple[int, ...] = ()
    files: tuple[tuple[str, int, str], ...] = (("labels.txt", AXIS, ""),)
    output_units: tuple[int, ...] = ()
    identifier: bytes = b"M001"


def image_model(
    path: Path,
    shape: tuple[int, ...] = (1, 4, 6, 3),
    dtype: str = "float32",
    quantization: Quantization | None = None,
    outputs: int = 5,
) -> Path:
    """An image to the mean of each channel, and on to ``outputs`` scores; only its tensors matter here."""
    weight = np.zeros((outputs, 3), np.float32)
    tensors = [
        Tensor("image", dtype, shape, None, quantization),
        Tensor("axes", "int32", (2,), np.array([1, 2], np.int32)),
        Tensor("mean", "float32", (1, 3)),
        Tensor("weight", "float32", weight.shape, weight),
        Tensor("scores", "float32", (1, outputs)),
    ]
    operators = [
        Operator("MEAN", ("image", "axes"), ("mean",), schema.ReducerOptionsT()),
        tflite_models.connected("mean", "scores", "weight"),
    ]
    return tflite_models.write(path, tensors, operators, ["image"], ["scores"])


def add(path: Path, written: Written | bytes, files: Mapping[str, bytes] | None = None) -> Path:
    """Write the metadata into the file at ``path``, and ``files`` into the archive behind it."""
    model = schema.ModelT.InitFromPackedBuf(bytearray(path.read_bytes()))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(written if isinstance(written, bytes) else metadata(written), np.uint8)
    entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [entry]
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    if files:
        with zipfile.ZipFile(path, "a") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    return path


def metadata(written: Written) -> bytes:
    """The buffer of the metadata."""
    builder = flatbuffers.Builder(1024)
    given = _tensor(builder, _content(builder, written), _units(builder, written), None)
    answered = _tensor(builder, None, _plain_units(builder, written.output_units), _files(builder, written.files))
    inputs, outputs = _list(builder, [given]), _list(builder, [answered])
    graph = _table(builder, 9, {2: inputs, 3: outputs})
    whole = _table(builder, 8, {3: _list(builder, [graph])})
    builder.Finish(whole, written.identifier)
    return bytes(builder.Output())


def _tensor(builder: flatbuffers.Builder, content: int | None, units: int | None, files: int | None) -> int:
    return _table(builder, 7, {3: content, 4: units, 6: files})


def _content(builder: flatbuffers.Builder, written: Written) -> int:
    if not written.image:
        return _table(builder, 3, {1: _table(builder, 0, {})}, {0: ("Uint8", 1)})
    size = None
    if written.size is not None:
        height, width = written.size
        size = _table(builder, 2, {}, {0: ("Uint32", width), 1: ("Uint32", height)})
    color = {} if written.color is None else {0: ("Int8", written.color)}
    return _table(builder, 3, {1: _table(builder, 2, {1: size}, color)}, {0: ("Uint8", 2)})


def _units(builder: flatbuffers.Builder, written: Written) -> int | None:
    made = []
    if written.mean is not None or written.std is not None:
        values = {slot: None if each is None else _floats(builder, each) for slot, each in enumerate((written.mean, written.std))}
        made.append(_table(builder, 2, {1: _table(builder, 2, values)}, {0: ("Uint8", NORMALIZATION)}))
    made += [_unit(builder, kind) for kind in written.extra_units]
    return _list(builder, made) if made else None


def _plain_units(builder: flatbuffers.Builder, kinds: tuple[int, ...]) -> int | None:
    return _list(builder, [_unit(builder, kind) for kind in kinds]) if kinds else None


def _unit(builder: flatbuffers.Builder, kind: int) -> int:
    return _table(builder, 2, {1: _table(builder, 2, {})}, {0: ("Uint8", kind)})


def _files(builder: flatbuffers.Builder, files: tuple[tuple[str, int, str], ...]) -> int | None:
    made = []
    for name, kind, locale in files:
        texts = {0: builder.CreateString(name), 3: builder.CreateString(locale) if locale else None}
        made.append(_table(builder, 5, texts, {2: ("Int8", kind)}))
    return _list(builder, made) if made else None


def _table(
    builder: flatbuffers.Builder, slots: int, offsets: Mapping[int, int | None], scalars: Mapping[int, tuple[str, int]] | None = None
) -> int:
    builder.StartObject(slots)
    for slot, offset in offsets.items():
        if offset is not None:
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, (kind, value) in (scalars or {}).items():
        getattr(builder, f"Prepend{kind}Slot")(slot, value, -1 if kind == "Int8" else 0)
    return int(builder.EndObject())


def _list(builder: flatbuffers.Builder, tables: list[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())


def _floats(builder: flatbuffers.Builder, values: tuple[float, ...]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())
