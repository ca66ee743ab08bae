"""A TFLite file."""

from __future__ import annotations

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import tflite as parsers_tflite
from roadworthy.build.sources.parsers.tf_operators import refusal
from roadworthy.build.sources.parsers.tflite import TfliteFile
from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.stages import Source

KIND = "tflite"
FRAMEWORK = "tensorflow"
SUFFIXES = (".tflite",)
QUANTISED = True


def sniff(file: SourceFile) -> bool:
    """The name of the format, where a FlatBuffer has it."""
    return file.head[4:8] == b"TFL3"


def inspect(file: SourceFile) -> StaticFacts:
    """Operators that TFLite's own interpreter does not have are named; whether the runtime brings them is known when it opens the file."""
    found = parsers_tflite.read(file.path)
    return StaticFacts(found.tensors, found.signature, found.executes, tuple(_notes(found)), refusal=refusal(found.executes))


def open(source: Source) -> Model:
    """The model in the runtime that takes such files as they are; see ``tflite.read`` for what it raises."""
    from roadworthy.build.sources import tflite

    return tflite.read(source)


def _notes(found: TfliteFile) -> list[str]:
    notes = [f"operators: {', '.join(found.operators)}"]
    if found.custom:
        notes.append(f"operators that are not TFLite's own: {', '.join(found.custom)}")
    if found.variables:
        notes.append(f"{found.variables} operators on variables: it was converted without freezing them, and may give wrong answers")
    if found.key:
        notes.append(f"signature {shown(found.key)}")
    for spec in (*found.signature.inputs, *found.signature.outputs):
        if spec.quantization:
            notes.append(f"{shown(spec.name)} stands for (q - {spec.quantization.zero_point}) * {spec.quantization.scale:.6g}")
    return notes
