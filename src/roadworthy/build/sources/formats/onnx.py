"""An ONNX file, with its weights inside or in files beside it."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import onnx as parsers_onnx
from roadworthy.build.sources.parsers.onnx import OnnxFile
from roadworthy.build.sources.parsers.protobuf import BYTES, VARINT
from roadworthy.build.sources.parsers.untrusted import listed, shown
from roadworthy.build.sources.pixels import onnx_nodes
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.stages import Source
from roadworthy.core.types import UNKNOWN

KIND = "onnx"
FRAMEWORK = "onnx"
SUFFIXES = (".onnx",)
QUANTISED = True
NO_TENSOR = "is a sequence, a map or an optional value, and no request carries one"


def sniff(file: SourceFile) -> bool:
    """A ModelProto: its version (1), a number, and its graph (7), a message."""
    return file.fields.get(1) == VARINT and file.fields.get(7) == BYTES


def inspect(file: SourceFile) -> StaticFacts:
    """Weights in other files belong to the source as the model's own bytes do."""
    found = parsers_onnx.read(file.path)
    files = parsers_onnx.external_files(file.path, found)
    return StaticFacts(
        found.tensors,
        found.signature,
        notes=tuple(_notes(found, files)),
        unsupported=_unsupported(found),
        files=files,
        open_outputs=True,
        inner=onnx_nodes.read(found.graph, found.signature),
    )


def open(source: Source) -> Model:
    """The model in the runtime that takes such files as they are; see ``onnx.reader.read`` for what it raises."""
    from roadworthy.build.sources.onnx import reader

    return reader.read(source)


def _unsupported(found: OnnxFile) -> str:
    if found.foreign:
        foreign = listed(tuple(map(shown, found.foreign)))
        return f"calls operators of a library that is not in the file ({foreign}); export it with standard operators"
    if others := [spec.name for spec in found.signature.inputs if spec.dtype == UNKNOWN]:
        return f"takes {shown(others[0])!r}, which {NO_TENSOR}; export it with tensors alone"
    return ""


def _notes(found: OnnxFile, files: tuple[Path, ...]) -> list[str]:
    sets = ", ".join(f"{shown(domain) or 'ai.onnx'} {version}" for domain, version in found.opsets)
    notes = [f"written by {shown(found.producer) or 'an unknown tool'}, operator sets: {sets or 'none'}"]
    for spec in found.signature.outputs:
        if spec.dtype == UNKNOWN:
            notes.append(f"the output {shown(spec.name)!r} {NO_TENSOR}; the tensors that it is made of are given in its place")
    if files:
        notes.append(f"weights in {', '.join(shown(file.name) for file in files)}")
    return notes
