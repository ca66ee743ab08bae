"""Manifests: a table with one column of files, whose other columns say what the answers to these files are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roadworthy.build.data.live import frames
from roadworthy.build.data.live.wanted import Wanted
from roadworthy.core.errors import DataError
from roadworthy.core.samples import Targets

COLUMNS = (
    "file", "files", "filename", "file_name", "filepath", "file_path", "path", "image", "image_path", "img", "audio", "audio_path", "wav",
)  # fmt: skip
"""Names that a column of files has."""


def column_of_files(frame: Any, folder: Path, wanted: Wanted) -> str | None:
    """The column of ``frame`` that names files, from ``folder`` or the working directory; ``None`` where there is none.

    A column has such a name, or is the only one whose first cell is a file.
    """
    found = [str(name) for name in frame.columns if str(name) not in wanted.names and _file(frame[name].iloc[0], folder)]
    named = [name for name in found if name.lower() in COLUMNS]
    return (named or found)[0] if len(named or found) == 1 else None


def files_of(frame: Any, column: str, folder: Path, what: str) -> list[Path]:
    """The files in ``column``; DataError names the row whose file is not there."""
    files = []
    for row, cell in enumerate(frame[column].tolist()):
        file = _file(cell, folder)
        if file is None:
            raise DataError(f"{what}, row {row}: there is no file {cell!r}")
        files.append(file)
    return files


def targets_of(frame: Any, column: str, wanted: Wanted, what: str) -> Targets:
    """The columns that the user named as targets; without that those of the usual names, or the only one beside the files."""
    others = [str(name) for name in frame.columns if str(name) != column]
    wanted.refuse_targets(what, others)
    names = [name for name in others if wanted.is_target(name)] or (others if len(others) == 1 else [])
    return frames.targets_of(frame, tuple(names), what) if names else {}


def _file(cell: Any, folder: Path) -> Path | None:
    if not isinstance(cell, str) or not cell:
        return None
    places: Sequence[Path] = (folder / cell, Path(cell))
    try:
        return next((place for place in places if place.is_file()), None)
    except (OSError, ValueError):
        # A text that is too long for a name, or has a zero byte.
        return None
