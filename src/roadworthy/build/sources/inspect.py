"""A static look at any model file: what it is, what it holds, what it could execute. Runs nothing from it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from roadworthy.build.sources import formats
from roadworthy.build.sources.parsers import array_headers, exported_program, pickle_scan, tf_facts
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.build.sources.static_facts import Facts
from roadworthy.core.errors import SourceUnreadable
from roadworthy.core.stages import FileSum
from roadworthy.core.types import Signature, TensorSpec


@dataclass(frozen=True)
class Inspection:
    """One model file as it lies there.

    ``path`` is where the model lies: of a TF1 checkpoint the ``.meta`` file, whatever named it; ``size`` and ``sha256`` are
    over all its files. ``kind`` names the loader that would read it; ``unsupported`` says why there is none, empty when there is one.
    ``executes`` lists what reading it the ordinary way could run: globals of its pickles, operators, native code.
    ``signature`` is the file's own statement, where its format makes one (a Keras model states its inputs alone),
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
        total = 0
        for spec in self.tensors:
            count = 1
            for size in spec.shape:
                count *= size if isinstance(size, int) else 1
            total += count
        return total


@dataclass(frozen=True)
class InspectRequest:
    """``path`` as the user named it."""

    path: Path


def inspect_step(request: InspectRequest) -> Inspection:
    """``inspect`` as a step for ``isolate.call``: a file that brings a parser down costs a child process."""
    return inspect(request.path)


def inspect(path: Path) -> Inspection:
    """What is at ``path``; SourceUnreadable when it is missing, empty, damaged or no model that is known here.

    Raises SourceRefused as well, for a file that reaches for others outside its own directory.
    """
    path = formats.locate(path)
    kind = formats.of(path)
    facts = _facts(kind, path)
    files = formats.checkpoint_files(path) if kind == "tf1" else _others(path, facts)
    size, sha256, sums = _measure(path, files)
    return Inspection(
        path, facts.kind, _framework(facts.kind), size, sha256, facts.tensors, facts.signature, facts.executes, facts.notes,
        facts.unsupported or formats.UNSUPPORTED.get(facts.kind, ""), facts.signatures, facts.needs, sums,
    )  # fmt: skip


def _facts(kind: str, path: Path) -> Facts:
    if kind in tf_facts.READERS:
        return tf_facts.READERS[kind](path)
    if kind == "safetensors":
        return Facts(kind, array_headers.safetensors(path))
    if kind in ("legacy", "pickle"):
        with open(path, "rb") as file:
            return _legacy(file, path) if kind == "legacy" else replace(_pickled(pickle_scan.walk(file, str(path))), kind="pickled")
    if kind not in ("torch", "jit", "exported", "npz", "compiled"):
        return Facts(kind)
    with Archive(path) as archive:
        if kind == "torch":
            return _pickled(pickle_scan.walk(io.BytesIO(archive.read("data.pkl")), f"{path}: data.pkl"))
        if kind == "jit":
            found = pickle_scan.walk(io.BytesIO(archive.read("data.pkl")), f"{path}: data.pkl")
            return Facts(kind, _specs(pickle_scan.tensors(found.root)), executes=_script(archive))
        if kind == "exported":
            return Facts(kind, exported_program.tensors(archive), exported_program.signature(archive), exported_program.executes(archive))
        if kind == "compiled":
            return Facts(kind, executes=("native code (shared libraries in data/aotinductor)",))
        return Facts(kind, tuple(array_headers.npy(archive.read(name, 2**32), name, path) for name in archive.names))


def _legacy(file: io.BufferedReader, path: Path) -> Facts:
    # Magic number, protocol and a description of the machine come first, each a pickle of its own.
    first = [pickle_scan.walk(file, str(path)) for _ in range(3)]
    facts = _pickled(pickle_scan.walk(file, str(path)))
    code = tuple(name for walked in first for name in walked.code)
    return Facts(facts.kind, facts.tensors, None, (*code, *facts.executes), ("torch.save's format from before version 1.6",))


def _pickled(walked: pickle_scan.Walked) -> Facts:
    """Weights in plain dicts and nowhere else are a checkpoint, whatever lies beside them; else there is a pickled model in it."""
    found = list(pickle_scan.tensors(walked.root))
    kind = "checkpoint" if all(plain for _, plain in found) and (found or not walked.code) else "pickled"
    return Facts(kind, _specs(found), executes=walked.code)


def _specs(found: Iterable[tuple[TensorSpec, bool]]) -> tuple[TensorSpec, ...]:
    return tuple(spec for spec, _ in found)


def _script(archive: Archive) -> tuple[str, ...]:
    files = sum(name.startswith("code/") and name.endswith(".py") for name in archive.names)
    return (f"a TorchScript program ({files} source files in code/)",)


def _framework(kind: str) -> str:
    if kind in ("saved_model", "keras", "hdf5", "keras_weights", "graphdef", "tf1", "tflite"):
        return "tensorflow"
    return {"npz": "numpy", "onnx": "onnx"}.get(kind, "torch")


def _others(path: Path, facts: Facts) -> tuple[Path, ...]:
    """The files of one source, in order of their names: itself, or all in its directory, and those its weights lie in."""
    if not path.is_dir():
        return (path, *facts.files)
    return tuple(file for file in sorted(path.rglob("*")) if file.is_file())


def _measure(path: Path, files: tuple[Path, ...]) -> tuple[int, str, tuple[FileSum, ...]]:
    """Size in bytes and SHA-256; of several files with their names, relative to where they lie. Then each file's own."""
    size, digest, sums = 0, hashlib.sha256(), []
    home = path if path.is_dir() else path.parent
    try:
        for file in files:
            size += file.stat().st_size
            if files != (path,):
                digest.update(f"{file.relative_to(home).as_posix()}\0{file.stat().st_size}\0".encode())
            own = hashlib.sha256()
            with open(file, "rb") as data:
                while chunk := data.read(2**20):
                    digest.update(chunk)
                    own.update(chunk)
            sums.append(FileSum(file.absolute(), own.hexdigest()))
    except OSError as problem:
        raise SourceUnreadable(f"{path} cannot be read: {problem.strerror}") from None
    return size, digest.hexdigest(), tuple(sums)
