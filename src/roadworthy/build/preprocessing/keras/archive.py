"""A ``.keras`` file that holds preprocessing layers alone, read without Keras."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from roadworthy.build.preprocessing.keras.layers import PreprocessingLayer, is_preprocessing
from roadworthy.core.errors import BackendMissing, DataError

LARGEST = 2**24
"""Bytes of a file of preprocessing layers, at most: it holds a few numbers."""
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
GRAPHS = ("Functional", "Model")
SEVERAL = ("Sequential", "Pipeline")
BROKEN = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, RecursionError, zipfile.BadZipFile)


def read(path: Path) -> list[PreprocessingLayer] | None:
    """The layers of the file at ``path``; None where it is not a ``.keras`` archive.

    Raises DataError, with the layer, where it holds other layers too, and where it is damaged.
    """
    if not path.is_file() or not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if not {CONFIG, "metadata.json"} <= set(archive.namelist()):
                return None
            config = json.loads(_member(archive, CONFIG))
            nodes = _flat(config)
            _refuse_others(path, nodes)
            adapted = any(node["class_name"] == "Normalization" and node["config"].get("mean") is None for node in nodes)
            values = _adapted(_member(archive, WEIGHTS)) if adapted else {}
    except BROKEN as problem:
        raise DataError(f"{path} cannot be read as layers of Keras: {problem}") from None
    return list(_layers(nodes, values))


def _refuse_others(path: Path, nodes: list[dict[str, Any]]) -> None:
    for node in nodes:
        kind, name = str(node["class_name"]), node["config"].get("name", "")
        if kind in GRAPHS:
            _refuse_others(path, [one for layer in node["config"]["layers"] for one in _flat(layer)])
            raise DataError(f"{path} holds the layers of preprocessing as a {kind} model; save them as keras.Sequential([...])")
        if not is_preprocessing(kind):
            raise DataError(f"{path} is a model and not preprocessing alone: it holds the layer {name!r} ({kind})")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).file_size > LARGEST:
        raise DataError(f"{archive.filename} is not a file of preprocessing layers: its {name} is larger than {LARGEST} bytes")
    return archive.read(name)


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


def _adapted(weights: bytes) -> dict[str, tuple[float, ...]]:
    """Mean (0) and variance (1) of each Normalization, by ``normalization_1/0``."""
    try:
        import h5py
    except ImportError:
        raise BackendMissing(
            "the values of a Keras Normalization are in an HDF5 file, and h5py is not installed: pip install h5py"
        ) from None
    found: dict[str, tuple[float, ...]] = {}

    def see(name: str, item: Any) -> None:
        match = re.fullmatch(r"(?:.*/)?(normalization(?:_\d+)?)/vars/([01])", name)
        if match and isinstance(item, h5py.Dataset) and item.size in (1, 3):
            if (key := f"{match[1]}/{match[2]}") in found:
                raise ValueError("it holds several models that each have a Normalization; put their layers into one Sequential")
            found[key] = tuple(map(float, item[()].reshape(-1)))

    with h5py.File(io.BytesIO(weights), "r") as file:
        file.visititems(see)
    return found
