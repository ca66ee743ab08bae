"""A SavedModel directory of any age."""

from __future__ import annotations

import stat
from pathlib import Path

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import tf_graph, tf_operators
from roadworthy.build.sources.parsers.protobuf import BYTES, VARINT
from roadworthy.build.sources.parsers.tf_graph import MetaGraph
from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.errors import SourceRefused, SourceUnreadable
from roadworthy.core.stages import Source

KIND = "saved_model"
FRAMEWORK = "tensorflow"
SUFFIXES = ()
GRAPH, IN_PIECES, AS_TEXT = "saved_model.pb", "saved_model.cpb", "saved_model.pbtxt"
SERVING = "serving_default"
SERVE = "serve"
KERAS_2 = "keras_metadata.pb"


def sniff(file: SourceFile) -> bool:
    """A directory with the model's file in any form, or that file alone: its version (1) and its graphs (2)."""
    return any((file.path / name).is_file() for name in (GRAPH, IN_PIECES, AS_TEXT)) or file.fields == {1: VARINT, 2: BYTES}


def inspect(file: SourceFile) -> StaticFacts:
    """Of several meta graphs, the one tagged for serving states the signatures; the operators of all of them count.

    A model without a signature can be called by its functions.
    """
    _check_form(file.path)
    _check_directory(file.path)
    found = tf_graph.saved_model(file.path / GRAPH)
    main = next((graph for graph in found if SERVE in graph.tags), found[0])
    executes = tuple(dict.fromkeys(use for graph in found for use in tf_operators.beyond_computing(graph)))
    keys = tuple(sorted(main.signatures)) or main.methods
    key = SERVING if SERVING in keys else keys[0] if len(keys) == 1 else ""
    return StaticFacts(
        main.tensors,
        main.signatures.get(key),
        executes,
        tuple(_notes(file.path, found, main)),
        keys,
        refusal=tf_operators.refusal(executes),
        open_outputs=True,
    )


def open(source: Source) -> Model:
    """The SavedModel behind one of its signatures; see ``saved_model.read`` for what it raises."""
    from roadworthy.build.sources.tensorflow import saved_model

    return saved_model.read(source)


def _notes(path: Path, found: tuple[MetaGraph, ...], main: MetaGraph) -> list[str]:
    notes = [f"{tf_graph.written_by(main)}, tags {', '.join(map(shown, main.tags)) or 'none'}"]
    notes.append(f"signatures: {', '.join(map(shown, sorted(main.signatures))) or 'none'}")
    if not main.signatures and main.methods:
        notes.append(f"functions: {', '.join(map(shown, main.methods))}")
    if len(found) > 1:
        notes.append(f"{len(found)} graphs, tagged {'; '.join(', '.join(map(shown, graph.tags)) for graph in found)}")
    if main.assets:
        notes.append(f"{main.assets} files in assets/, which its tables read")
    if (path / KERAS_2).is_file():
        notes.append(f"{KERAS_2} describes the Keras 2 model that it was made from; nothing reads it")
    return notes


def _check_form(path: Path) -> None:
    """Some readers prefer another form of the file where there are two: what was inspected would not be what is run."""
    if not path.is_dir():
        raise SourceUnreadable(f"{path} is one file of a SavedModel; give the directory that holds it")
    if (path / IN_PIECES).exists():
        raise SourceUnreadable(f"{path} is a SavedModel in pieces ({IN_PIECES}), which is not read; save it again as {GRAPH}")
    if not (path / GRAPH).is_file():
        raise SourceUnreadable(f"{path} is a SavedModel written as text, which is not read; save it again as {GRAPH}")


def _check_directory(path: Path) -> None:
    """A SavedModel holds regular files and directories; a link in it must not lead to a directory."""
    for file in path.rglob("*"):
        try:
            mode = file.stat().st_mode
        except OSError:
            raise SourceUnreadable(f"{file} is a link that leads nowhere; fetch the SavedModel again") from None
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise SourceRefused(f"{file} is not a regular file, and a SavedModel holds nothing else; remove it")
        if file.is_symlink() and stat.S_ISDIR(mode):
            raise SourceRefused(f"{file} is a link to a directory; put the directory itself there")
