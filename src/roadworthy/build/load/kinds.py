"""What a file is, decided from its first bytes and its inner structure, never from its name."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from roadworthy.build.load.archive import Archive
from roadworthy.core.errors import SourceUnreadable

LATER = "TensorFlow and Keras sources are not supported yet"
UNSUPPORTED = {
    "saved_model": f"is a SavedModel directory; {LATER}",
    "keras": f"is a .keras archive; {LATER}",
    "hdf5": f"is an HDF5 file, as Keras writes them; {LATER}",
    "graphdef": f"is a frozen TensorFlow graph; {LATER}",
    "tflite": f"is a TFLite model; {LATER}",
    "onnx": "is an ONNX model; ONNX sources are not supported yet, deploy the model it was exported from",
    "compiled": "is a compiled package of native code for one kind of CPU; deploy the model it was made from",
    "tar": "was written by a torch.save of 2016; read it with PyTorch and save its state_dict again",
}
"""Kinds that are recognised and cannot be deployed, each with what is said about it."""

HDF5 = b"\x89HDF\r\n\x1a\n"
LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"


def of(path: Path) -> str:
    """The kind of what is at ``path``; SourceUnreadable, in words that say what is there instead, when it is no model."""
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "saved_model"
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
    """ONNX's ModelProto says its version in field 1 and its graph in field 7; a GraphDef is a list of nodes in field 1."""
    fields = _fields(path)
    if fields.get(1) == 0 and fields.get(7) == 2:
        return "onnx"
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
