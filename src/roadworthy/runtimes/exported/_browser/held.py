"""``model.json``: what lies in the folder of an export, for the page, for the session that drives it and for what writes it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roadworthy.core import codec
from roadworthy.core.errors import StepFailed

NAME = "model.json"


@dataclass(frozen=True)
class HeldFile:
    """A file's size in bytes and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class FileTensor:
    """An input or output of the model's file: ``name``, ``dtype`` and ``shape`` are those of the signature, ``inner`` the file's name."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    inner: str


@dataclass(frozen=True)
class PageModel:
    """``files`` are those below ``model``, ``runtime`` and ``scripts`` those of the folders ``runtime`` and ``js``.

    ``policy`` is the Content-Security-Policy under which a page runs, ``import_map`` the text of its import map, empty for none: a page
    beside the folders must hold it to the letter, because the policy names its digest.
    """

    flavour: str
    inputs: tuple[FileTensor, ...]
    outputs: tuple[FileTensor, ...]
    files: Mapping[str, HeldFile]
    runtime: Mapping[str, HeldFile]
    scripts: Mapping[str, HeldFile]
    policy: str
    import_map: str


def sums(folder: Path) -> dict[str, HeldFile]:
    """Every file below ``folder``, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): HeldFile(path.stat().st_size, _sum(path)) for path in files}


def read(folder: Path) -> PageModel:
    """What ``folder`` says of itself; raises StepFailed where it says nothing, or where a file is missing or is another one."""
    try:
        content = (folder / NAME).read_bytes()
    except OSError as problem:
        raise StepFailed(f"{folder / NAME} cannot be read: {problem.strerror}") from None
    found = codec.from_json(PageModel, content, error=StepFailed, what=str(folder / NAME))
    for place, files in (("model", found.files), ("runtime", found.runtime), ("js", found.scripts)):
        for name, stated in files.items():
            _check(folder / place / name, stated)
    return found


def _check(path: Path, stated: HeldFile) -> None:
    try:
        found = _sum(path)
    except OSError as problem:
        raise StepFailed(f"{path} cannot be read: {problem.strerror}; export it again") from None
    if found != stated.sha256:
        raise StepFailed(f"{path} is damaged: its SHA-256 is {found}, and {stated.sha256} is expected; export it again")


def _sum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
