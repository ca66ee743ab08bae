"""Channels cut out of a Keras model: its configuration with fewer of them, its weights sliced, and the proof by setting them to zero."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.compress.stages import Cut, CutRequest, Widths
from roadworthy.build.compress.tensorflow import counting, finding, importance, proof, wiring
from roadworthy.build.compress.tensorflow.finding import FoundBlocks
from roadworthy.build.compress.tensorflow.walk import LiveBlock
from roadworthy.core.errors import StepFailed
from roadworthy.core.types import Array
from roadworthy.frameworks.tensorflow import framework, keras_model
from roadworthy.frameworks.tensorflow.keras_model import KerasModel

PRUNED = "pruned"
TOLERANCE = 1e-4
"""The largest difference relative to the output's scale that rounding may make: a float32 sum of fewer numbers has another order."""


def cut(request: CutRequest) -> Cut:
    """The model with ``request.widths`` channels in its blocks; see ``build.compress.cut``."""
    signature, samples = request.graph.signature, request.samples
    original = keras_model.load(request.graph.path)
    chosen = _chosen(original.model, request.widths)
    scores = importance.scores(request.importance, chosen, original, signature, samples)
    keep = {block.name: importance.kept(block, scores[block.name], request.widths[block.name]) for block in chosen}
    before = counting.count(original, signature, samples)
    smaller = KerasModel(_rebuilt(request.graph.path, original.model, _changes(chosen, keep)), original.reader, original.call)
    _copy(original.model, smaller.model, chosen, keep)
    found = proof.differences(original, smaller, chosen, keep, signature, samples)
    if (layer := found.first(TOLERANCE)) or not found.answers <= TOLERANCE:
        raise StepFailed(
            "the model with fewer channels does not answer as the original that ignores the same channels: they differ "
            + (
                f"from the layer {layer!r} on, by {found.layers[layer]:.2g} of the scale of its answers"
                if layer
                else f"by {found.answers:.2g}"
            )
        )
    after = counting.count(smaller, signature, samples)
    keras_model.save_again(request.graph.path, smaller.model, request.out)
    left = after.multiplications / before.multiplications if before.multiplications else 1.0
    source = request.graph.derived_from or request.graph.format
    graph = replace(request.graph, path=request.out, derived_from=source, compression=_named(request.graph.compression, left))
    return Cut(graph, dict(request.widths), after.parameters, after.multiplications, found.answers)


def _named(compression: str, left: float) -> str:
    """The name of what was done, by the percentage of multiplications that was removed; a model that was cut before counts from there."""
    before = re.fullmatch(rf"{PRUNED}(\d+)", compression)
    return f"{PRUNED}{round(100 * (1 - left * (1 - int(before[1]) / 100 if before else 1)))}"


def _chosen(model: Any, widths: Widths) -> list[LiveBlock]:
    """The blocks that get narrower; StepFailed, naming the layer, for a width that a block cannot have."""
    found = finding.find(model)
    known = {block.name: block for block in found.blocks}
    for name, width in widths.items():
        if name not in known:
            raise StepFailed(f"the layer {name!r} cannot be cut: {_why(name, found)}")
        block = known[name]
        if not 0 < width <= block.channels or width % block.groups:
            multiple = f" in multiples of {block.groups}" if block.groups > 1 else ""
            raise StepFailed(f"the layer {name!r} cannot have {width} channels: it may keep 1 to {block.channels} of them{multiple}")
    return [block for block in found.blocks if widths.get(block.name, block.channels) < block.channels]


def _why(name: str, found: FoundBlocks) -> str:
    if name in found.left:
        return found.left[name]
    if first := next((block.name for block in found.blocks if any(maker.call.path == name for maker in block.makers)), ""):
        return f"it is cut together with {first!r}, by that name"
    return "no block of the model has this name" if found.blocks else next(iter(found.left.values()), "the model has no layer to cut")


def _changes(chosen: Sequence[LiveBlock], keep: Mapping[str, Array]) -> Mapping[str, Mapping[tuple[str, int | None], int]]:
    """The new numbers in the configuration of each layer, by its path, and there by ``Setting.name`` and ``Setting.index``."""
    return {
        place.call.path: {
            (setting.name, setting.index): int(finding.stays(setting.origin, keep[block.name]).sum()) for setting in place.settings
        }
        for block in chosen
        for place in block.places
        if place.settings
    }


def _rebuilt(directory: Path, model: Any, changes: Mapping[str, Mapping[tuple[str, int | None], int]]) -> Any:
    """A model with the configuration of ``model``, but for the ``changes``; its weights are fresh."""
    original = keras_model.record(directory)
    saving = keras_model.package(original.reader).saving
    config = saving.serialize_keras_object(model)
    _narrow(config, "", changes)
    try:
        return saving.deserialize_keras_object(config, custom_objects=keras_model.objects(directory), safe_mode=not original.trusted)
    except Exception as problem:
        words = f"Keras does not rebuild the model from its configuration with fewer channels: {framework.first_line(problem)}"
        raise StepFailed(words, detail=repr(problem)) from problem


def _narrow(entry: dict[str, Any], prefix: str, changes: Mapping[str, Mapping[tuple[str, int | None], int]]) -> None:
    """Change the number of channels in a model's configuration, and drop what states the shapes that its layers had."""
    entry.pop("build_config", None)
    for layer in entry["config"]["layers"]:
        path, config = f"{prefix}{layer['config']['name']}", layer["config"]
        layer.pop("build_config", None)
        for (name, index), number in changes.get(path, {}).items():
            config[name] = number if index is None else [*config[name][:index], number, *config[name][index + 1 :]]
        if isinstance(config.get("layers"), list):
            _narrow(layer, f"{path}/", changes)


def _copy(original: Any, smaller: Any, chosen: Sequence[LiveBlock], keep: Mapping[str, Array]) -> None:
    """Give ``smaller`` the weights of ``original`` without the channels that are cut."""
    masks = _masks(chosen, keep)
    targets = dict(wiring.layers(smaller))
    for path, layer in wiring.layers(original):
        if wiring.inside(layer):
            continue
        if path not in targets or len(targets[path].variables) != len(layer.variables):
            raise StepFailed(f"Keras rebuilds the layer {path!r} from its configuration with another name or with other weights")
        for weight, target in zip(layer.variables, targets[path].variables, strict=True):
            array = weight.numpy()
            for axis, mask in masks.get(id(weight), {}).items():
                array = np.compress(mask, array, axis)
            if array.shape != tuple(target.shape):
                raise StepFailed(f"the layer {path!r} has weights of shape {list(target.shape)} where {list(array.shape)} were left of it")
            target.assign(array)
        for part in targets[path]._flatten_layers():
            # An adapted Normalization computes with what it once read from its variables.
            if hasattr(part, "finalize_state"):
                part.finalize_state()


def _masks(chosen: Sequence[LiveBlock], keep: Mapping[str, Array]) -> dict[int, dict[int, Array]]:
    """Which positions stay along each axis that is cut, by the identity of a weight: those that no block cuts."""
    found: dict[int, dict[int, Array]] = {}
    for block in chosen:
        for place in block.places:
            for touch in place.touches:
                axes = found.setdefault(id(getattr(place.call.layer, touch.weight)), {})
                stays = finding.stays(touch.origin, keep[block.name])
                axes[touch.axis] = axes[touch.axis] & stays if touch.axis in axes else stays
    return found
