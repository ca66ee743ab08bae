"""The metadata that Ultralytics writes into and beside its exports: task, size, stride and class names.

They are texts of Python literals in an ONNX file, JSON in TorchScript and TFLite archives (a Python literal in older ones), and
``metadata.yaml`` in the folder of a SavedModel, OpenVINO and other exports.
"""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.build.sources.parsers import onnx
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.core.errors import BackendMissing, DataError, SourceUnreadable

YAML_NAME = "metadata.yaml"
MOST = 4 * 2**20
"""Bytes of metadata: a thousand classes take 30,000."""
LARGEST = 2**15
"""Pixels of a side."""
WITHIN = {"jit": ("extra/config.txt",), "tflite": ("metadata.json", "temp_meta.txt", "metadata.txt")}
"""Members of an archive that may hold the metadata, by the kind of the source."""


@dataclass(frozen=True)
class UltralyticsExport:
    """``size`` is (height, width). ``stretched`` says that the detector takes images without their aspect (RT-DETR).

    YOLOv5 states neither ``task`` ("" then) nor ``size``.
    """

    task: str
    size: tuple[int, int] | None
    stride: int
    channels: int
    names: tuple[str, ...]
    version: str
    stretched: bool


def of_file(path: Path, kind: str) -> UltralyticsExport | None:
    """The metadata in or beside the source at ``path``, a source of that ``kind``; None where there are none of this form.

    Raises DataError, naming the field, where they are of this form and cannot be read.
    """
    if kind == "onnx":
        return _export(dict(onnx.read(path).properties))
    if kind == "saved_model":
        return of_yaml(path / YAML_NAME)
    if kind in WITHIN and zipfile.is_zipfile(path) and (text := _member(path, WITHIN[kind])) is not None:
        return _export(_parsed(text))
    return of_yaml(path.parent / YAML_NAME) if kind == "tflite" else None


def is_export(path: Path, kind: str) -> bool:
    """Whether the source brings metadata of this form, valid or not."""
    try:
        return of_file(path, kind) is not None
    except (DataError, BackendMissing):
        return True


def of_yaml(path: Path) -> UltralyticsExport | None:
    """The metadata in a ``metadata.yaml``, None where the file is absent or of something else; DataError as ``of_file``."""
    try:
        if not path.is_file() or path.stat().st_size > MOST:
            return None
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if "stride:" not in text or "imgsz:" not in text:
        return None
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise BackendMissing(f"{path} is YAML, which PyYAML reads: pip install pyyaml") from None
    try:
        # Texts, lists and mappings alone: nothing is made of a tag. Anchors are refused: they can make a small file large.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.BaseLoader)):
            raise DataError(f"{path} has an alias, which Ultralytics does not write")
        return _export(yaml.load(text, Loader=yaml.BaseLoader))
    except (yaml.YAMLError, RecursionError) as problem:
        mark = getattr(problem, "problem_mark", None)
        raise DataError(f"{path} is not valid YAML{f' (line {mark.line + 1})' if mark else ''}") from None


def _member(path: Path, names: tuple[str, ...]) -> str | None:
    """The first of ``names`` in the archive; None also for an archive that is damaged: the reader to which it belongs says so."""
    try:
        with Archive(path) as archive:
            name = next((name for name in names if name in archive.names), None)
            return None if name is None else archive.read(name, MOST).decode("utf-8")
    except (SourceUnreadable, UnicodeDecodeError):
        return None


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _literal(text)


def _literal(value: object) -> Any:
    """A text as the Python literal that it spells, if it does; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return value


def _export(stated: object) -> UltralyticsExport | None:
    """What the entries say, None where they are of another tool: Ultralytics' always have a stride and names."""
    if not isinstance(stated, Mapping) or not {"stride", "names"} <= stated.keys():
        return None
    if sum(len(value) for value in stated.values() if isinstance(value, str)) > MOST:
        raise DataError("Ultralytics' metadata are larger than any model's")
    about = f"{stated.get('head', '')} {stated.get('description', '')}".casefold()
    return UltralyticsExport(
        str(stated.get("task", "")),
        _field(stated, "imgsz", _size) if "imgsz" in stated else None,
        _field(stated, "stride", _whole),
        _field(stated, "channels", _whole) if "channels" in stated else 3,
        _field(stated, "names", _names),
        str(stated.get("version", "")),
        "rtdetr" in about,
    )


def _field(stated: Mapping[str, object], name: str, read: Callable[[Any], Any]) -> Any:
    found = read(_literal(stated[name]))
    if found is None:
        raise DataError(f"Ultralytics' metadata state {name} as {str(stated[name])[:80]!r}, which is not read")
    return found


def _whole(value: Any) -> int | None:
    value = _literal(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST else None


def _size(value: Any) -> tuple[int, int] | None:
    sides = [_whole(one) for one in (value if isinstance(value, list | tuple) else (value, value))]
    height, width = sides if len(sides) == 2 else (None, None)
    return (height, width) if height and width else None


def _names(value: Any) -> tuple[str, ...] | None:
    """Names by index, from 0 without a gap."""
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return None
    by_index = {_literal(key): name for key, name in value.items()}
    if not all(isinstance(key, int) for key in by_index) or sorted(by_index) != list(range(len(by_index))):
        return None
    return tuple(str(by_index[index]) for index in range(len(by_index)))
