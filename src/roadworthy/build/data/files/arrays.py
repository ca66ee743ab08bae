"""Arrays in ``.npy`` files, mapped and not loaded: ``x.npy`` with ``y.npy`` beside it, or a folder of arrays named like the inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from roadworthy.core.errors import DataError
from roadworthy.core.text import first_line
from roadworthy.core.types import Array

TARGET_FILES = ("y", "labels", "label", "targets", "target")


def read_file(path: Path) -> dict[str, Array]:
    """The array in ``path`` as ``x``, and as ``y`` the one beside it that is named so, where there is one."""
    beside = next((file for name in TARGET_FILES if (file := path.with_name(f"{name}.npy")).is_file() and file != path), None)
    named = _beside(path) or beside
    return {"x": _mapped(path)} | ({"y": _mapped(named)} if named else {})


def is_folder_of_arrays(folder: Path) -> bool:
    """Whether ``folder`` holds ``.npy`` files and no folders, one of them ``x.npy`` or more than one of different names."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    names = {entry.stem for entry in entries if entry.suffix == ".npy"}
    return bool(names) and len(names) == len(entries) and bool(names & {"x", *TARGET_FILES})


def read_folder(folder: Path) -> dict[str, Array]:
    """Every array of ``folder`` by the name of its file."""
    return {file.stem: _mapped(file) for file in sorted(folder.glob("*.npy"))}


def _beside(path: Path) -> Path | None:
    """``test_y.npy`` for ``test_x.npy``, ``y_test.npy`` for ``x_test.npy``."""
    parts = path.stem.replace("-", "_").split("_")
    for place, part in enumerate(parts):
        if part.lower() == "x":
            other = "_".join([*parts[:place], "y" if part == "x" else "Y", *parts[place + 1 :]])
            found = path.with_name(f"{other}.npy")
            return found if found.is_file() else None
    return None


def _mapped(path: Path) -> Array:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise DataError(f"{path} cannot be read as an array: {first_line(problem, empty='it is damaged')}") from None
    return np.asarray(array)
