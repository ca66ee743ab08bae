"""Preprocessing that was read in another process, as JSON with where it came from and the notes on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roadworthy.build.preprocessing.found import Found
from roadworthy.core import codec
from roadworthy.core.errors import DataError
from roadworthy.preprocess.spec import Layout

SUFFIX = ".preprocessing.json"


@dataclass(frozen=True)
class ReadByLayout:
    """What was read for a model that has the channels first, and for one that has them last."""

    chw: Found
    hwc: Found


def write(found: ReadByLayout, folder: Path) -> Path:
    """A new file in ``folder`` that ``read`` reads."""
    path = folder / f"read{SUFFIX}"
    path.write_bytes(codec.to_json(found))
    return path


def read(path: Path, layout: Layout) -> Found:
    """What is in a file that ``write`` made; raises DataError where it is damaged."""
    found = codec.from_json(ReadByLayout, path.read_bytes(), error=DataError, what=str(path))
    return found.chw if layout == "CHW" else found.hwc
