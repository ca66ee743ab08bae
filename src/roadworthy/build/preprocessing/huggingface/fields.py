"""The fields of an image processor's file: read, completed by the defaults of its class, and refused where they cannot be followed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from roadworthy.build.preprocessing.huggingface.classes import CLASSES, OF_MODEL, ProcessorClass
from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note

Backend: TypeAlias = Literal["pillow", "torch"]

WAY_OUT = "write the steps as a TOML file and name that with --preprocess"
KIND_FIELDS = ("image_processor_type", "feature_extractor_type")
WITHOUT_PIXELS = frozenset({
    *KIND_FIELDS, "processor_class", "_processor_class", "transformers_version", "device", "return_tensors", "disable_grouping",
    "input_data_format", "model_input_names", "use_fast", "do_reduce_labels", "reduce_labels", "image_seq_length", "name_or_path",
    "_valid_processor_keys", "_valid_kwargs_names", "default_to_square",
})  # fmt: skip
"""Fields that change no pixel of an image."""
OF_EVERY_CLASS = frozenset({
    "do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor", "do_normalize", "image_mean",
    "image_std", "do_convert_rgb", "do_pad", "pad_size", "data_format", "auto_map",
})  # fmt: skip
OF_RULES = {
    "crop_pct": ("convnext", "poolformer"), "rescale_offset": ("efficientnet",), "include_top": ("efficientnet",),
    "do_flip_channel_order": ("mobilevit",),
}  # fmt: skip
"""Fields that only some classes read; transformers passes over them in the file of another."""
NOT_READ = {"mobilevit": ("do_normalize",), "segformer": ("do_center_crop",)}
"""Switches that the class itself passes over."""


@dataclass(frozen=True)
class Size:
    """``to`` is (height, width), or one number for the shorter side; ``longest`` is the most that the longer side may get."""

    to: int | tuple[int, int]
    longest: int | None = None


class Fields:
    """One file's fields. ``what`` names the file in messages; ``notes`` grows by what the class's defaults decide.

    ``suffix`` is what the class's name says of the backend: "Fast", "Pil" or nothing.
    """

    def __init__(self, values: Mapping[str, Any], what: str, model_type: str = "") -> None:
        self.values, self.what = values, what
        stated = next((values[field] for field in KIND_FIELDS if isinstance(values.get(field), str)), "")
        self.notes: list[Note] = []
        self.name, self.suffix = _named(stated) if stated else (self._of_model(model_type), "")
        self.kind = self._kind()
        self._missing: list[str] = []
        self._check()

    def flag(self, field: str, default: bool) -> bool:
        """A switch; null is the default."""
        found = self.values.get(field)
        if found is not None and not isinstance(found, bool):
            raise self.refused(field, "is neither true nor false")
        return default if found is None else found

    def number(self, field: str, default: float) -> float:
        """A finite number that is not 0."""
        found = self.values.get(field)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found) or found == 0:
            raise self.refused(field, "is not a number that can be used")
        return float(found)

    def numbers(self, field: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """One number for each channel, or one for all."""
        found = self.values.get(field)
        if found is None:
            self._missing.append(f"{field} {list(default)}")
            return default
        values = found if isinstance(found, list | tuple) else [found]
        if not all(isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values):
            raise self.refused(field, "is neither a number nor a list of numbers")
        return tuple(float(value) for value in values)

    def resample(self) -> int:
        """The number that Pillow gives the filter."""
        found = self.values.get("resample")
        if found is None:
            self._missing.append(f"resample {self.kind.resample}")
            return self.kind.resample
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= 5:
            raise self.refused("resample", "is not one of Pillow's filters, 0 to 5")
        return int(found)

    def size(self) -> Size:
        """``size`` in any of its forms."""
        found = self.values.get("size")
        if found is None:
            self._missing.append(f"size {self.kind.size}")
            return Size(self.kind.size)
        if isinstance(found, Mapping):
            return self._size_of(found)
        if _is_size(found):
            return Size((found, found) if self.kind.square else found)
        if isinstance(found, list | tuple) and len(found) == 2 and all(map(_is_size, found)):
            return Size((found[0], found[1]))
        raise self.refused("size", "is not a size that transformers reads")

    def crop_size(self) -> tuple[int, int]:
        """``crop_size`` as (height, width); a bare number is a square."""
        found = self.values.get("crop_size")
        if found is None and self.kind.crop is not None:
            self._missing.append(f"crop_size {self.kind.crop}")
            return self.kind.crop
        if isinstance(found, int) and _is_size(found):
            return found, found
        if isinstance(found, Mapping) and set(_stated(found)) == {"height", "width"}:
            found = [found["height"], found["width"]]
        if isinstance(found, list | tuple) and len(found) == 2 and all(map(_is_size, found)):
            return found[0], found[1]
        raise self.refused("crop_size", "is not a height and a width, which do_center_crop needs")

    def refused(self, field: str, why: str) -> DataError:
        """The error about one field."""
        value = "" if self.values.get(field) is None else f" ({str(self.values[field])[:80]})"
        return DataError(f"{self.what}: {field}{value} of {self.name} {why}; {WAY_OUT}")

    def on_defaults(self) -> tuple[Note, ...]:
        """What the file left open, where it mattered."""
        if not self._missing:
            return ()
        return (Note(f"{self.what} leaves open what {self.name} of transformers 5.24 has by default: {', '.join(self._missing)}"),)

    def _of_model(self, model_type: str) -> str:
        if model_type not in OF_MODEL:
            raise DataError(f"{self.what} does not name its class (image_processor_type), so what it does is not known; {WAY_OUT}")
        self.notes.append(Note(f"{self.what} names no class; for the model_type {model_type!r} it is {OF_MODEL[model_type]}"))
        return OF_MODEL[model_type]

    def _kind(self) -> ProcessorClass:
        if self.values.get("auto_map"):
            raise DataError(f"{self.what}: {self.name} is code of its own (auto_map), which is never run; {WAY_OUT}")
        if self.name not in CLASSES:
            raise DataError(f"{self.what}: what the class {self.name[:80]} does is not known here; {WAY_OUT}")
        return CLASSES[self.name]

    def _check(self) -> None:
        """Refuse what may change pixels and is not known, and note what transformers passes over."""
        for field, value in self.values.items():
            if value is None or field in WITHOUT_PIXELS or field in OF_EVERY_CLASS:
                continue
            if field not in OF_RULES:
                raise self.refused(field, "is not known, and may change the pixels")
            if self.kind.rule not in OF_RULES[field]:
                self.notes.append(Note(f"{self.what}: {field} was left out, as {self.name} does not read it"))
        for field in NOT_READ.get(self.kind.rule, ()):
            if self.values.get(field):
                self.notes.append(Note(f"{self.what}: {field} was left out, as {self.name} does not read it"))

    def _size_of(self, found: Mapping[str, Any]) -> Size:
        stated = _stated(found)
        if not all(map(_is_size, stated.values())):
            raise self.refused("size", "holds something else than whole numbers above 0")
        if set(stated) == {"height", "width"}:
            return Size((stated["height"], stated["width"]))
        if set(stated) == {"shortest_edge"}:
            return Size(stated["shortest_edge"])
        if set(stated) == {"shortest_edge", "longest_edge"}:
            return Size(stated["shortest_edge"], stated["longest_edge"])
        raise self.refused("size", "is not a size that this class of transformers reads")


def _named(stated: str) -> tuple[str, str]:
    """The class that a file names, without the suffix of its backend, and that suffix; a feature extractor is the processor it became."""
    name = re.sub("FeatureExtractor$", "ImageProcessor", stated)
    for suffix in ("Fast", "Pil"):
        if name.endswith(f"ImageProcessor{suffix}"):
            return name.removesuffix(suffix), suffix
    return name, ""


def _stated(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value is not None}


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
