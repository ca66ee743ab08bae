"""The metadata of a TFLite file: how an image becomes its input, and the files of labels in the zip archive behind the model.

Field numbers are those of tflite-support's metadata_schema.fbs, version 1.5.0, and of TFLite's schema.fbs for the model around it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roadworthy.build.sources.parsers import flatbuffer
from roadworthy.build.sources.parsers.flatbuffer import FlatTable
from roadworthy.build.sources.parsers.untrusted import mapped, reading, shown
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.core.errors import SourceUnreadable

BUFFER, IDENTIFIER = "TFLITE_METADATA", b"M001"
IMAGE = 2
"""ContentProperties: ImageProperties."""
UNITS = (
    "", "NormalizationOptions", "ScoreCalibrationOptions", "ScoreThresholdingOptions", "BertTokenizerOptions",
    "SentencePieceTokenizerOptions", "RegexTokenizerOptions",
)  # fmt: skip
"""ProcessUnitOptions, by number."""
COLOURS = {0: "", 1: "RGB", 2: "L"}
"""ColorSpaceType, by number; the first is unknown."""
AXIS_LABELS, VALUE_LABELS = 2, 3
"""AssociatedFileType: names of an axis's entries, and of the whole numbers in a tensor."""
MOST = 1000
"""Entries of each list that are looked at: tensors, process units, files, numbers."""
LABELS_SIZE = 16 * 2**20


@dataclass(frozen=True)
class PixelNormalization:
    """``(pixel - mean) / std``: one number for all channels, or one for each."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class LabelFile:
    """A file of names in the archive behind the model. ``values``: the names are of the numbers in the tensor, not of its columns."""

    name: str
    values: bool
    locale: str


@dataclass(frozen=True)
class TensorMetadata:
    """One input or output. ``image`` says that it is an image; ``color`` is "" where that is unknown, ``size`` (height, width) or None.

    ``units`` names the operations that the caller carries out, in order; ``normalization`` holds the values of the one that is read.
    """

    image: bool = False
    color: str = ""
    size: tuple[int, int] | None = None
    normalization: PixelNormalization | None = None
    units: tuple[str, ...] = ()
    labels: tuple[LabelFile, ...] = ()


@dataclass(frozen=True)
class TfliteMetadata:
    """Inputs and outputs in the order of the first subgraph's."""

    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]


def read(path: Path) -> TfliteMetadata | None:
    """The metadata of the TFLite file at ``path``, None where it has none; SourceUnreadable where it is damaged."""
    with reading(path, "TFLite model"):
        buffer = _buffer(flatbuffer.root(mapped(path)))
    if buffer is None:
        return None
    with reading(path, "TFLite model with metadata"):
        if bytes(buffer[4:8]) != IDENTIFIER:
            raise ValueError(
                f"its metadata is of the version {shown(bytes(buffer[4:8]).decode('latin-1'))!r}, and {IDENTIFIER.decode()} is read"
            )
        graphs = flatbuffer.root(buffer).tables(3)
        if not graphs:
            return None
        return TfliteMetadata(*(tuple(map(_tensor, _few(graphs[0], field))) for field in (2, 3)))


def labels(path: Path, file: LabelFile) -> tuple[str, ...]:
    """The names in ``file``, one a line; SourceUnreadable where the archive behind the model is damaged, or does not hold it."""
    if not zipfile.is_zipfile(path):
        raise SourceUnreadable(f"{path} has no archive behind the model, and its metadata names {shown(file.name)!r} in it")
    with Archive(path) as archive:
        if file.name not in archive.names:
            raise SourceUnreadable(f"the archive behind the model in {path} does not hold {shown(file.name)!r}")
        data = archive.read(file.name, LABELS_SIZE)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceUnreadable(f"{shown(file.name)!r} in {path} is not UTF-8 text") from None
    return tuple(line.strip() for line in text.rstrip().splitlines())


def _buffer(model: FlatTable) -> memoryview | None:
    buffers = model.tables(4)
    for entry in _few(model, 6):
        if entry.text(0) == BUFFER:
            number = int(entry.scalar(1, "I"))
            if number >= len(buffers):
                raise ValueError(f"its metadata is in buffer {number} of {len(buffers)}")
            return buffers[number].raw(0)
    return None


def _tensor(table: FlatTable) -> TensorMetadata:
    content = table.table(3)
    image = content.table(1) if content is not None and content.scalar(0, "B") == IMAGE else None
    units = tuple(_units(table))
    normalizations = [_normalization(options) for name, options in units if name == UNITS[1] and options is not None]
    if len(normalizations) > 1:
        raise ValueError("a tensor has two NormalizationOptions")
    files = tuple(
        LabelFile(one.text(0), kind == VALUE_LABELS, one.text(3))
        for one in _few(table, 6)
        if (kind := int(one.scalar(2, "b"))) in (AXIS_LABELS, VALUE_LABELS)
    )
    return TensorMetadata(
        image is not None,
        COLOURS.get(int(image.scalar(0, "b")), "") if image else "",
        _size(image) if image else None,
        normalizations[0] if normalizations else None,
        tuple(name for name, _ in units),
        files,
    )


def _units(table: FlatTable) -> Iterator[tuple[str, FlatTable | None]]:
    for unit in _few(table, 4):
        number = int(unit.scalar(0, "B"))
        if number:
            yield UNITS[number] if number < len(UNITS) else f"ProcessUnitOptions {number}", unit.table(1)


def _normalization(options: FlatTable) -> PixelNormalization:
    mean, std = (tuple(float(value) for value in options.numbers(field, "f")) for field in (0, 1))
    if not mean or not std or max(len(mean), len(std)) > MOST:
        raise ValueError(f"its NormalizationOptions have {len(mean)} means and {len(std)} standard deviations")
    return PixelNormalization(mean, std)


def _size(image: FlatTable) -> tuple[int, int] | None:
    size = image.table(1)
    if size is None:
        return None
    width, height = (int(size.scalar(field, "I")) for field in (0, 1))
    return (height, width) if height and width else None


def _few(table: FlatTable, field: int) -> tuple[FlatTable, ...]:
    """The tables of a list that no real file has many of."""
    found = table.tables(field)
    if len(found) > MOST:
        raise ValueError(f"its metadata lists {len(found)} entries")
    return found
