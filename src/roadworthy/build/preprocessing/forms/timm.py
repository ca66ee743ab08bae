"""timm: a ``pretrained_cfg`` on a model, as a dict or in a ``config.json``, as timm's own ``create_transform`` carries it out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from roadworthy.build.preprocessing.found import Found
from roadworthy.build.preprocessing.pillow_filters import PILLOW_FILTERS
from roadworthy.build.sources.parsers import untrusted
from roadworthy.core.errors import DataError, SourceUnreadable
from roadworthy.core.evidence import Note
from roadworthy.core.stages import Source
from roadworthy.preprocess.contract import Answer, Contract
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import ChannelsFirst, Crop, Decode, Letterbox, Normalize, Resize, Step

DEFAULTS: dict[str, Any] = {
    "input_size": (3, 224, 224),
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "crop_pct": 0.875,
    "crop_mode": "center",
}
"""timm's own, for what a configuration leaves out."""
OWN_KEYS = ("crop_pct", "crop_mode", "interpolation")
"""By which a table with an ``input_size`` is one of timm's."""
CONFIG = "config.json"


def of_object(value: Any, layout: Layout) -> Found | None:
    """A model with a ``pretrained_cfg``, such a configuration, or what ``resolve_data_config`` makes of it."""
    if isinstance(value, type):
        return None
    if not isinstance(value, Mapping) and (on_model := _on_model(value)) is not None:
        return _read(on_model, f"timm pretrained_cfg of {_name(on_model) or type(value).__name__}")
    table = _table(value)
    config = None if table is None else _configuration(table)
    return None if config is None else _read(config, f"timm pretrained_cfg{_of(_name(table or {}) or _name(config))}")


def on_model(model: Any, layout: Layout) -> Found | None:
    """The ``pretrained_cfg`` of a live model."""
    return None if isinstance(model, Mapping | type) or _on_model(model) is None else of_object(model, layout)


def of_path(path: Path, layout: Layout) -> Found | None:
    """A JSON file with timm's configuration, or a folder with such a ``config.json``."""
    file = path / CONFIG if path.is_dir() else path
    if file.suffix != ".json" or (table := _json(file)) is None:
        return None
    config = _configuration(table)
    return None if config is None else _read(config, f"timm {file}{_of(_name(table) or _name(config))}")


def beside(source: Source, layout: Layout) -> Found | None:
    """The ``config.json`` in the folder of a checkpoint of PyTorch, by the custom of timm's hub."""
    if source.framework != "torch":
        return None
    folder = source.path if source.path.is_dir() else source.path.parent
    table = _json(folder / CONFIG)
    return of_path(folder, layout) if table is not None and "architecture" in table else None


def _json(file: Path) -> dict[str, Any] | None:
    try:
        return untrusted.json_object(file)
    except SourceUnreadable:
        # Another form may say more of the file.
        return None


def _on_model(value: Any) -> Mapping[str, Any] | None:
    found = getattr(value, "pretrained_cfg", None)
    return _table(found) or None


def _table(value: Any) -> Mapping[str, Any] | None:
    if dataclasses.is_dataclass(value) and type(value).__module__.startswith("timm."):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value if isinstance(value, Mapping) else None


def _configuration(table: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part of ``table`` that is timm's configuration of images; None where there is none."""
    inner = table.get("pretrained_cfg", table)
    size = inner.get("input_size") if isinstance(inner, Mapping) else None
    if not isinstance(size, list | tuple) or len(size) != 3:
        return None
    return inner if inner is not table or any(key in inner for key in OWN_KEYS) else None


def _name(table: Mapping[str, Any]) -> str:
    found, tag = table.get("architecture"), table.get("tag")
    return f"{found}.{tag}" if found and tag else str(found or "")


def _of(name: str) -> str:
    return f" of {name}" if name else ""


def _read(config: Mapping[str, Any], origin: str) -> Found:
    values = {name: config.get(name) or default for name, default in DEFAULTS.items()}
    # A size that is left out is a size in timm too; what was left out is said.
    missing = [f"{name} = {_shown(default)}" for name, default in DEFAULTS.items() if not config.get(name)]
    notes = [Note(f"{origin} leaves out {', '.join(missing)}: timm's defaults were taken")] if missing else []
    if values["crop_mode"] == "border":
        notes.append(Note("crop_mode border: for about one image size of 10,000 the steps round a side to another pixel than timm does"))
    labels = config.get("label_names")
    answer = Answer(labels=tuple(map(str, labels))) if isinstance(labels, list | tuple) and labels else Answer()
    try:
        contract = Contract(_steps(values, origin), answer)
        notes += _notes_on_tests(config, values)
    except (TypeError, ValueError, OverflowError) as problem:
        raise DataError(f"{origin} has a value that timm does not write: {problem}") from None
    contract.check()
    return Found(contract, origin, tuple(notes))


def _notes_on_tests(config: Mapping[str, Any], values: dict[str, Any]) -> list[Note]:
    """That the model was also measured at another size."""
    size, share = config.get("test_input_size"), config.get("test_crop_pct")
    if not size and not share:
        return []
    other = f"{_shown((size or values['input_size'])[1:])} with crop_pct {share or values['crop_pct']}"
    used = f"{_shown(values['input_size'][1:])} with crop_pct {values['crop_pct']}"
    return [Note(f"timm also measured this model at {other}; the steps are for {used}, which is timm's default")]


def _steps(values: dict[str, Any], origin: str) -> tuple[Step, ...]:
    channels, *sides = (int(side) for side in values["input_size"])
    share, mode, filter = float(values["crop_pct"]), values["crop_mode"], values["interpolation"]
    if filter not in PILLOW_FILTERS:
        raise DataError(f"{origin}: interpolation is {filter!r}; it must be one of {', '.join(PILLOW_FILTERS)}")
    if channels not in (1, 3):
        raise DataError(f"{origin}: input_size has {channels} channels, and an image has 3 or 1: give the samples as arrays (--data)")
    if share <= 0:
        raise DataError(f"{origin}: crop_pct is {share}; it must be above 0")
    mean, std = (_by_channel(name, values[name], channels, origin) for name in ("mean", "std"))
    size = (sides[0], sides[1])
    scaled = (math.floor(size[0] / share), math.floor(size[1] / share))
    return (
        Decode("L" if channels == 1 else "RGB"),
        *_sized(mode, size, scaled, filter, mean, origin),
        ChannelsFirst(),
        Normalize(1 / 255, mean, std, 0, arithmetic="torch"),
    )


def _sized(
    mode: str, size: tuple[int, int], scaled: tuple[int, int], filter: Any, mean: tuple[float, ...], origin: str
) -> tuple[Step, ...]:
    """The steps to the image's ``size``, as ``transforms_imagenet_eval`` makes them; ``scaled`` is the size over ``crop_pct``."""
    if mode == "squash":
        return Resize(scaled, filter), Crop(size)
    if mode == "border":
        levels = {round(255 * value) for value in mean}
        if scaled != size or len(levels) > 1:
            raise DataError(
                f"{origin}: crop_mode border with crop_pct = {size[0] / scaled[0]:.4g} and mean = {list(mean)} pads with a colour, or "
                "crops what it padded, which no step does; give crop_pct = 1 and one mean, or write the steps as a TOML file"
            )
        return (Letterbox(size, value=levels.pop(), filter=filter, antialias=True),)
    # timm takes every other word for "center".
    if scaled[0] != scaled[1]:
        raise DataError(
            f"{origin}: input_size {_shown(size)} with crop_mode center scales an image until it covers a size that is not square: no step "
            'does so; set crop_mode to "squash", or write the steps as a TOML file'
        )
    return Resize(scaled[0], filter), Crop(size)


def _by_channel(name: str, values: Any, channels: int, origin: str) -> tuple[float, ...]:
    found = tuple(float(value) for value in (values if isinstance(values, list | tuple) else [values]))
    if len(found) not in (1, channels):
        if channels == 1 and found == tuple(DEFAULTS[name]):
            raise DataError(f"{origin}: {name} is left out, and timm's default has 3 numbers for an input of 1 channel; state {name}")
        raise DataError(f"{origin}: {name} has {len(found)} numbers, and input_size {channels} channels")
    return found


def _shown(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list | tuple) and all(isinstance(one, int) for one in value) else str(value)
