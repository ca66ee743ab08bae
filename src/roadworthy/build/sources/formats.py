"""What a file is, decided from its first bytes and its inner structure, never from its name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO

from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.core.errors import SourceUnreadable

UNSUPPORTED = {
    "compiled": "is a compiled package of native code for one kind of CPU; deploy the model it was made from",
    "tar": "was written by a torch.save of 2016; read it with PyTorch and save its state_dict again",
}
"""Kinds that are recognised and cannot be deployed, each with what is said about it."""

HDF5 = b"\x89HDF\r\n\x1a\n"
LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
SORTED_TABLE = (0xDB4775248B80FB57).to_bytes(8, "little")
"""The last bytes of a checkpoint's index (LevelDB's table format)."""
SHARD = re.compile(r"(.*)\.data-\d{5}-of-\d{5}")
LATEST = re.compile(r'^model_checkpoint_path:\s*"([^"]*)"', re.MULTILINE)


def locate(path: Path) -> Path:
    """Where the model lies that ``path`` names: ``path`` itself, but for a TF1 checkpoint its ``.meta`` file, which holds the graph.

    A checkpoint may be named by any of its files, by the prefix they share (which is no file), or by a directory whose
    ``checkpoint`` file says the latest. Raises SourceUnreadable where there is no graph beside the weights.
    """
    if path.is_dir():
        if (path / "saved_model.pb").is_file() or not (path / "checkpoint").is_file():
            return path
        return _graph_of(_latest(path), path)
    if path.suffix == ".index" and path.is_file() and _ends_as_table(path):
        return _graph_of(path.with_suffix(""), path)
    if (shard := SHARD.fullmatch(path.name)) and path.is_file():
        return _graph_of(path.with_name(shard[1]), path)
    if (not path.exists() and _beside(path, ".index").is_file()) or (path.is_file() and _beside(path, ".meta").is_file()):
        return _graph_of(path, path)
    return path


def checkpoint_files(graph: Path) -> tuple[Path, ...]:
    """All files of the TF1 checkpoint whose ``.meta`` file is ``graph``, in order of their names.

    Raises SourceUnreadable when some are missing. The format of before 2016 has all its weights in one file without an index.
    """
    prefix = graph.with_suffix("")
    shards = sorted(path for path in graph.parent.iterdir() if (match := SHARD.fullmatch(path.name)) and match[1] == prefix.name)
    index = _beside(prefix, ".index")
    if prefix.is_file() and not index.is_file():
        return (graph, prefix)
    if not index.is_file() or not shards:
        missing = index.name if not index.is_file() else f"{prefix.name}.data-00000-of-00001"
        raise SourceUnreadable(f"{graph} is the graph of a checkpoint, and {missing} is not beside it; put all its files in one directory")
    count = int(shards[0].name[-5:])
    if [path.name[-14:] for path in shards] != [f"{number:05}-of-{count:05}" for number in range(count)]:
        raise SourceUnreadable(f"{prefix} is a checkpoint of {count} data files, and not all are there; fetch it again")
    return tuple(sorted((graph, index, *shards)))


def _latest(directory: Path) -> Path:
    try:
        said = LATEST.search((directory / "checkpoint").read_bytes()[:65536].decode(errors="replace"))
    except OSError as problem:
        raise SourceUnreadable(f"{directory / 'checkpoint'} cannot be read: {problem.strerror}") from None
    # The path is the one on the machine that trained; the files lie here.
    name = said[1].replace("\\", "/").rpartition("/")[2] if said else ""
    if name in ("", ".", ".."):
        raise SourceUnreadable(f"{directory / 'checkpoint'} names no checkpoint; give the .meta file of the one that is meant")
    return directory / name


def _graph_of(prefix: Path, named: Path) -> Path:
    graph = _beside(prefix, ".meta")
    if not graph.is_file():
        raise SourceUnreadable(
            f"{named} is a checkpoint without its graph ({graph.name}): TensorFlow 2 keeps weights alone in one; "
            "save the model itself, as a SavedModel or .keras file"
        )
    return graph


def _beside(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


def _ends_as_table(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - len(SORTED_TABLE)))
        return file.read() == SORTED_TABLE


def of(path: Path) -> str:
    """The kind of what is at ``path``; SourceUnreadable, in words that say what is there instead, when it is no model."""
    if path.is_dir():
        if (path / "saved_model.cpb").exists():
            raise SourceUnreadable(
                f"{path} is a SavedModel in pieces (saved_model.cpb), which is not read; save it again as saved_model.pb"
            )
        if (path / "saved_model.pb").is_file():
            return "saved_model"
        if (path / "saved_model.pbtxt").is_file():
            raise SourceUnreadable(f"{path} is a SavedModel written as text, which is not read; save it again as saved_model.pb")
        raise SourceUnreadable(f"{path} is a directory and not a model file")
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except FileNotFoundError:
        raise SourceUnreadable(f"{path} does not exist") from None
    except OSError as problem:
        raise SourceUnreadable(f"{path} cannot be read: {problem.strerror}") from None
    if not head:
        raise SourceUnreadable(f"{path} is empty; fetch it again")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        with Archive(path) as archive:
            return _archived(archive, path)
    return _flat(head, path)


def _archived(archive: Archive, path: Path) -> str:
    names = archive.names
    if any(name.startswith("data/aotinductor/") for name in names):
        return "compiled"
    if "archive_format" in names and any(name.startswith("models/") for name in names):
        return "exported"
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return "jit"
    if "data.pkl" in names:
        return "torch"
    if "config.json" in names and "metadata.json" in names:
        return "keras"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    raise SourceUnreadable(f"{path} is a zip archive that holds no model known here" if names else f"{path} is an empty zip archive")


def _flat(head: bytes, path: Path) -> str:
    if head.startswith(HDF5):
        return "hdf5"
    if head[4:8] == b"TFL3":
        return "tflite"
    if head[8:9] == b"{":
        return "safetensors"
    if head[257:262] == b"ustar":
        return "tar"
    if head[:1] == b"\x80" and len(head) > 1 and 2 <= head[1] <= 5:
        return "legacy" if head[2:].startswith(LEGACY) else "pickle"
    if _is_text(head):
        raise SourceUnreadable(f"{path} {_what_text(head)}")
    if kind := _protobuf(path):
        return kind
    raise SourceUnreadable(f"{path} is no model file that is known here")


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as problem:
        # The last character of what was read may be cut through.
        if problem.start < len(head) - 4:
            return False
        text = head[: problem.start].decode("utf-8")
    return all(character.isprintable() or character in "\n\r\t\f" for character in text)


def _what_text(head: bytes) -> str:
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer and not the model itself; run: git lfs pull"
    if head.lstrip()[:9].lower() in (b"<!doctype", b"<html>"):
        return "is a web page and not a model; the download went wrong"
    return "is a text file and not a model"


def _protobuf(path: Path) -> str | None:
    """ONNX's ModelProto says its version in field 1 and its graph in field 7; a GraphDef is a list of nodes in field 1.

    A checkpoint's MetaGraphDef tells itself from a GraphDef by its saver, a message in field 3 where that has a number.
    """
    fields = _fields(path)
    if fields.get(1) == 0 and fields.get(7) == 2:
        return "onnx"
    if fields.get(1) == 0 and fields.get(2) == 2 and set(fields) == {1, 2}:
        raise SourceUnreadable(f"{path} is one file of a SavedModel; give the directory that holds it")
    if fields.get(2) == 2 and fields.get(3) == 2 and set(fields) <= set(range(1, 9)):
        return "tf1"
    return "graphdef" if fields.get(1) == 2 and set(fields) <= {1, 2, 3, 4, 5} else None


def _fields(path: Path) -> dict[int, int]:
    """The wire type of each top-level field; nothing when the file does not parse as a protobuf to its very end."""
    size = path.stat().st_size
    found: dict[int, int] = {}
    with open(path, "rb") as file:
        while file.tell() < size and len(found) < 32:
            tag = _varint(file)
            found[tag >> 3] = tag & 7
            length = _varint(file) if tag & 7 in (0, 2) else {1: 8, 5: 4}.get(tag & 7, size)
            if tag & 7:
                file.seek(length, 1)
        return found if file.tell() == size and 0 not in found else {}


def _varint(file: IO[bytes]) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        value |= (byte[0] & 0x7F) << shift if byte else 0
        if not byte or byte[0] < 0x80:
            break
    return value
