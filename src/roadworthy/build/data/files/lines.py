"""Texts: a file with one text a line."""

from __future__ import annotations

from pathlib import Path

from roadworthy.build.data.live.values import column
from roadworthy.core.errors import DataError
from roadworthy.core.types import Array


def read_file(path: Path) -> Array:
    """The lines of the UTF-8 file ``path`` as byte strings [lines]; empty lines do not count."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except OSError as problem:
        raise DataError(f"{path} cannot be read: {problem.strerror}") from None
    except UnicodeDecodeError as problem:
        raise DataError(f"{path} is not UTF-8 text: {problem.reason} at byte {problem.start}") from None
    if not lines:
        raise DataError(f"{path} holds no text")
    return column(lines, str(path))
