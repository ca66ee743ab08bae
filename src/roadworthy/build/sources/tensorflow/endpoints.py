"""Where a TensorFlow graph begins and ends: the placeholders that its answers depend on, and the tensors that are its answers.

A graph on its own says neither. What training, saving and counting left in it is told from the model by what it does.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from roadworthy.build.sources import inputs
from roadworthy.build.sources.tensorflow import training_flags
from roadworthy.core.errors import SourceError, UsageError
from roadworthy.core.types import BATCH, BYTES, TensorSpec
from roadworthy.frameworks.tensorflow.entry import Constant, Port

PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
VARIABLES = ("Variable", "VariableV2", "VarHandleOp", "AutoReloadVariable")
WATCHES = re.compile(r".*Summary(V2)?|Assert|NoOp|Print|PrintV2|CheckNumerics(V2)?|Timestamp")
"""Operations that look at a tensor, which remains an answer whether they do or not."""
KEEPS = re.compile(
    r"Assign.*|.*Apply.*|Scatter(Nd)?(Update|Add|Sub|Mul|Div|Min|Max)|Resource.*(Update|Scatter).*|Save.*|Restore.*|ShardedFilename|MergeV2Checkpoints|Queue.*|.*Enqueue.*"
)
"""Operations that store what they are given; what leads to nothing else is no answer."""
GRADIENTS = re.compile(r"(.*/)?gradients(_\d+)?(/.*)?")
LABELS = frozenset(
    {"y", "label", "labels", "target", "targets", "ytrue", "groundtruth", "onehotlabels", "truth", "ylabel", "truelabels", "desired"}
)
"""Names of placeholders that only training and counting need, without case, digits and punctuation."""
SINGLE = ("DecodeWav", "DecodeJpeg", "DecodePng", "DecodeGif", "DecodeBmp", "DecodeImage", "DecodeAndCropJpeg", "DecodeWebP")
"""Operations that read one file's bytes: graphs from before 2017 do not say that they are fed a single value."""
SHARES = 3
"""How often a dropout takes one share from one to get the other."""
FIRST_ALONE = ("Merge", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
"""Operations whose other results are not answers."""
NO_ARRAYS = ("resource", "variant")


@dataclass(frozen=True)
class Ends:
    """``inputs`` and ``outputs`` with the specs of the former; a port's tensor is one of the graph's. ``notes`` are sentences."""

    inputs: tuple[Port, ...]
    specs: tuple[TensorSpec, ...]
    outputs: tuple[Port, ...]
    constants: tuple[Constant, ...]
    notes: tuple[str, ...] = ()


def find(graph: Any, path: Path, said: tuple[TensorSpec, ...], outputs: tuple[str, ...]) -> Ends:
    """The ends of the ``tf.Graph`` of the file at ``path``.

    ``said`` are inputs in the user's words: where they are tensors of the graph, it is entered there. ``outputs`` names the
    tensors to answer with. UsageError, with the candidates, where the graph leaves a choice or has no such tensor;
    SourceError where it is no model.
    """
    entered = {spec.name: tensor for spec in said if (tensor := _tensor(graph, spec.name)) is not None}
    answers = [_wanted(graph, name, path) for name in outputs] or _answers(graph, list(entered.values()), path)
    needed = ancestors(answers, stop={tensor.name for tensor in entered.values()})
    placeholders = [op.outputs[0] for op in graph.get_operations() if op.type in PLACEHOLDERS and op in needed]
    constants, fed = [], list(entered.values())
    for tensor in (one for one in placeholders if one.name not in {tensor.name for tensor in entered.values()}):
        switch = _switch(tensor)
        if switch:
            constants.append(switch)
        elif tensor.op.type != "PlaceholderWithDefault":
            fed.append(tensor)
    _refuse_state(needed, path)
    # In the file's own order, whatever the order of the words.
    order = {op.name: place for place, op in enumerate(graph.get_operations())}
    fed.sort(key=lambda tensor: (order[tensor.op.name], tensor.value_index))
    if not fed:
        raise SourceError(
            f"{path}: {_shown(answers)} depends on no placeholder, so there is nothing to feed; name other outputs: --outputs NAME"
        )
    specs = [_spec(tensor, path) for tensor in fed]
    return Ends(
        tuple(Port(_name(tensor), tensor.name, scalar=_single(tensor)) for tensor in fed),
        tuple(specs),
        tuple(Port(_name(tensor), tensor.name, scalar=tensor.shape.rank == 0) for tensor in answers),
        tuple(constants),
        _notes(answers) if not outputs else (),
    )


def spec_of(name: str, dtype: Any, shape: Any) -> TensorSpec:
    """A TensorSpec of ours: BATCH where the first size is open, symbols for other open sizes, one axis for a single value."""
    kind = BYTES if dtype.name == "string" else dtype.name
    if shape.rank is None:
        return TensorSpec(name, kind, (inputs.ANY_RANK,))
    if shape.rank == 0:
        return TensorSpec(name, kind, (1,))
    sizes = shape.as_list()
    return TensorSpec(
        name, kind, tuple(size if size is not None else f"{name}_{axis}" if axis else BATCH for axis, size in enumerate(sizes))
    )


def _spec(tensor: Any, path: Path) -> TensorSpec:
    spec = spec_of(_name(tensor), tensor.dtype, tensor.shape)
    if _single(tensor):
        spec = replace(spec, shape=(1,))
    inputs.refuse_type(spec, path)
    return spec


def _single(tensor: Any) -> bool:
    return tensor.shape.rank == 0 or (tensor.shape.rank is None and any(op.type in SINGLE for op in tensor.consumers()))


def _answers(graph: Any, entered: list[Any], path: Path) -> list[Any]:
    """The tensors that nothing in the model goes on to use."""
    operations = graph.get_operations()
    placeholders = [op.outputs[0] for op in operations if op.type in PLACEHOLDERS]
    trains = any(GRADIENTS.fullmatch(op.name) for op in operations)
    labels = [tensor for tensor in placeholders if _letters(tensor) in LABELS]
    if not (trains or _only_counted(_descendants(labels))):
        labels = []
    fed = [tensor for tensor in placeholders if tensor.op.type != "PlaceholderWithDefault" and not _switch(tensor)]
    named = {tensor.name for tensor in labels}
    sources = entered or [tensor for tensor in fed if tensor.name not in named]
    counting = _descendants(labels) if sources else set()
    reached = _descendants(sources or labels)
    aside = {op for op in operations if op in counting or WATCHES.fullmatch(op.type) or GRADIENTS.fullmatch(op.name)}
    model = {op for op in reached if op not in aside and not KEEPS.fullmatch(op.type)}
    aside |= {op for op in model if _counts_classes(op, aside)}
    stored = _leading_to_storage(operations, aside)
    leaves = [op for op in operations if op in model - aside - stored and not _used(op, aside, stored)]
    found = [
        tensor
        for op in leaves
        for tensor in (op.outputs[:1] if op.type in FIRST_ALONE else op.outputs)
        if tensor.dtype.name not in NO_ARRAYS
    ]
    rows = [tensor for tensor in found if tensor.shape.rank != 0]
    if found and not rows and trains:
        raise UsageError(f"{path} ends in single numbers, as a loss is: {_shown(found)}; name the tensor to answer with: --outputs NAME")
    found = rows or found
    if len({tensor.op for tensor in found}) == 1:
        return found
    if not found:
        raise UsageError(f"{path} has no tensor that is plainly its answer; name it: --outputs NAME")
    raise UsageError(
        f"{path} ends in several places: {_shown(found)}; name those to answer with: --outputs {','.join(map(_name, found[:2]))}"
    )


def _only_counted(operations: set[Any]) -> bool:
    """Whether all that comes of it are single numbers, a loss or the share of right answers; an input by the name ``y`` gives more."""
    ends = [tensor for op in operations if not any(one.consumers() for one in op.outputs) for tensor in op.outputs]
    return bool(ends) and all(tensor.shape.rank == 0 for tensor in ends)


def _counts_classes(op: Any, aside: set[Any]) -> bool:
    """The class with the largest score, taken for nothing but the count of right answers."""
    consumers = [consumer for tensor in op.outputs for consumer in tensor.consumers()]
    return op.type in ("ArgMax", "Cast", "TopKV2") and bool(consumers) and all(consumer in aside for consumer in consumers)


def _leading_to_storage(operations: list[Any], aside: set[Any]) -> set[Any]:
    """Operations whose every use ends in one that stores: moving averages, optimisers, savers."""
    stored = {op for op in operations if KEEPS.fullmatch(op.type)}
    waiting = [tensor.op for op in stored for tensor in op.inputs]
    while waiting:
        op = waiting.pop()
        consumers = [one for tensor in op.outputs for one in tensor.consumers() if one not in aside]
        if op not in stored and op not in aside and all(consumer in stored for consumer in consumers):
            stored.add(op)
            waiting += [tensor.op for tensor in op.inputs]
    return stored


def _used(op: Any, aside: set[Any], stored: set[Any]) -> bool:
    return any(consumer not in aside and consumer not in stored for tensor in op.outputs for consumer in tensor.consumers())


def _descendants(tensors: Iterable[Any]) -> set[Any]:
    seen: set[Any] = set()
    waiting = [consumer for tensor in tensors for consumer in tensor.consumers()]
    while waiting:
        op = waiting.pop()
        if op not in seen:
            seen.add(op)
            waiting += [consumer for tensor in op.outputs for consumer in tensor.consumers()]
    return seen


def ancestors(tensors: Iterable[Any], stop: Collection[str] = ()) -> set[Any]:
    """The operations that ``tensors`` come from, not going beyond the tensors named in ``stop``."""
    seen: set[Any] = set()
    waiting = [tensor.op for tensor in tensors]
    while waiting:
        op = waiting.pop()
        if op not in seen:
            seen.add(op)
            waiting += [tensor.op for tensor in op.inputs if tensor.name not in stop]
            waiting += op.control_inputs
    return seen


def _switch(tensor: Any) -> Constant | None:
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return training_flags.constant(tensor.name, tensor.dtype.name, shape, used=_without_dropout(tensor))


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


def _refuse_state(needed: set[Any], path: Path) -> None:
    if tables := sorted(op.name for op in needed if "HashTable" in op.type):
        raise SourceError(
            f"{path} looks things up in the table {tables[0]}, which nothing fills outside its own program; give the SavedModel instead"
        )
    if readers := sorted(op.name for op in needed if op.type.endswith(("DequeueV2", "DequeueManyV2", "IteratorGetNext", "ReaderReadV2"))):
        raise SourceError(
            f"{path} is fed from a queue or a data set of its own ({readers[0]}); "
            "name the tensor to feed instead: --input 'NAME:dtype[batch,...]'"
        )


def _wanted(graph: Any, name: str, path: Path) -> Any:
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


def _name(tensor: Any) -> str:
    """As users know it: ``x`` for ``x:0``."""
    return str(tensor.name).removesuffix(":0")


def _letters(tensor: Any) -> str:
    return re.sub(r"[^a-z]", "", tensor.op.name.rpartition("/")[2].lower())


def _shown(tensors: list[Any]) -> str:
    more = f" and {len(tensors) - 8} more" if len(tensors) > 8 else ""
    return ", ".join(f"{_name(tensor)} ({tensor.op.type})" for tensor in tensors[:8]) + more


def _notes(answers: list[Any]) -> tuple[str, ...]:
    return (f"the answer was found in the graph: {_shown(answers)}; --outputs names another",)
