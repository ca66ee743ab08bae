"""A static look at any model file: what it is, what it holds, what it could execute. Runs nothing from it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.build.load import headers, kinds, pickles, programs
from roadworthy.build.load.archive import Archive
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.types import Signature, TensorSpec


@dataclass(frozen=True)
class Inspection:
    """One model file as it lies there.

    ``kind`` names the loader that would read it; ``unsupported`` says why there is none, empty when there is one.
    ``executes`` lists what reading it the ordinary way could run: globals of its pickles, operators, native code.
    ``signature`` is the file's own statement, where its format makes one.
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

    @property
    def values(self) -> int:
        """How many numbers all tensors hold together."""
        total = 0
        for spec in self.tensors:
            count = 1
            for size in spec.shape:
                count *= size if isinstance(size, int) else 1
            total += count
        return total


@dataclass(frozen=True)
class _Facts:
    kind: str
    tensors: tuple[TensorSpec, ...] = ()
    signature: Signature | None = None
    executes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def inspect(path: Path) -> Inspection:
    """What is at ``path``; SourceUnreadable when it is missing, empty, damaged or no model that is known here."""
    kind = kinds.of(path)
    facts = _facts(kind, path)
    return Inspection(
        path, facts.kind, _framework(facts.kind), *_measure(path), facts.tensors, facts.signature, facts.executes, facts.notes,
        kinds.UNSUPPORTED.get(facts.kind, ""),
    )  # fmt: skip


def _facts(kind: str, path: Path) -> _Facts:
    if kind == "safetensors":
        return _Facts(kind, headers.safetensors(path))
    if kind in ("legacy", "pickle"):
        with open(path, "rb") as file:
            return _legacy(file, path) if kind == "legacy" else replace(_pickled(pickles.walk(file, str(path))), kind="pickled")
    if kind not in ("torch", "jit", "exported", "npz", "compiled"):
        return _Facts(kind)
    with Archive(path) as archive:
        if kind == "torch":
            return _pickled(pickles.walk(io.BytesIO(archive.read("data.pkl")), f"{path}: data.pkl"))
        if kind == "jit":
            return _Facts(kind, _specs(pickles.tensors(pickles.walk(io.BytesIO(archive.read("data.pkl")), f"{path}: data.pkl").root)),
                          executes=_script(archive))  # fmt: skip
        if kind == "exported":
            return _Facts(kind, programs.tensors(archive), programs.signature(archive), programs.executes(archive))
        if kind == "compiled":
            return _Facts(kind, executes=("native code (shared libraries in data/aotinductor)",))
        return _Facts(kind, tuple(headers.npy(archive.read(name, 2**32), name, path) for name in archive.names))


def _legacy(file: io.BufferedReader, path: Path) -> _Facts:
    # Magic number, protocol and a description of the machine come first, each a pickle of its own.
    first = [pickles.walk(file, str(path)) for _ in range(3)]
    facts = _pickled(pickles.walk(file, str(path)))
    code = tuple(name for walked in first for name in walked.code)
    return _Facts(facts.kind, facts.tensors, None, (*code, *facts.executes), ("torch.save's format from before version 1.6",))


def _pickled(walked: pickles.Walked) -> _Facts:
    """Weights in plain dicts and nowhere else are a checkpoint, whatever lies beside them; else there is a pickled model in it."""
    found = list(pickles.tensors(walked.root))
    kind = "checkpoint" if all(plain for _, plain in found) and (found or not walked.code) else "pickled"
    return _Facts(kind, _specs(found), executes=walked.code)


def _specs(found: Iterable[tuple[TensorSpec, bool]]) -> tuple[TensorSpec, ...]:
    return tuple(spec for spec, _ in found)


def _script(archive: Archive) -> tuple[str, ...]:
    files = sum(name.startswith("code/") and name.endswith(".py") for name in archive.names)
    return (f"a TorchScript program ({files} source files in code/)",)


def _framework(kind: str) -> str:
    if kind in ("saved_model", "keras", "hdf5", "graphdef", "tflite"):
        return "tensorflow"
    return {"npz": "numpy", "onnx": "onnx"}.get(kind, "torch")


def _measure(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256; of a directory, all files in order of their names."""
    size, digest = 0, hashlib.sha256()
    try:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.is_file():
                continue
            size += file.stat().st_size
            if path.is_dir():
                digest.update(f"{file.relative_to(path).as_posix()}\0{file.stat().st_size}\0".encode())
            with open(file, "rb") as data:
                while chunk := data.read(2**20):
                    digest.update(chunk)
    except OSError as problem:
        raise SourceUnreadable(f"{path} cannot be read: {problem.strerror}") from None
    return size, digest.hexdigest()
