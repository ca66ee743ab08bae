"""The outputs of a TensorFlow 1 graph that names none: the tensors that nothing in the model goes on to use.

A graph that was saved after training holds more than the model: the loss, the gradients and the optimizer, the share of right
answers, summaries and a saver. Each of these ends in a tensor that nothing uses, just as the model does. For example, with ``->``
from an operation to those that use its result:

    x -> dense/MatMul -> logits -> softmax
    logits -> dense/Summary                                        a summary
    logits -> ArgMax -> Equal -> accuracy                          counting right answers
    y -> Equal
    logits -> xent -> loss -> gradients/loss_grad -> ApplyAdam     training
    y -> xent
    dense/w -> save/SaveV2                                         storage

1. ``y`` is a placeholder of labels: its name says so, and the graph trains. The model's source is ``x``.
2. What comes of ``y`` (Equal, accuracy, xent, loss) serves training; so do the gradients, by their name, and summaries, by their type.
3. What comes of ``x`` and does neither that nor store anything is the model: dense/MatMul, logits, softmax, ArgMax.
4. ArgMax is used by Equal alone, which serves training: it is part of the count. An operation that only leads to storage is
   left out in the same way.
5. Of dense/MatMul, logits and softmax only softmax is used by nothing else in the model: it is the output.

A result that is a single number for the whole batch, as a loss is, gives way to results with axes. Where several operations are left
the graph leaves a choice, and the user names the outputs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from roadworthy.core.errors import UsageError

WATCHES = re.compile(r".*Summary(V2)?|Assert|NoOp|Print|PrintV2|CheckNumerics(V2)?|Timestamp")
"""Operations that observe a tensor: it remains an output whether they do or not."""
STORES = re.compile(
    r"Assign.*|.*Apply.*|Scatter(Nd)?(Update|Add|Sub|Mul|Div|Min|Max)|Resource.*(Update|Scatter).*|Save.*|Restore.*|ShardedFilename|MergeV2Checkpoints|Queue.*|.*Enqueue.*"
)
"""Operations that store what they are given; what leads to nothing else is no output."""
GRADIENTS = re.compile(r"(.*/)?gradients(_\d+)?(/.*)?")
LABELS = frozenset(
    {"y", "label", "labels", "target", "targets", "ytrue", "groundtruth", "onehotlabels", "truth", "ylabel", "truelabels", "desired"}
)
"""Names of placeholders that only training and counting need, without case, digits and punctuation."""
FIRST_ALONE = ("Merge", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
"""Operations whose other results are not outputs."""
NO_ARRAYS = ("resource", "variant")
SHOWN = 8


def search(operations: list[Any], chosen: list[Any], fed: list[Any], labels: list[Any], path: Path) -> list[Any]:
    """The output tensors of the graph of ``operations``, all of one operation.

    ``chosen`` are the tensors that the user wants to feed, maybe none; ``fed`` the placeholders that a call must feed otherwise;
    ``labels`` the placeholders that bear a label's name. UsageError, with the candidates, where no output is found or several are.
    """
    trains = any(GRADIENTS.fullmatch(op.name) for op in operations)
    if not (trains or _only_numbers(descendants(labels))):
        labels = []
    named = {tensor.name for tensor in labels}
    sources = chosen or [tensor for tensor in fed if tensor.name not in named]
    # A graph whose only placeholder bears a label's name is a model of that.
    apart = _training(operations, labels if sources else [])
    model = {op for op in descendants(sources or labels) if op not in apart and not STORES.fullmatch(op.type)}
    apart |= {op for op in model if _counts_right_answers(op, apart)}
    apart |= _leading_to_storage(operations, apart)
    ends = [op for op in operations if op in model - apart and not _used(op, apart)]
    return _only(_results(ends), trains, path)


def is_label(tensor: Any) -> bool:
    """Whether the placeholder ``tensor`` bears a label's name: ``model/y_true_1:0`` does."""
    return re.sub(r"[^a-z]", "", tensor.op.name.rpartition("/")[2].lower()) in LABELS


def descendants(tensors: Iterable[Any]) -> set[Any]:
    """The operations that ``tensors`` lead to."""
    seen: set[Any] = set()
    waiting = [consumer for tensor in tensors for consumer in tensor.consumers()]
    while waiting:
        op = waiting.pop()
        if op not in seen:
            seen.add(op)
            waiting += _consumers(op)
    return seen


def shown(tensors: list[Any]) -> str:
    """The tensors as users know them, each with its operation's type."""
    more = f" and {len(tensors) - SHOWN} more" if len(tensors) > SHOWN else ""
    return ", ".join(f"{name_of(tensor)} ({tensor.op.type})" for tensor in tensors[:SHOWN]) + more


def name_of(tensor: Any) -> str:
    """A tensor's name as users know it: ``x`` for ``x:0``."""
    return str(tensor.name).removesuffix(":0")


def _training(operations: list[Any], labels: list[Any]) -> set[Any]:
    """Operations that serve training, counting and observing."""
    by_kind = {op for op in operations if WATCHES.fullmatch(op.type) or GRADIENTS.fullmatch(op.name)}
    return descendants(labels) | by_kind


def _only_numbers(operations: set[Any]) -> bool:
    """Whether all that ``operations`` end in are single numbers, as a loss is; what comes of an input by the name ``y`` has axes."""
    ends = [tensor for op in operations if not _consumers(op) for tensor in op.outputs]
    return bool(ends) and all(tensor.shape.rank == 0 for tensor in ends)


def _counts_right_answers(op: Any, apart: Collection[Any]) -> bool:
    """Whether ``op`` is the class with the largest score, taken for nothing but the count of right answers."""
    consumers = _consumers(op)
    return op.type in ("ArgMax", "Cast", "TopKV2") and bool(consumers) and all(consumer in apart for consumer in consumers)


def _leading_to_storage(operations: list[Any], apart: Collection[Any]) -> set[Any]:
    """Operations whose every use ends in one that stores: moving averages, optimizers, savers."""
    stored = {op for op in operations if STORES.fullmatch(op.type)}
    waiting = [tensor.op for op in stored for tensor in op.inputs]
    while waiting:
        op = waiting.pop()
        if op not in stored and op not in apart and all(one in stored for one in _consumers(op) if one not in apart):
            stored.add(op)
            waiting += [tensor.op for tensor in op.inputs]
    return stored


def _used(op: Any, apart: Collection[Any]) -> bool:
    return any(consumer not in apart for consumer in _consumers(op))


def _results(operations: list[Any]) -> list[Any]:
    """The tensors of ``operations`` that can be outputs."""
    tensors = [tensor for op in operations for tensor in (op.outputs[:1] if op.type in FIRST_ALONE else op.outputs)]
    return [tensor for tensor in tensors if tensor.dtype.name not in NO_ARRAYS]


def _only(found: list[Any], trains: bool, path: Path) -> list[Any]:
    """The tensors of the one operation that ``found`` holds."""
    with_axes = [tensor for tensor in found if tensor.shape.rank != 0]
    if found and not with_axes and trains:
        raise UsageError(f"{path} ends in single numbers, as a loss is: {shown(found)}; name the tensor to answer with: --outputs NAME")
    found = with_axes or found
    if not found:
        raise UsageError(f"{path} has no tensor that is plainly its answer; name it: --outputs NAME")
    if len({tensor.op for tensor in found}) > 1:
        names = ",".join(map(name_of, found[:2]))
        raise UsageError(f"{path} ends in several places: {shown(found)}; name those to answer with: --outputs {names}")
    return found


def _consumers(op: Any) -> list[Any]:
    return [consumer for tensor in op.outputs for consumer in tensor.consumers()]
