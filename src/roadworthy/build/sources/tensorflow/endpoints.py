"""The endpoints of a TensorFlow 1 graph: the placeholders that its answers depend on, and the tensors that are its answers.

A graph on its own names neither. The outputs are searched for (see ``output_search``) where the user names none; the inputs are then
the placeholders that they depend on, apart from training flags, which get a constant.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from roadworthy.build.sources import inputs
from roadworthy.build.sources.input_syntax import EXAMPLE_SIZE, option
from roadworthy.build.sources.parsers.tf_graph import PLACEHOLDERS
from roadworthy.build.sources.tensorflow import training_flags
from roadworthy.build.sources.tensorflow.output_search import PIPELINES, is_label, search, shown
from roadworthy.build.sources.tensorflow.specs import name_of, spec_of
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.types import ANY_RANK, BATCH, TensorSpec
from roadworthy.frameworks.tensorflow import framework
from roadworthy.frameworks.tensorflow.entry import Constant, Port

DECODERS = ("DecodeWav", "DecodeJpeg", "DecodePng", "DecodeGif", "DecodeBmp", "DecodeImage", "DecodeAndCropJpeg", "DecodeWebP")
"""Operations that read one file's bytes: graphs from before 2017 do not say that they are fed a single value."""
ELEMENTWISE = frozenset({"Cast", "Identity", "Sub", "Mul", "RealDiv", "Div", "Add", "AddV2", "ReverseV2", "StopGradient"})
"""Operations that may scale a picture before it gets a batch."""
DRAW = "RandomUniform"
SHARES = 3
"""How often a dropout takes one share from one to get the other."""


@dataclass(frozen=True)
class Endpoints:
    """``inputs`` and ``outputs`` with the specs of the former; a port's tensor is one of the graph's. ``notes`` are sentences."""

    inputs: tuple[Port, ...]
    specs: tuple[TensorSpec, ...]
    outputs: tuple[Port, ...]
    constants: tuple[Constant, ...]
    notes: tuple[str, ...] = ()


def find(graph: Any, path: Path, said: tuple[TensorSpec, ...], outputs: tuple[str, ...]) -> Endpoints:
    """The endpoints of the ``tf.Graph`` of the file at ``path``.

    ``said`` are inputs in the user's words: where they are tensors of the graph, these are fed. ``outputs`` names the
    tensors to answer with. UsageError, with the candidates, where the graph leaves a choice or has no such tensor;
    SourceError where it is not a model.
    """
    fed = [tensor for spec in said if (tensor := _tensor(graph, spec.name)) is not None]
    answers = [_named(graph, name, path) for name in outputs] or _searched(graph, fed, path)
    needed = ancestors(answers, stop={tensor.name for tensor in fed})
    _refuse_pipeline(needed, {tensor.name for tensor in fed}, path)
    placeholders = [tensor for tensor in _placeholders(graph) if tensor.op in needed and tensor.name not in {one.name for one in fed}]
    constants = [flag for tensor in placeholders if (flag := _training_flag(tensor))]
    fed = _in_file_order(graph, [*fed, *(tensor for tensor in placeholders if _must_be_fed(tensor))])
    if not fed:
        raise SourceError(
            f"{path}: {shown(answers)} depends on no placeholder, so there is nothing to feed; name other outputs: --outputs NAME"
        )
    alone = all(map(_single, fed))
    return Endpoints(
        tuple(Port(name_of(tensor), tensor.name, scalar=alone) for tensor in fed),
        tuple(_spec(tensor, path, alone=alone) for tensor in fed),
        tuple(Port(name_of(tensor), tensor.name, scalar=alone and tensor.shape.rank == 0) for tensor in answers),
        tuple(constants),
        () if outputs else (f"the answer was found in the graph: {shown(answers)}; --outputs names another",),
    )


def ancestors(tensors: Iterable[Any], stop: Collection[str] = (), *, control: bool = True) -> set[Any]:
    """The operations that ``tensors`` come from, not beyond the tensors named in ``stop``, by ``control`` inputs too."""
    seen: set[Any] = set()
    waiting = [tensor.op for tensor in tensors]
    while waiting:
        op = waiting.pop()
        if op not in seen:
            seen.add(op)
            waiting += [tensor.op for tensor in op.inputs if tensor.name not in stop]
            waiting += op.control_inputs if control else ()
    return seen


def _searched(graph: Any, chosen: list[Any], path: Path) -> list[Any]:
    placeholders = _placeholders(graph)
    fed, labels = ([tensor for tensor in placeholders if test(tensor)] for test in (_must_be_fed, is_label))
    pipeline = [tensor for op in graph.get_operations() if op.type.endswith(PIPELINES) for tensor in op.outputs]
    return search(graph.get_operations(), chosen, fed or pipeline, labels, path)


def _placeholders(graph: Any) -> list[Any]:
    return [op.outputs[0] for op in graph.get_operations() if op.type in PLACEHOLDERS]


def _must_be_fed(tensor: Any) -> bool:
    """Whether the placeholder is an input: it has no default, and is not a training flag."""
    return tensor.op.type != "PlaceholderWithDefault" and _training_flag(tensor) is None


def _in_file_order(graph: Any, tensors: list[Any]) -> list[Any]:
    """Whatever the order of the user's words."""
    order = {op.name: place for place, op in enumerate(graph.get_operations())}
    return sorted(tensors, key=lambda tensor: (order[tensor.op.name], tensor.value_index))


def _spec(tensor: Any, path: Path, *, alone: bool) -> TensorSpec:
    spec = spec_of(name_of(tensor), tensor.dtype, tensor.shape, alone=alone)
    if _single(tensor):
        spec = replace(spec, shape=(1,)) if alone else replace(spec, shape=(), sample_axis=None)
    elif tensor.shape.rank and _gets_a_batch(tensor):
        sizes = (f"{spec.name}_{axis}" if size == BATCH else size for axis, size in enumerate(spec.shape))
        spec = replace(spec, shape=tuple(sizes), sample_axis=None)
    inputs.refuse_type(spec, path)
    return spec


def _gets_a_batch(tensor: Any) -> bool:
    """Whether the graph itself puts the axis of the samples before the axes of ``tensor``: it takes one picture, say, and no batch."""
    for op in tensor.consumers():
        first = bool(len(op.inputs)) and op.inputs[0].name == tensor.name
        if op.type == "ExpandDims" and first and framework.framework().get_static_value(op.inputs[1]) == 0:
            return True
        if op.type == "Pack" and op.get_attr("axis") == 0 and len(op.inputs) == 1:
            return True
        if op.type in ELEMENTWISE and op.outputs[0].shape.rank == tensor.shape.rank and _gets_a_batch(op.outputs[0]):
            return True
    return False


def _single(tensor: Any) -> bool:
    return tensor.shape.rank == 0 or (tensor.shape.rank is None and any(op.type in DECODERS for op in tensor.consumers()))


def _training_flag(tensor: Any) -> Constant | None:
    """What the placeholder is fed in every call, where it says whether the model trains."""
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return training_flags.constant(tensor.name, tensor.dtype.name, shape, used=_without_dropout(tensor), drawn=_meets_a_draw(tensor))


def _without_dropout(tensor: Any, depth: int = 0) -> float | None:
    """The value of ``tensor`` at which a dropout drops nothing; ``None`` where none is seen to work with it.

    A dropout divides by the share that it keeps and compares (or adds) a random number; one share is one minus the other.
    """
    for op in tensor.consumers():
        place = [one.name for one in op.inputs].index(tensor.name)
        if op.type in ("RealDiv", "Div") and place == 1:
            return 1.0
        if op.type == "GreaterEqual" and place == 1:
            return 0.0
        if op.type == "Sub" and place == 1 and depth < SHARES:
            other = _without_dropout(op.outputs[0], depth + 1)
            if other is not None:
                return 1.0 - other
    return None


def _meets_a_draw(tensor: Any, depth: int = 0) -> bool:
    """Whether ``tensor``, or one minus it, is added to a random number or compared with one, as the share of a dropout is."""
    for op in tensor.consumers():
        others = [one for one in op.inputs if one.name != tensor.name]
        if op.type in ("Add", "AddV2", "GreaterEqual", "Less") and DRAW in {one.type for one in ancestors(others)}:
            return True
        if op.type == "Sub" and depth < SHARES and _meets_a_draw(op.outputs[0], depth + 1):
            return True
    return False


def _refuse_pipeline(needed: set[Any], fed: set[str], path: Path) -> None:
    """SourceError where a queue or a data set of the graph's own feeds what is ``needed``, with the tensor that can be fed instead."""
    used = {tensor.name: tensor for op in needed for tensor in op.inputs if tensor.op.type.endswith(PIPELINES) and tensor.name not in fed}
    for name in sorted(used):
        known = spec_of(name_of(used[name]), used[name].dtype, used[name].shape)
        own = " with its own sizes" if ANY_RANK in known.shape else ""
        raise SourceError(
            f"{path} is fed from a queue or a data set of its own: {shown([used[name]])}; name that tensor as the input: "
            f"{option(known, sizes=(EXAMPLE_SIZE,))}{own}"
        )


def _named(graph: Any, name: str, path: Path) -> Any:
    tensor = _tensor(graph, name)
    if tensor is None:
        known = [op.name for op in graph.get_operations() if op.outputs]
        near = difflib.get_close_matches(name, known, 3)
        raise UsageError(f"{path} has no tensor {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    return tensor


def _tensor(graph: Any, name: str) -> Any:
    """The tensor ``x:1``, or the first of the operation ``x``; ``None`` where there is none."""
    try:
        return graph.get_tensor_by_name(name if ":" in name else f"{name}:0")
    except (KeyError, ValueError):
        return None
