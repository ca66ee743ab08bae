"""The state of the user's files when a deployment begins: if one changes later, the evidence is not about that file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from roadworthy.core.errors import DataError, SourceError
from roadworthy.core.stages import FileSum, Source

READ_WHOLE = 16 * 2**20
"""Bytes up to which a file that is not the source is compared by its content; a larger one by its size and time."""


@dataclass(frozen=True)
class UserFiles:
    """The user's own code and data by path, each with its state."""

    code: tuple[tuple[Path, str], ...]
    data: tuple[tuple[Path, str], ...]

    def refuse_changed(self) -> None:
        """SourceError or DataError, naming the first that is not as it was: which of its states was read cannot be told."""
        for kind, held in ((SourceError, self.code), (DataError, self.data)):
            for path, state in held:
                if _state(path) != state:
                    raise kind(f"{path} changed while it was read; nothing was written: deploy again when nothing writes to it")

    def changed(self) -> tuple[str, ...]:
        """A sentence for each that is not as it was, after it was read."""
        return tuple(
            f"{path.name} changed after it was read: the deployment is about the file as it was before"
            for path, state in (*self.code, *self.data)
            if _state(path) != state
        )


def user_files(code: Iterable[Path], data: Iterable[Path]) -> UserFiles:
    """The state of the user's files and folders now; what is not there is left out."""

    def states(paths: Iterable[Path]) -> tuple[tuple[Path, str], ...]:
        return tuple((path, _state(path)) for path in paths if path.exists())

    return UserFiles(states(path.absolute() for path in code), states(path.absolute() for path in data))


def refuse_changed(source: Source, why: Iterable[str] = ()) -> None:
    """SourceError where a file of ``source`` is not what was looked at when the deployment began; ``why`` are sentences to add."""
    for file in source.files:
        if changed := _difference(file):
            said = "".join(f" {sentence}" for sentence in why)
            raise SourceError(
                f"{file.path} {changed} while it was deployed, by another program or by the model's own code; "
                f"nothing was written: restore the file, and deploy again when nothing writes to it.{said}"
            )


def sum_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _difference(file: FileSum) -> str:
    try:
        return "" if sum_of(file.path) == file.sha256 else "was changed"
    except FileNotFoundError:
        return "was removed"
    except OSError as problem:
        return f"became unreadable ({problem.strerror})"


def _state(path: Path) -> str:
    """What changes when a file or folder does; empty where it is gone."""
    try:
        if path.is_dir():
            return hashlib.sha256("\n".join(sorted(_listed(path))).encode(errors="surrogateescape")).hexdigest()
        found = path.stat()
        return sum_of(path) if found.st_size <= READ_WHOLE else f"{found.st_size} {found.st_mtime_ns}"
    except OSError:
        return ""


def _listed(folder: Path) -> Iterable[str]:
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            found = path.lstat()
            yield f"{path} {found.st_size} {found.st_mtime_ns}"
