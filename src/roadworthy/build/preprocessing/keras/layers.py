"""Keras's preprocessing layers, in their order, as steps.

Keras resizes and crops float pixels; here the values are changed last, which is the same but for the last bits where a layer that scales
stands before one that interpolates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from roadworthy.core.errors import DataError
from roadworthy.core.evidence import Note
from roadworthy.preprocess.spec import Layout
from roadworthy.preprocess.steps import ChannelsFirst, Crop, CropToAspect, Decode, Normalize, Resize, Step

AT_TRAINING = ("Random", "RandAugment", "AugMix", "CutMix", "MixUp", "Dropout", "Gaussian")
"""How the names of layers begin that do nothing at inference."""
NOTHING = ("InputLayer", "Identity")
EPSILON = 1e-7
"""The least standard deviation that Normalization divides by."""
FILTERS: dict[str, Literal["nearest", "bilinear", "bicubic", "lanczos"]] = {
    "nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic", "lanczos3": "lanczos",
}  # fmt: skip
"""The filter of a step for Keras's interpolation."""
ONLY_WITH_ANTIALIAS = "lanczos3"
INSTEAD = "write what it does as steps in a TOML file: --preprocess FILE.toml"


@dataclass(frozen=True)
class PreprocessingLayer:
    """One layer by its class, its name and its configuration; ``mean`` and ``variance`` are those that it was adapted to."""

    kind: str
    name: str
    config: Mapping[str, Any]
    mean: tuple[float, ...] = ()
    variance: tuple[float, ...] = ()

    def problem(self, what: str) -> DataError:
        """That the layer cannot be carried out."""
        return DataError(f"the layer {self.name!r} ({self.kind}) {what}; {INSTEAD}")


@dataclass
class _Reading:
    """What was read so far: steps on pixels, and the factors ``(x * scale - mean) / std`` in their order."""

    pixels: list[Step] = field(default_factory=list)
    factors: list[Normalize] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def is_preprocessing(kind: str) -> bool:
    """Whether a layer of this class prepares images, or does nothing at inference."""
    return kind in ("Rescaling", "Normalization", "Resizing", "CenterCrop", *NOTHING) or kind.startswith(AT_TRAINING)


def contract_steps(layers: Iterable[PreprocessingLayer], layout: Layout) -> tuple[tuple[Step, ...], tuple[Note, ...]]:
    """The steps from an image to what the last layer gives, in ``layout``, and notes on what was left out.

    Raises DataError, with the layer and its argument, where a layer cannot be carried out exactly.
    """
    reading = _Reading()
    for layer in layers:
        _read(layer, reading)
    axis: Literal[0, 2] = 0 if layout == "CHW" else 2
    layout_step: tuple[Step, ...] = (ChannelsFirst(),) if layout == "CHW" else ()
    return (Decode(), *reading.pixels, *layout_step, _folded(reading, axis)), tuple(reading.notes)


def _read(layer: PreprocessingLayer, reading: _Reading) -> None:
    if layer.kind in ("Resizing", "CenterCrop"):
        if reading.factors:
            said = f"the layer {layer.name!r} ({layer.kind}) comes after one that scales; here it comes before, equal but for the last bits"
            reading.notes.append(Note(said))
        reading.pixels += _resized(layer) if layer.kind == "Resizing" else [_cropped(layer)]
    elif layer.kind == "Rescaling":
        reading.factors.append(_rescaled(layer))
    elif layer.kind == "Normalization":
        reading.factors.append(_normalised(layer))
    elif layer.kind.startswith(AT_TRAINING):
        reading.notes.append(Note(f"the layer {layer.name!r} ({layer.kind}) was left out: it does nothing at inference"))
    elif layer.kind not in NOTHING:
        raise layer.problem("is not a preprocessing layer that has a step here")


def _resized(layer: PreprocessingLayer) -> list[Step]:
    config = layer.config
    size = (int(config["height"]), int(config["width"]))
    interpolation, antialias = str(config.get("interpolation", "bilinear")).lower(), bool(config.get("antialias", False))
    if config.get("pad_to_aspect_ratio"):
        raise layer.problem("has pad_to_aspect_ratio=True: it pads before it resizes, and no step does that")
    if interpolation not in FILTERS or (interpolation == ONLY_WITH_ANTIALIAS and not antialias):
        raise layer.problem(f"has interpolation={interpolation!r} and antialias={antialias}, whose kernel no step has")
    resize = Resize(size, FILTERS[interpolation], antialias=antialias, rounded=False, like="tf")
    return [CropToAspect(size), resize] if config.get("crop_to_aspect_ratio") else [resize]


def _cropped(layer: PreprocessingLayer) -> Crop:
    return Crop((int(layer.config["height"]), int(layer.config["width"])), rounding="down", larger="resize")


def _rescaled(layer: PreprocessingLayer) -> Normalize:
    scale, offset = (_values(layer, name, layer.config.get(name, 0.0)) for name in ("scale", "offset"))
    if len(scale) == 1:
        return Normalize(scale[0], tuple(-value for value in offset))
    if min(scale) <= 0:
        raise layer.problem("has a scale that is not above 0 in every channel")
    offset = offset * len(scale) if len(offset) == 1 else offset
    return Normalize(1.0, tuple(-by / of for by, of in zip(offset, scale, strict=True)), tuple(1 / value for value in scale))


def _normalised(layer: PreprocessingLayer) -> Normalize:
    axis = layer.config.get("axis", -1)
    axes = [] if axis is None else list(axis) if isinstance(axis, list | tuple) else [axis]
    if len(axes) > 1:
        raise layer.problem(f"has axis={axes}, a mean for each pixel")
    mean, variance = layer.mean, layer.variance
    if layer.config.get("mean") is not None:
        mean, variance = (_values(layer, name, layer.config[name]) for name in ("mean", "variance"))
    if not mean:
        raise layer.problem("has no mean and variance yet: adapt it to the training data first")
    std = tuple(max(math.sqrt(value), EPSILON) for value in variance)
    if layer.config.get("invert"):
        return Normalize(1.0, tuple(-one / by for one, by in zip(mean, std, strict=True)), tuple(1 / one for one in std))
    return Normalize(1.0, mean, std)


def _folded(reading: _Reading, axis: Literal[0, 2]) -> Normalize:
    """All factors as one step, in Keras's own order of operations where there is one factor, or two without an offset between them."""
    factors = reading.factors or [Normalize(1.0)]
    whole = factors[0]
    for factor in factors[1:]:
        if not any(whole.mean) and all(value == 1 for value in whole.std) and factor.scale == 1:
            whole = Normalize(whole.scale, factor.mean, factor.std)
        else:
            whole = _composed(whole, factor)
            reading.notes.append(Note("the layers that scale are carried out as one step: the values are theirs but for the last bits"))
    return Normalize(whole.scale, whole.mean, whole.std, axis, arithmetic="keras")


def _composed(first: Normalize, then: Normalize) -> Normalize:
    """``((x * s1 - m1) / d1 * s2 - m2) / d2`` as one ``(x * s - m) / d``, with s = s1 * s2, m = m1 * s2 + m2 * d1 and d = d1 * d2."""
    channels = max(map(len, (first.mean, first.std, then.mean, then.std)))
    m1, d1, m2, d2 = (values * channels if len(values) == 1 else values for values in (first.mean, first.std, then.mean, then.std))
    mean = tuple(a * then.scale + b * by for a, b, by in zip(m1, m2, d1, strict=True))
    return Normalize(first.scale * then.scale, mean, tuple(a * b for a, b in zip(d1, d2, strict=True)))


def _values(layer: PreprocessingLayer, name: str, value: Any) -> tuple[float, ...]:
    """One number, or one for each channel, as a configuration holds them."""
    if isinstance(value, Mapping):
        value = value.get("config", {}).get("value")
    value = value.tolist() if hasattr(value, "tolist") else value
    while isinstance(value, list | tuple) and len(value) == 1:
        (value,) = value
    values = list(value) if isinstance(value, list | tuple) else [value]
    if len(values) not in (1, 3) or not all(isinstance(one, int | float) and math.isfinite(one) for one in values):
        raise layer.problem(f"has a {name} that is neither one number nor one for each channel")
    return tuple(map(float, values))
