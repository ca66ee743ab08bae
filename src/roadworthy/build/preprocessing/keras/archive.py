"""A ``.keras`` file that holds preprocessing layers alone, read without Keras."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roadworthy.build.preprocessing.keras.layers import PreprocessingLayer, is_preprocessing
from roadworthy.build.sources.parsers import hdf5
from roadworthy.build.sources.parsers.untrusted import json
from roadworthy.build.sources.parsers.zip_archive import Archive
from roadworthy.core.errors import DataError, SourceError, SourceUnreadable

LARGEST = 2**24
"""Bytes of a file of preprocessing layers, at most: it holds a few numbers."""
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
GRAPHS = ("Functional", "Model")
SEVERAL = ("Sequential", "Pipeline")
BROKEN = (KeyError, ValueError, TypeError, AttributeError, RecursionError)


def read(path: Path) -> list[PreprocessingLayer] | None:
    """The layers of the file at ``path``; None where it is not a ``.keras`` archive.

    Raises DataError, with the layer, where it holds other layers too, and where it is damaged.
    """
    try:
        archive = Archive(path) if path.is_file() and zipfile.is_zipfile(path) else None
    except SourceUnreadable:
        # Another form may say more of the file.
        return None
    if archive is None:
        return None
    with archive:
        if not {CONFIG, "metadata.json"} <= set(archive.names):
            return None
        try:
            return list(_read(archive, path))
        except SourceError as problem:
            raise DataError(f"{path} cannot be read as layers of Keras: {problem.message}") from None
        except BROKEN as problem:
            raise DataError(f"{path} cannot be read as layers of Keras: {problem}") from None


def _read(archive: Archive, path: Path) -> list[PreprocessingLayer]:
    nodes = _flat(json(archive.read(CONFIG, LARGEST), f"{path}: {CONFIG}"))
    _refuse_others(path, nodes)
    adapted = any(node["class_name"] == "Normalization" and node["config"].get("mean") is None for node in nodes)
    values = _adapted(hdf5.read_member(archive, WEIGHTS, path).statistics) if adapted else {}
    return _layers(nodes, values)


def _refuse_others(path: Path, nodes: list[dict[str, Any]]) -> None:
    for node in nodes:
        kind, name = str(node["class_name"]), node["config"].get("name", "")
        if kind in GRAPHS:
            _refuse_others(path, [one for layer in node["config"]["layers"] for one in _flat(layer)])
            raise DataError(f"{path} holds the layers of preprocessing as a {kind} model; save them as keras.Sequential([...])")
        if not is_preprocessing(kind):
            raise DataError(f"{path} is a model and not preprocessing alone: it holds the layer {name!r} ({kind})")


def _flat(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Every layer in its order, those of models inside in their place."""
    inner = node["config"]
    if node["class_name"] in SEVERAL:
        return [one for layer in inner["layers"] for one in _flat(layer)]
    return [node]


def _layers(nodes: list[dict[str, Any]], values: dict[str, tuple[float, ...]]) -> list[PreprocessingLayer]:
    found, number = [], 0
    for node in nodes:
        kind, name = str(node["class_name"]), str(node["config"].get("name", ""))
        adapted: list[tuple[float, ...]] = [(), ()]
        if kind == "Normalization":
            # Keras numbers the layers of one class in their order.
            group = "normalization" + (f"_{number}" if number else "")
            adapted = [values.get(f"{group}/{place}", ()) for place in (0, 1)]
            number += 1
        found.append(PreprocessingLayer(kind, name, node["config"], *adapted))
    return found


def _adapted(statistics: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
    """Mean (0) and variance (1) of each Normalization, by ``normalization_1/0``."""
    found: dict[str, tuple[float, ...]] = {}
    for name, values in statistics.items():
        match = re.fullmatch(r"(?:.*/)?(normalization(?:_\d+)?)/vars/([01])", name)
        if match:
            if (key := f"{match[1]}/{match[2]}") in found:
                raise ValueError("it holds several models that each have a Normalization; put their layers into one Sequential")
            found[key] = values
    return found
