"""The configuration in a Keras file, as plain JSON: nothing in it becomes a class or a function here."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from roadworthy.build.sources.keras.tensors import array_of, is_bfloat16
from roadworthy.build.sources.parsers import keras_config_scan
from roadworthy.core.errors import SourceRefused, SourceUnreadable

CONFIG, METADATA = "config.json", "metadata.json"
HALF = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
POLICIES = ("DTypePolicy", "Policy", "FloatDTypePolicy")
QUANTISED = ("QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy")


@dataclass(frozen=True)
class Config:
    """``model`` is the configuration as the file has it, ``version`` and ``backend`` those of the Keras that wrote it.

    They are empty where the file does not say them.
    """

    model: Any
    version: str
    backend: str = ""


def of(path: Path) -> Config:
    """The configuration in a ``.keras`` archive or a whole-model HDF5 file; SourceUnreadable where there is none."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                metadata = json.loads(archive.read(METADATA))
                return Config(json.loads(archive.read(CONFIG)), str(metadata.get("keras_version", "")))
        with h5py.File(path, "r") as file:
            model = json.loads(_text(file.attrs["model_config"]))
            return Config(model, _attribute(file, "keras_version"), _attribute(file, "backend"))
    except (OSError, KeyError, ValueError, AttributeError, RecursionError, zipfile.BadZipFile) as problem:
        raise SourceUnreadable(f"{path} has no Keras configuration that can be read: {problem}", detail=repr(problem)) from problem


def write(path: Path, config: Any, target: Path) -> None:
    """The file at ``path`` with another configuration, at ``target``."""
    text = json.dumps(config)
    if not zipfile.is_zipfile(path):
        shutil.copyfile(path, target)
        with h5py.File(target, "r+") as file:
            file.attrs["model_config"] = text.encode()
            _widen(file)
        return
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.infolist():
            if member.filename == CONFIG:
                new.writestr(member, text)
            else:
                with old.open(member) as data, new.open(member, "w") as copy:
                    shutil.copyfileobj(data, copy, 2**20)


def entries(part: Any) -> Iterator[dict[str, Any]]:
    """Every object of the configuration, outer ones first."""
    waiting = [part]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def half(config: Any) -> tuple[str, ...]:
    """The reduced precisions that layers of the model compute in."""
    found = [name for part in entries(config) for name in (_policy(part), part.get("dtype")) if isinstance(name, str) and name in HALF]
    return tuple(dict.fromkeys(found))


def to_float32(part: Any) -> Any:
    """The same configuration with every reduced precision made float32."""
    if isinstance(part, list):
        return [to_float32(item) for item in part]
    if not isinstance(part, dict):
        return part
    if _policy(part) in HALF:
        return {**part, "config": {**part["config"], "source_name" if part["class_name"] in QUANTISED else "name": "float32"}}
    return {key: "float32" if key == "dtype" and value in HALF else to_float32(value) for key, value in part.items()}


def quantised(config: Any) -> int:
    """How many layers hold weights that were quantised by Keras itself."""
    return sum(part.get("class_name") in QUANTISED for part in entries(config))


def refuse_code(config: Any, path: Path) -> None:
    """SourceRefused where reading the model could run code: tf-keras has no safe mode for HDF5 files."""
    if executes := keras_config_scan.walk(config).executes:
        raise SourceRefused(f"{path} holds code beside its layers: {executes[0]}; pass --trust if you know where it comes from")


def _widen(file: h5py.File) -> None:
    """Make bfloat16 datasets float32: Keras writes them into this format, and does not read them back."""
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) and is_bfloat16(item) else None)
    for name in found:
        values = array_of(file[name])
        del file[name]
        file[name] = values


def _policy(part: dict[str, Any]) -> str | None:
    config = part.get("config")
    if part.get("class_name") not in (*POLICIES, *QUANTISED) or not isinstance(config, dict):
        return None
    name = config.get("source_name") if part["class_name"] in QUANTISED else config.get("name")
    return name if isinstance(name, str) else None


def _attribute(file: h5py.File, name: str) -> str:
    """Keras writes it beside the model and beside the weights; tools that copy a file leave one of them out."""
    inner = file.get("model_weights")
    return _text(file.attrs.get(name, "" if inner is None else inner.attrs.get(name, "")))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
