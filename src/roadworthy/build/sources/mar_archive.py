"""TorchServe's model archives (``.mar``) as data: what MANIFEST.json names and the files beside it, packed or unpacked; no code is run."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.build.sources.parsers.untrusted import json, shown
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.core.errors import SourceUnreadable

MANIFEST, FOLDER = "MANIFEST.json", "MAR-INF"
LABELS = "index_to_name.json"
PLAIN = re.compile(r"\w[\w.+ -]{0,200}")
"""A file's name without a folder, as the archiver writes it."""
SMALL = 16 * 2**20
ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class MarArchive:
    """``path`` is the archive, or the folder that it was unpacked to.

    ``handler`` is a name of TorchServe's own or a file's, and ``handler_file`` that file where the archive brings it: code, which takes
    precedence over a name of TorchServe's. ``weights`` and ``model_file`` are names, empty where there are none; ``classes`` are those
    that the model's file defines. ``labels`` is the content of index_to_name.json.
    """

    path: Path
    handler: str
    handler_file: str
    weights: str
    model_file: str
    classes: tuple[str, ...]
    labels: Any = None


def read(path: Path) -> MarArchive | None:
    """The archive at ``path``: a ``.mar``, a folder with MAR-INF/MANIFEST.json, or that file. None where it is something else.

    Raises SourceUnreadable where it is one and damaged.
    """
    if path.is_dir():
        return _unpacked(path) if (path / FOLDER / MANIFEST).is_file() else None
    if path.name == MANIFEST and path.is_file():
        return _unpacked(path.parent.parent) if path.parent.name == FOLDER else None
    if not is_archive(path):
        return None
    with Archive(path) as archive:
        if f"{FOLDER}/{MANIFEST}" not in archive.names:
            return None
        return _archive(path, dict.fromkeys(archive.names), archive)


def is_archive(path: Path) -> bool:
    """Whether the file begins as a zip archive."""
    try:
        with open(path, "rb") as file:
            return file.read(4) == ZIP
    except OSError:
        return False


@dataclass(frozen=True)
class _Folder:
    """An unpacked archive, read as a packed one is."""

    root: Path

    def read(self, name: str, limit: int) -> bytes:
        file = self.root / name
        try:
            if file.stat().st_size > limit:
                raise SourceUnreadable(f"{file} is larger than the {limit} bytes that are read")
            return file.read_bytes()
        except OSError as problem:
            raise SourceUnreadable(f"{file} cannot be read: {problem.strerror}") from None


def _unpacked(root: Path) -> MarArchive:
    names = {file.name for file in root.iterdir() if file.is_file()}
    return _archive(root, dict.fromkeys(names), _Folder(root))


def _archive(path: Path, names: dict[str, Any], files: Archive | _Folder) -> MarArchive:
    stated = json(files.read(f"{FOLDER}/{MANIFEST}", SMALL), f"{path}: {MANIFEST}")
    model = stated.get("model") if isinstance(stated, dict) else None
    if not isinstance(model, dict):
        raise SourceUnreadable(f"{path}: {MANIFEST} has no model")
    handler = _name(path, model, "handler", required=True)
    weights, code = (_name(path, model, key) for key in ("serializedFile", "modelFile"))
    if missing := [name for name in (weights, code) if name and name not in names]:
        raise SourceUnreadable(f"{path}: {MANIFEST} names {missing[0]!r}, which is not there")
    # handler.py:function is a function of that file.
    module = handler.partition(":")[0].removesuffix(".py")
    file = f"{module}.py" if f"{module}.py" in names else ""
    classes = _classes(files.read(code, SMALL)) if code else ()
    labels = json(files.read(LABELS, SMALL), f"{path}: {LABELS}") if LABELS in names else None
    return MarArchive(path, handler, file, weights, code, classes, labels)


def _name(path: Path, model: dict[str, Any], key: str, *, required: bool = False) -> str:
    found = model.get(key, "")
    plain = found.replace(":", "", 1) if key == "handler" and isinstance(found, str) else found
    if not isinstance(plain, str) or not (PLAIN.fullmatch(plain) or (not plain and not required)):
        raise SourceUnreadable(f"{path}: {MANIFEST} has the {key} {shown(str(found))!r}, which is not the name of a file in the archive")
    return str(found)


def _classes(code: bytes) -> tuple[str, ...]:
    """The classes that the file defines at its top; TorchServe builds the only one."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return ()
    return tuple(node.name for node in tree.body if isinstance(node, ast.ClassDef))


def model_classes(code: bytes) -> tuple[str, ...]:
    """The classes of a model's file that may be the model: the only one, or of several the modules that no other part of the file uses."""
    names = _classes(code)
    if len(names) < 2:
        return names
    tree = ast.parse(code)
    bases = {
        node.name: [ast.unparse(base).rpartition(".")[2] for base in node.bases] for node in tree.body if isinstance(node, ast.ClassDef)
    }
    modules = [name for name, own in bases.items() if "Module" in own or any(base in bases for base in own)]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return tuple(name for name in modules if name not in used)
