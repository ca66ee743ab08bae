"""The first layers of a Keras model, by its configuration as JSON: those that scale, resize or crop pixels before anything was trained.

The layers are followed from the only input as long as each has one successor, into the models that a model holds, and past what does
nothing at inference (random layers, dropout). Keras writes arithmetic on tensors as layers of its own: ``x / 127.5`` is one too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from roadworthy.build.sources.parsers.untrusted import shown
from roadworthy.build.sources.pixels.affine import arithmetic, deviations, normalised, written
from roadworthy.core.stages import InnerLayer

MODELS = ("Sequential", "Functional", "Model")
NOTHING = frozenset({
    "InputLayer", "Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "Identity", "MixUp", "CutMix", "AugMix", "RandAugment",
    "Cast", "Stack",
})  # fmt: skip
FACTORS = {
    "Multiply": "*", "TrueDivide": "/", "Divide": "/", "Add": "+", "Subtract": "-", "math.multiply": "*", "math.truediv": "/",
    "math.divide": "/", "math.add": "+", "math.subtract": "-", "__operators__.add": "+", "compat.v1.nn.bias_add": "+", "nn.bias_add": "+",
}  # fmt: skip
"""Arithmetic with a constant, by Keras 3's class and by TensorFlow's function as Keras 2 names it."""
ADAPTED = "Normalization, with values among its weights"
PARTS = ("GetItem", "SlicingOpLambda")


@dataclass(frozen=True)
class FirstLayers:
    """``layers`` in their order, and the names of the model and of those in it."""

    layers: tuple[InnerLayer, ...] = ()
    models: tuple[str, ...] = ()


def read(config: Any) -> FirstLayers:
    """What the configuration ``config`` of a model states; nothing where it has several inputs."""
    found: list[InnerLayer] = []
    try:
        _follow(config, "", found)
        return FirstLayers(tuple(found), tuple(_names(config)))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, OverflowError):
        # A configuration that is not as Keras writes it states nothing; its reader reports what is wrong.
        return FirstLayers()


def _names(config: Any) -> Iterator[str]:
    if isinstance(config, dict) and config.get("class_name") in MODELS and isinstance(inner := config.get("config"), dict | list):
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            yield shown(inner["name"])
        for layer in inner.get("layers", ()) if isinstance(inner, dict) else inner:
            yield from _names(layer)


def _follow(model: Any, path: str, found: list[InnerLayer]) -> bool:
    """Append the first layers of ``model``; whether it holds nothing else, so that what follows it comes first too."""
    inner = model["config"]
    layers = inner if isinstance(inner, list) else inner["layers"]
    for node in _sequence(layers) if model["class_name"] == "Sequential" else _from_input(inner):
        name = f"{path}{shown(str(node['config'].get('name', node['class_name'])))}"
        if node["class_name"] in MODELS:
            if not _follow(node, f"{name}/", found):
                return False
        elif (layer := _layer(node, name)) is not None:
            found.append(layer)
        elif not _does_nothing(node):
            return False
    return True


def _sequence(layers: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from layers


def _from_input(inner: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The layers of a functional model from its only input on, while each has one successor; then one that nothing is known of."""
    given = inner["input_layers"]
    names = [given[0]] if isinstance(given[0], str) else [one[0] for one in given]
    if len(names) != 1:
        yield {"class_name": "", "config": {}}
        return
    nodes = {node["name"]: node for node in inner["layers"]}
    ends = json.dumps(inner["output_layers"])
    name, seen = names[0], set[str]()
    while name not in seen:
        seen.add(name)
        readers = [node for node in inner["layers"] if name in _sources(node)]
        if readers and all(node["class_name"] in PARTS for node in readers):
            readers = _joined(readers, inner["layers"])
        if len(readers) != 1:
            if json.dumps(name) not in ends:
                yield {"class_name": "", "config": {}}
            return
        name = readers[0]["name"]
        yield nodes[name]


def _joined(parts: list[dict[str, Any]], nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The one node that puts the channels, taken apart by ``parts``, together in another order; all ``parts`` where there is none."""
    if len(parts) == 1:
        return parts
    names = {node["name"] for node in parts}
    stacks = [node for node in nodes if names & set(_sources(node))]
    return stacks if len(stacks) == 1 and stacks[0]["class_name"] == "Stack" and set(_sources(stacks[0])) == names else parts


def _sources(node: dict[str, Any]) -> list[str]:
    """The names of the layers whose results ``node`` takes, as Keras 3 and Keras 2 write them."""
    found: list[str] = []
    waiting: list[Any] = [node.get("inbound_nodes", ())]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if isinstance(history := part.get("keras_history"), list):
                found.append(history[0])
            else:
                waiting += part.values()
        elif isinstance(part, list):
            if len(part) in (3, 4) and isinstance(part[0], str) and isinstance(part[1], int) and isinstance(part[2], int):
                found.append(part[0])
                waiting += part[3:]
            else:
                waiting += part
    return found


def _does_nothing(node: dict[str, Any]) -> bool:
    """Whether the values stay as they are at inference; another order of the channels changes no value."""
    kind = node["class_name"]
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        return node["config"].get("function") == "cast" or _reverses(node)
    return kind in NOTHING or kind.startswith("Random") or _reverses(node)


def _reverses(node: dict[str, Any]) -> bool:
    return node["class_name"] in PARTS and '"step": -1' in json.dumps(node["inbound_nodes"])


def _layer(node: dict[str, Any], name: str) -> InnerLayer | None:
    kind, config = node["class_name"], node["config"]
    if kind == "Rescaling":
        return _scaled(name, _numbers(config["scale"]), _numbers(config.get("offset", 0.0)))
    if kind == "Normalization":
        return _normalised(name, config)
    if kind in ("Resizing", "CenterCrop"):
        size = (int(config["height"]), int(config["width"]))
        return InnerLayer(name, f"{kind}({size[0]}, {size[1]})", size=size)
    function = config.get("function") if kind == "TFOpLambda" else kind if "ops" in str(node.get("module")) else None
    if function not in FACTORS:
        return None
    return arithmetic(name, FACTORS[function], _constant(node["inbound_nodes"][0]))


def _scaled(name: str, scale: tuple[float, ...], offset: tuple[float, ...]) -> InnerLayer:
    return InnerLayer(name, f"Rescaling(scale={written(scale)}, offset={written(offset)})", scale, offset)


def _normalised(name: str, config: dict[str, Any]) -> InnerLayer:
    """Without ``mean`` its values are among the weights: scale and offset are empty then."""
    if config.get("mean") is None:
        return InnerLayer(name, ADAPTED, (), ())
    mean, variance = _numbers(config["mean"]), _numbers(config["variance"])
    if config.get("invert"):
        return InnerLayer(
            name, f"Normalization(mean={written(mean)}, variance={written(variance)}, invert=True)", deviations(variance), mean
        )
    return normalised(name, mean, variance)


def _constant(call: Any) -> tuple[float, ...]:
    """The constant that one call has beside its only tensor, which comes first; empty where there is none of one number a channel."""
    if isinstance(call, dict):
        others = [*call["args"][1:], *call["kwargs"].values()]
        first = call["args"][0] if call["args"] else None
        return _numbers(others[0]) if len(others) == 1 and isinstance(first, dict) and "keras_history" in str(first.get("config")) else ()
    (tensor,) = call if isinstance(call[0], list) else (call,)
    others = [value for key, value in tensor[3].items() if key in ("y", "bias")]
    return _numbers(others[0]) if len(others) == 1 else ()


def _numbers(value: Any) -> tuple[float, ...]:
    """One number, or one for each channel, however Keras wrote them; empty for anything else."""
    if isinstance(value, dict):
        value = value["config"]["value"]
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    values = value if isinstance(value, list) else [value]
    if len(values) not in (1, 3) or not all(isinstance(one, int | float) and math.isfinite(one) for one in values):
        return ()
    return tuple(map(float, values))
