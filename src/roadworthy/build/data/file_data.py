"""Data from one file: arrays, a table of samples or of files, or texts."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from roadworthy.build.data.array_data import named_samples, wanted_of
from roadworthy.build.data.class_folders import is_image
from roadworthy.build.data.files import arrays, lines, manifests, npz, tables
from roadworthy.build.data.listed_files import listed_files
from roadworthy.build.data.live import frames
from roadworthy.build.data.live.spool import Spooled
from roadworthy.build.data.raw_data import UNNAMED, ExpectedInputs, RawData
from roadworthy.build.data.user_targets import read_targets, take_targets
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.core.types import Array

FORMS = ".npz, .npy, .csv, .tsv, .parquet, .jsonl or .txt"


def read_file(path: Path, expected: ExpectedInputs) -> RawData:
    """The samples in ``path``, which its suffix says how to read; raises DataError where they cannot be read."""
    suffix = path.suffix.lower()
    if suffix in tables.READERS:
        return _table(path, expected)
    if suffix == ".txt":
        wanted_of(expected).refuse_targets(str(path))
        return named_samples(Spooled({UNNAMED: lines.read_file(path)}, {}), expected, str(path))
    if is_image(path) or suffix == ".wav":
        raise DataError(f"{path} is a single sample; give the folder with all of them: --data {path.parent}")
    if suffix not in (".npz", ".npy") and not zipfile.is_zipfile(path):
        raise DataError(f"{path} is none of {FORMS}; read it in a function of your own, --data FILE.py:callable")
    read: Callable[[Path], dict[str, Array]] = arrays.read_file if suffix == ".npy" else npz.read_file
    return read_arrays(read(path), expected, str(path))


def read_arrays(found: dict[str, Array], expected: ExpectedInputs, what: str) -> RawData:
    """The arrays of a file by name: those that are targets, and the inputs."""
    wanted_of(expected).refuse_targets(what, found)
    chosen = {name: found.pop(name) for name in expected.targets}
    targets = read_targets(next(iter(chosen.values())) if len(chosen) == 1 else chosen or None, what)
    return named_samples(Spooled(found, targets or take_targets(found, expected.names, what)), expected, what)


def _table(path: Path, expected: ExpectedInputs) -> RawData:
    frame, wanted, what = tables.read_table(path), wanted_of(expected), str(path)
    column = manifests.column_of_files(frame, path.parent, wanted)
    if column is not None:
        files = manifests.files_of(frame, column, path.parent, what)
        return listed_files(files, manifests.targets_of(frame, column, wanted, what), expected, what)
    chunk = frames.chunk_of(frame, wanted, what)
    return named_samples(Spooled(chunk.inputs, chunk.targets, notes=_notes(chunk.inputs, chunk.targets, what)), expected, what)


def _notes(inputs: Mapping[str, Array], targets: Mapping[str, Any], what: str) -> tuple[Note, ...]:
    if targets:
        return ()
    listed = ", ".join(list(inputs)[:8])
    return (Note(f"no column of {what} has the name of a target (y, label, target), so all are inputs ({listed}); --targets says another"),)
