"""The content that a request names, as digests: what two requests must share to have the same result."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class NotCertain(Exception):
    """What a step depends on, or what it made, cannot be told completely."""


def relocated(value: T, place: Callable[[Path], Path]) -> T:
    """``value``, data as it crosses between processes, with ``place(path)`` for every path in it."""
    changed: Any = value
    if isinstance(value, Path):
        changed = place(value)
    elif is_dataclass(value) and not isinstance(value, type):
        changed = replace(value, **{one.name: relocated(getattr(value, one.name), place) for one in fields(value) if one.init})
    elif isinstance(value, tuple | list):
        changed = type(value)(relocated(one, place) for one in value)
    elif isinstance(value, dict):
        changed = {name: relocated(one, place) for name, one in value.items()}
    return changed  # type: ignore[no-any-return]


class Contents:
    """Digests of files and folders below ``scratch``, each file read once as long as it does not change."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._known: dict[tuple[Path, int, int, int], str] = {}
        self._lock = threading.Lock()

    def digest(self, path: Path) -> str:
        """The digest of a folder, or of a file with its name and its folder: a graph's file refers to files beside it.

        Raises NotCertain for what is not below ``scratch``, or holds links: other programs write there.
        """
        if not path.is_relative_to(self._scratch) or path == self._scratch:
            raise NotCertain(f"{path} is not a file of this deployment")
        if path.is_dir():
            return self._folder(path)
        if path.parent == self._scratch:
            raise NotCertain(f"{path} has no folder of its own")
        return f"{self._folder(path.parent)}-{hashlib.sha256(path.name.encode()).hexdigest()}"

    def _folder(self, folder: Path) -> str:
        listed = []
        for root, folders, names in os.walk(folder):
            folders.sort()
            for name in (*sorted(names), *folders):
                path = Path(root, name)
                found = path.lstat()
                if stat.S_ISREG(found.st_mode):
                    listed.append(f"{path.relative_to(folder)}\0{self._file(path, found)}")
                elif not stat.S_ISDIR(found.st_mode):
                    raise NotCertain(f"{path} is neither a file nor a folder")
        return hashlib.sha256("\n".join(listed).encode(errors="surrogateescape")).hexdigest()

    def _file(self, path: Path, found: os.stat_result) -> str:
        state = (path, found.st_ino, found.st_size, found.st_mtime_ns)
        with self._lock:
            known = self._known.get(state)
        if known is None:
            with open(path, "rb") as file:
                known = hashlib.file_digest(file, "sha256").hexdigest()
            with self._lock:
                self._known[state] = known
        return known
