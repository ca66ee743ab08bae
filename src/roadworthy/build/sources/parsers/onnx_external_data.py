"""Tensors of an ONNX model that lie in other files (onnx/docs/ExternalData.md): where, and whether they may be read there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.core.errors import SourceRefused, SourceUnreadable

EXTERNAL = 1
"""TensorProto.DataLocation.EXTERNAL."""


@dataclass(frozen=True)
class ExternalTensor:
    """A tensor that is stored in another file: ``location`` as written, ``offset`` and ``length`` in bytes (-1: to the end)."""

    tensor: str
    location: str
    offset: int
    length: int


def outside(tensor: Any) -> bool:
    """Whether the values of this TensorProto lie in another file."""
    return bool(tensor.data_location == EXTERNAL)


def of(tensor: Any) -> ExternalTensor:
    """Where they lie; ValueError where an offset or a length is not a number."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return ExternalTensor(tensor.name, entries.get("location", ""), int(entries.get("offset") or 0), int(entries.get("length") or -1))


def check(path: Path, one: ExternalTensor) -> None:
    """External data must be below the model's directory, in a regular file that is not a link out of it, and within that file.

    Raises SourceRefused where it would be read from elsewhere, SourceUnreadable where it is not there.
    """
    where = f"{path}: the tensor {shown(one.tensor)} is in {shown(one.location)!r}"
    pure = PurePosixPath(one.location)
    leads_out = pure.is_absolute() or ".." in pure.parts or "\\" in one.location or PureWindowsPath(one.location).drive
    if not one.location or "\0" in one.location or leads_out:
        raise SourceRefused(f"{where}, which is not a file of the model's own directory; save the model with its weights beside it")
    size = _size(path, one.location, where)
    length = size - one.offset if one.length < 0 else one.length
    if one.offset < 0 or length < 0 or one.offset + length > size:
        raise SourceUnreadable(f"{where} at {one.offset} with {length} bytes, and that file has {size}; it was cut short, fetch it again")


def _size(path: Path, location: str, where: str) -> int:
    """The size in bytes of the file at ``location`` beside the model at ``path``."""
    # The model may be a link itself, as in a download cache: then the data may lie beside the link or beside the model.
    folders = {path.parent.resolve(), path.resolve().parent}
    try:
        real = (path.parent / location).resolve()
        if not any(real.is_relative_to(folder) for folder in folders):
            raise SourceRefused(f"{where}, a link that leads out of the model's own directory; put the file itself there")
        if not real.is_file():
            raise SourceUnreadable(f"{where}, and there is no such file; fetch it and put it beside the model")
        return real.stat().st_size
    except (OSError, RuntimeError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else "a link that leads to itself"
        raise SourceUnreadable(f"{where}, which cannot be read: {why}") from None
