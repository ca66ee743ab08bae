"""A TFLite file."""

from __future__ import annotations

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import tflite as parsers_tflite
from roadworthy.build.sources.parsers.tf_operators import refusal
from roadworthy.build.sources.parsers.tflite import TfliteFile
from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.build.sources.pixels import tflite_nodes
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
    usual = found.usual
    shown_first = None if usual is None else next((one for one in found.signatures if one.key == usual), found.bare)
    return StaticFacts(
        found.tensors,
        shown_first.signature if shown_first else None,
        found.executes,
        tuple(_notes(found)),
        signatures=tuple(one.key for one in found.signatures),
        refusal=refusal(found.executes),
        inner=tflite_nodes.read(file.path, shown_first) if shown_first else (),
    )


def open(source: Source) -> Model:
    """The model in the runtime that takes such files as they are; see ``tflite.reader.read`` for what it raises."""
    from roadworthy.build.sources.tflite import reader

    return reader.read(source)


def _notes(found: TfliteFile) -> list[str]:
    notes = [f"operators: {', '.join(found.operators)}"]
    if found.custom:
        notes.append(f"operators that are not TFLite's own: {', '.join(found.custom)}")
    if found.variables:
        notes.append(f"{found.variables} operators on variables: it was converted without freezing them, and may give wrong answers")
    for one in found.signatures:
        given, answered = (", ".join(shown(str(spec)) for spec in side) for side in (one.signature.inputs, one.signature.outputs))
        notes.append(f"signature {shown(one.key)}: {given} -> {answered}")
    functions = (*found.signatures, *(() if found.signatures else (found.bare,)))
    specs = [spec for one in functions for spec in (*one.signature.inputs, *one.signature.outputs)]
    quantised = {spec.name: spec.quantization for spec in specs if spec.quantization}
    return notes + [f"{shown(name)} stands for (q - {one.zero_point}) * {one.scale:.6g}" for name, one in quantised.items()]
