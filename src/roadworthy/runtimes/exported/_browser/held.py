"""What ``model.json`` says of the folder of an export: which files it holds, and how a page may run them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roadworthy.core import codec
from roadworthy.core.errors import StepFailed

NAME = "model.json"


@dataclass(frozen=True)
class StatedFile:
    """A file's size in bytes and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class StatedTensor:
    """A tensor by name and dtype."""

    name: str
    dtype: str


@dataclass(frozen=True)
class StatedSite:
    """The part of ``model.json`` that a session reads."""

    flavour: str
    inputs: tuple[StatedTensor, ...]
    outputs: tuple[StatedTensor, ...]
    files: Mapping[str, StatedFile]
    runtime: Mapping[str, StatedFile]
    scripts: Mapping[str, StatedFile]
    policy: str
    import_map: str = ""


def read(folder: Path) -> StatedSite:
    """What ``folder`` says of itself; raises StepFailed where it says nothing, or where a file is missing or is another one."""
    try:
        content = (folder / NAME).read_bytes()
    except OSError as problem:
        raise StepFailed(f"{folder / NAME} cannot be read: {problem.strerror}") from None
    found = codec.from_json(StatedSite, content, error=StepFailed, what=str(folder / NAME))
    for place, files in (("model", found.files), ("runtime", found.runtime), ("js", found.scripts)):
        for name, stated in files.items():
            _check(folder / place / name, stated)
    return found


def _check(path: Path, stated: StatedFile) -> None:
    try:
        with open(path, "rb") as file:
            sum = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise StepFailed(f"{path} cannot be read: {problem.strerror}; export it again") from None
    if sum != stated.sha256:
        raise StepFailed(f"{path} is damaged: its SHA-256 is {sum}, and {stated.sha256} is expected; export it again")
