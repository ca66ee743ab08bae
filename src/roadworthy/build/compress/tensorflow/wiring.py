"""Which layers of a functional or Sequential model take what which others give, of either Keras, models inside models included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from roadworthy.frameworks.tensorflow import keras_model

KERAS = ("keras", "tf_keras")


@dataclass(frozen=True)
class Tensor:
    """A symbolic tensor: its identity in this process, and its shape with None for sizes that are free, the samples first."""

    key: int
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer; ``path`` is its name, behind those of the models that it stands in.

    ``numbers``: what it takes beside its ``inputs`` are single numbers, if it takes anything.
    """

    layer: Any
    path: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    numbers: bool = True

    @property
    def words(self) -> str:
        """The layer in an error's words."""
        return f"{self.path!r} ({kind(self.layer)})"


@dataclass(frozen=True)
class Wiring:
    """``calls`` in the order in which they run, ``consumers`` and ``producers`` by a tensor's key.

    ``answers`` are outputs of the model or of one inside. ``times`` says how often a layer is called, by its identity.
    """

    calls: tuple[LayerCall, ...]
    answers: frozenset[int]
    consumers: Mapping[int, tuple[LayerCall, ...]] = field(default_factory=dict)
    producers: Mapping[int, LayerCall] = field(default_factory=dict)
    times: Mapping[int, int] = field(default_factory=dict)


def of(model: Any) -> Wiring:
    """The wiring of a model for which ``refused`` has no words."""
    calls, times = tuple(_calls(model, "")), Counter[int]()
    _count(model, 1, times)
    answers = {id(tensor) for graph in _graphs(model) for tensor in graph.outputs}
    consumers: dict[int, list[LayerCall]] = {}
    for call in calls:
        for tensor in call.inputs:
            consumers.setdefault(tensor.key, []).append(call)
    producers = {tensor.key: call for call in calls for tensor in call.outputs}
    return Wiring(calls, frozenset(answers), {key: tuple(found) for key, found in consumers.items()}, producers, times)


def refused(model: Any) -> str:
    """Why the layers of ``model`` cannot be taken from its configuration, in words; empty where they can."""
    name = type(model).__name__
    if root(type(model).call) not in KERAS or not isinstance(_config(model).get("layers"), list):
        return f"the model is a class of its own ({name}), whose layers are wired by its code; functional and Sequential models can be cut"
    if _graph(model) is None:
        return f"the model ({name}) states no shape of its input; give it a keras.Input"
    shared = {path for path, layer in layers(model) if inside(layer) and refused(layer)}
    return f"the model {min(shared)!r} inside it is a class of its own, whose layers are wired by its code" if shared else ""


def layers(model: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every layer with its path, models inside before their own layers."""
    for layer in model.layers:
        path = f"{prefix}{layer.name}"
        yield path, layer
        if inside(layer) and not refused(layer):
            yield from layers(layer, f"{path}/")


def inside(layer: Any) -> bool:
    """Whether ``layer`` is a whole model."""
    return hasattr(layer, "layers") and hasattr(layer, "get_layer")


def kind(layer: Any) -> str:
    """The name of the layer's class or, for a function of TensorFlow as a layer of tf-keras, that function's."""
    return str(getattr(layer, "symbol", None) or type(layer).__name__)


def root(thing: Any) -> str:
    """The package that defines ``thing``."""
    return str(getattr(thing, "__module__", "")).partition(".")[0]


def _config(model: Any) -> dict[str, Any]:
    try:
        return dict(model.get_config())
    except NotImplementedError:
        return {}


def _graph(model: Any) -> Any:
    """What holds the calls: the model itself or, for a Sequential of Keras 3, the functional model that it keeps."""
    graph = model._functional if hasattr(model, "_functional") else model
    return graph if getattr(graph, "_nodes_by_depth", None) else None


def _graphs(model: Any) -> list[Any]:
    return [_graph(each) for each in (model, *(layer for _, layer in layers(model) if inside(layer)))]


def _nodes(model: Any) -> list[Any]:
    by_depth: Mapping[int, list[Any]] = _graph(model)._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def _layer(node: Any) -> Any:
    return node.operation if hasattr(node, "operation") else node.layer


def _calls(model: Any, prefix: str) -> Iterator[LayerCall]:
    entered: set[int] = set()
    for node in _nodes(model):
        layer = _layer(node)
        path = f"{prefix}{layer.name}"
        taken = node.keras_inputs if hasattr(node, "keras_inputs") else node.input_tensors
        yield LayerCall(
            layer, path, _tensors(taken), _tensors(tensor for _, tensor in keras_model.flatten(node.outputs)), _numbers(node, taken)
        )
        if inside(layer) and id(layer) not in entered:
            entered.add(id(layer))
            yield from _calls(layer, f"{path}/")


def _numbers(node: Any, taken: Iterable[Any]) -> bool:
    """Whether all arguments of a call are numbers, but for the tensors ``taken``."""
    given = node.arguments if hasattr(node, "arguments") else node
    positional, keywords = (given.args, given.kwargs) if hasattr(given, "args") else (given.call_args, given.call_kwargs)
    named = {key: value for key, value in keywords.items() if key not in ("name", "training", "mask")}
    tensors = {id(tensor) for tensor in taken}
    return all(id(value) in tensors or value is None or isinstance(value, int | float) for value in (*positional, *named.values()))


def _tensors(found: Iterable[Any]) -> tuple[Tensor, ...]:
    return tuple(Tensor(id(tensor), tuple(tensor.shape)) for tensor in found)


def _count(model: Any, times: int, found: Counter[int]) -> None:
    called = [_layer(node) for node in _nodes(model)]
    here = Counter(map(id, called))
    for layer in {id(layer): layer for layer in called}.values():
        found[id(layer)] += times * here[id(layer)]
        if inside(layer):
            _count(layer, times * here[id(layer)], found)
