"""A TensorFlow 1 checkpoint: the graph of its ``.meta`` file, and beside it its variables in other files."""

from __future__ import annotations

import builtins
import re
from pathlib import Path

from roadworthy.build.sources.model import Model
from roadworthy.build.sources.parsers import tf_graph, tf_operators
from roadworthy.build.sources.parsers.protobuf import BYTES
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.build.sources.tensorflow import static_outputs
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.stages import Source

KIND = "tf1"
FRAMEWORK = "tensorflow"
SUFFIXES = (".meta",)
SORTED_TABLE = (0xDB4775248B80FB57).to_bytes(8, "little")
"""The last bytes of a checkpoint's index (LevelDB's table format)."""
SHARD = re.compile(r"(.*)\.data-\d{5}-of-\d{5}")
LATEST = re.compile(r'^model_checkpoint_path:\s*"([^"]*)"', re.MULTILINE)


def sniff(file: SourceFile) -> bool:
    """A MetaGraphDef: what it is about (1), a graph (2) and a saver (3), all of them messages.

    In a GraphDef field 3 is a number (``formats/graphdef.py``), in an ONNX model field 1 (``formats/onnx.py``).
    """
    kinds = file.fields
    return (kinds.get(1, BYTES), kinds.get(2), kinds.get(3)) == (BYTES,) * 3 and set(kinds) <= set(range(1, 9))


def inspect(file: SourceFile) -> StaticFacts:
    """The weights' names and shapes are in the ``.meta`` file too."""
    graph = tf_graph.meta_graph(file.path)
    executes = tf_operators.beyond_computing(graph)
    return StaticFacts(
        graph.tensors,
        executes=executes,
        notes=(tf_graph.described(graph), tf_graph.written_by(graph), *static_outputs.notes(graph)),
        files=_beside(file.path),
        refusal=tf_operators.refusal(executes),
        open_outputs=True,
    )


def open(source: Source) -> Model:
    """The graph with the values of its variables; see ``tf1.read`` for what it raises."""
    from roadworthy.build.sources.tensorflow import checkpoint

    return checkpoint.read(source)


def locate(path: Path) -> Path | None:
    """The ``.meta`` file of the checkpoint that ``path`` names; ``None`` where it names something else.

    A checkpoint may be named by any of its files, by the prefix they share (which is no file), or by a directory whose
    ``checkpoint`` file names the latest. Raises SourceUnreadable where there is no graph beside the weights.
    """
    if path.is_dir():
        if (path / "saved_model.pb").is_file() or not (path / "checkpoint").is_file():
            return None
        return _graph_of(_latest(path), path)
    if path.suffix == ".index" and path.is_file() and _ends_as_table(path):
        return _graph_of(path.with_suffix(""), path)
    if (shard := SHARD.fullmatch(path.name)) and path.is_file():
        return _graph_of(path.with_name(shard[1]), path)
    if (not path.exists() and _with(path, ".index").is_file()) or (path.is_file() and _with(path, ".meta").is_file()):
        return _graph_of(path, path)
    return None


def _beside(graph: Path) -> tuple[Path, ...]:
    """The other files of the checkpoint, in order of their names; SourceUnreadable when some are missing.

    The format of before 2016 has all its weights in one file without an index.
    """
    prefix = graph.with_suffix("")
    shards = sorted(path for path in graph.parent.iterdir() if (match := SHARD.fullmatch(path.name)) and match[1] == prefix.name)
    index = _with(prefix, ".index")
    if prefix.is_file() and not index.is_file():
        return (prefix,)
    if not index.is_file() or not shards:
        missing = index.name if not index.is_file() else f"{prefix.name}.data-00000-of-00001"
        raise SourceUnreadable(f"{graph} is the graph of a checkpoint, and {missing} is not beside it; put all its files in one directory")
    count = int(shards[0].name[-5:])
    if [path.name[-14:] for path in shards] != [f"{number:05}-of-{count:05}" for number in range(count)]:
        raise SourceUnreadable(f"{prefix} is a checkpoint of {count} data files, and not all of them are there; fetch it again")
    return tuple(sorted((index, *shards)))


def _latest(directory: Path) -> Path:
    try:
        match = LATEST.search((directory / "checkpoint").read_bytes()[:65536].decode(errors="replace"))
    except OSError as problem:
        raise SourceUnreadable(f"{directory / 'checkpoint'} cannot be read: {problem.strerror}") from None
    # The path is the one on the machine that trained; the files lie here.
    name = match[1].replace("\\", "/").rpartition("/")[2] if match else ""
    if name in ("", ".", ".."):
        raise SourceUnreadable(f"{directory / 'checkpoint'} names no checkpoint; give the .meta file of the one that is meant")
    return directory / name


def _graph_of(prefix: Path, named: Path) -> Path:
    graph = _with(prefix, ".meta")
    if not graph.is_file():
        raise SourceUnreadable(
            f"{named} is a checkpoint without its graph ({graph.name}): TensorFlow 2 keeps weights alone in one; "
            "save the model itself, as a SavedModel or .keras file"
        )
    return graph


def _with(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


def _ends_as_table(path: Path) -> bool:
    with builtins.open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - len(SORTED_TABLE)))
        return file.read() == SORTED_TABLE
