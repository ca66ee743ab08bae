"""Folders of a model's versions, as Triton, OpenVINO Model Server and TensorFlow Serving have them: each is named by a number."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

NUMBER = re.compile(r"[1-9]\d{0,17}")


@dataclass(frozen=True)
class VersionPolicy:
    """Which versions are served: the newest ``latest``, all where that is None, or those in ``specific`` where there are any."""

    latest: int | None = 1
    specific: tuple[int, ...] = ()

    def __str__(self) -> str:
        if self.specific:
            return f"specific: {', '.join(map(str, self.specific))}"
        return "all" if self.latest is None else f"latest: {self.latest}"

    def served(self, there: Iterable[int]) -> tuple[int, ...]:
        """Of the versions that are ``there``, those that are served, newest first."""
        newest_first = sorted(there, reverse=True)
        if self.specific:
            return tuple(version for version in newest_first if version in self.specific)
        return tuple(newest_first[: self.latest])


def numbered(folder: Path) -> tuple[int, ...]:
    """The versions below ``folder``, newest first; a name that begins with 0, or is not a number, is not a version."""
    found = (int(entry.name) for entry in folder.iterdir() if NUMBER.fullmatch(entry.name) and entry.is_dir())
    return tuple(sorted(found, reverse=True))
