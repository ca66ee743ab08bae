"""A static look at any model file: what it is, what it holds, what it could execute. Runs nothing from it."""

from __future__ import annotations

import hashlib
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from roadworthy.build.sources import formats
from roadworthy.build.sources.formats import SourceFormat
from roadworthy.build.sources.source_file import SourceFile
from roadworthy.build.sources.static_facts import StaticFacts
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.stages import FileSum
from roadworthy.core.types import Signature, TensorSpec


@dataclass(frozen=True)
class Inspection:
    """One model file, described without being loaded.

    ``path`` is the model's place: for a TF1 checkpoint the ``.meta`` file, whatever file of it was named; ``size`` in bytes and
    ``sha256`` are over all its files. ``kind`` names the source format that would read it; ``unsupported`` says why it cannot be
    deployed, empty where it can. ``executes`` lists what reading it the ordinary way could run: globals of its pickles, operators,
    native code. ``signature`` is the file's own statement, where its format makes one (a Keras model states its inputs alone),
    ``signatures`` the keys to choose one by, and ``needs`` the classes that are not in the file and not the framework's;
    ``files`` are its files one by one.
    """

    path: Path
    kind: str
    framework: str
    size: int
    sha256: str
    tensors: tuple[TensorSpec, ...] = ()
    signature: Signature | None = None
    executes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unsupported: str = ""
    signatures: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    files: tuple[FileSum, ...] = ()

    @property
    def values(self) -> int:
        """How many numbers all tensors hold together."""
        return sum(math.prod(size for size in spec.shape if isinstance(size, int)) for spec in self.tensors)


@dataclass(frozen=True)
class Examined:
    """What a format's own inspection found, and the path of the file that it read."""

    path: Path
    kind: str
    framework: str
    facts: StaticFacts


@dataclass(frozen=True)
class InspectRequest:
    """``path`` as the user named it."""

    path: Path


def inspect_step(request: InspectRequest) -> Inspection:
    """``inspect`` as a step for ``isolate.call``: a file that brings a parser down costs a child process."""
    return inspect(request.path)


def inspect(path: Path) -> Inspection:
    """What is at ``path``; SourceUnreadable when it is missing, empty, damaged or not of a known format.

    Raises SourceRefused as well, for a file that reaches for others outside its own directory.
    """
    found = examine(path)
    size, sha256, sums = measure(found)
    facts = found.facts
    return Inspection(
        found.path, found.kind, found.framework, size, sha256, facts.tensors, facts.signature, facts.executes, facts.notes,
        facts.unsupported, facts.signatures, facts.needs, sums,
    )  # fmt: skip


def examine(path: Path) -> Examined:
    """``inspect`` without the hashes."""
    format, file = formats.recognise(path)
    if not formats.holds(format):
        return examined(cast(SourceFormat, format), file)
    with tempfile.TemporaryDirectory() as scratch:
        held = format.unpack(file.path, Path(scratch))
        inner = examined(*formats.recognise_inside(held))
        notes = (*held.notes, f"the model inside is a file of the format {inner.kind}", *inner.facts.notes)
        executes = (*inner.facts.executes, *((f"{held.code} (the code that builds the model)",) if held.code else ()))
        files = held.files if file.path.is_dir() else ()
        facts = replace(inner.facts, notes=notes, executes=executes, files=files)
    return Examined(file.path, format.KIND, inner.framework, facts)


def examined(format: SourceFormat, file: SourceFile) -> Examined:
    """What a source format's own inspection finds in a file that it accepts."""
    return Examined(file.path, format.KIND, format.FRAMEWORK, format.inspect(file))


def measure(found: Examined) -> tuple[int, str, tuple[FileSum, ...]]:
    """Size in bytes and SHA-256 over all its files, then each file's own hash. Several files are hashed with their relative names."""
    path, files = found.path, _files(found)
    size, digest, sums = 0, hashlib.sha256(), []
    folder = path if path.is_dir() else path.parent
    try:
        for file in files:
            size += file.stat().st_size
            if files != (path,):
                digest.update(f"{file.relative_to(folder).as_posix()}\0{file.stat().st_size}\0".encode())
            own = hashlib.sha256()
            with open(file, "rb") as data:
                while chunk := data.read(2**20):
                    digest.update(chunk)
                    own.update(chunk)
            sums.append(FileSum(file.absolute(), own.hexdigest()))
    except OSError as problem:
        raise SourceUnreadable(f"{path} cannot be read: {problem.strerror}") from None
    return size, digest.hexdigest(), tuple(sums)


def _files(found: Examined) -> tuple[Path, ...]:
    """The file itself and those beside it that belong to it, or all files of the directory."""
    if not found.path.is_dir():
        return (found.path, *found.facts.files)
    return tuple(file for file in sorted(found.path.rglob("*")) if file.is_file())
