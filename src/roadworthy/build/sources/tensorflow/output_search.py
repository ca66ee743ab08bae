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

1. ``y`` is a placeholder of labels: the graph trains, and its name says so, or what comes of it meets no weight and is compared with
   what comes of ``x`` (see ``_judges``). The model's source is ``x``.
2. What comes of ``y`` (Equal, accuracy, xent, loss) serves training; so do the gradients, by their name, and summaries, by their type.
3. What comes of ``x`` and does neither that nor store anything is the model: dense/MatMul, logits, softmax, ArgMax.
4. ArgMax is used by Equal alone, which serves training: it is part of the count. So are a logarithm or a reshape that a loss alone
   uses. An operation that only leads to storage is left out in the same way.
5. Of dense/MatMul, logits and softmax only softmax is used by nothing else in the model: it is the output.

A result that is a single number for the whole batch, as a loss is, gives way to results with axes; so does what a loop leaves behind
(Exit) and nothing reads. Where several operations are left the graph leaves a choice, and the user names the outputs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadworthy.build.sources.tensorflow.specs import name_of, spec_of
from roadworthy.core.errors import UsageError

WATCHES = re.compile(r".*Summary(V2)?|Assert|NoOp|Print|PrintV2|CheckNumerics(V2)?|Timestamp")
"""Operations that observe a tensor: it remains an output whether they do or not."""
STORES = re.compile(
    r"Assign.*|.*Apply.*|Scatter(Nd)?(Update|Add|Sub|Mul|Div|Min|Max)|Resource.*(Update|Scatter).*|Save.*|Restore.*|ShardedFilename|MergeV2Checkpoints|Queue.*|.*Enqueue.*"
)
"""Operations that store what they are given; what leads to nothing else is not an output."""
GRADIENTS = re.compile(r"(.*/)?gradients(_\d+)?(/.*)?")
LABELS = frozenset(
    {"y", "label", "labels", "target", "targets", "ytrue", "groundtruth", "onehotlabels", "truth", "ylabel", "truelabels", "desired"}
)
"""Names of placeholders that only training and counting need, without case, digits and punctuation."""
TRAINS = re.compile(r"(Resource)?(Sparse)?Apply.*")
"""Operations of an optimiser."""
COMPARES = frozenset({
    "SparseSoftmaxCrossEntropyWithLogits", "SoftmaxCrossEntropyWithLogits", "SquaredDifference", "CTCLoss", "CTCLossV2",
    "Equal", "NotEqual", "InTopK", "InTopKV2", "EditDistance",
})  # fmt: skip
"""Operations by which losses and counts of right answers compare an answer with a label."""
VARIABLES = frozenset({"Variable", "VariableV2", "VarHandleOp", "AutoReloadVariable"})
HANDED_ON = frozenset({"Identity", "ReadVariableOp", "Cast", "Transpose", "Enter", "RefEnter", "StopGradient"})
"""Operations through which a weight is taken."""
LOGARITHMS = ("Log", "Log1p")
ARITHMETIC = frozenset({"Sub", "Square", "Abs", "Pow", "Mul", "Neg", "Log", "Maximum", "Minimum"})
"""Operations of losses that a user is not likely to mean."""
SIZES = frozenset({"Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"})
"""Operations that pass on the shape of what they are given, and none of its values: the states that a loop begins with come of them."""
LEFT_BEHIND = frozenset({"Exit", "RefExit"})
"""What a loop hands out at its end: each of its variables, whether anything reads it or not."""
FIRST_ALONE = ("Merge", "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
"""Operations whose other results are not outputs."""
PIPELINES = (
    "Dequeue", "DequeueV2", "DequeueMany", "DequeueManyV2", "DequeueUpTo", "DequeueUpToV2", "IteratorGetNext", "ReaderRead", "ReaderReadV2",
)  # fmt: skip
"""How the types of operations end that take the next samples from a queue, a data set or a reader."""
NO_ARRAYS = ("resource", "variant")
SHOWN = 8


@dataclass(frozen=True)
class Ends:
    """The tensors that a model ends in, those of the whole model, and whether its graph holds its training."""

    tensors: list[Any]
    inner: list[Any]
    trains: bool

    @property
    def plain(self) -> bool:
        """Whether it ends in an answer: not in nothing, nor in single numbers, as a loss is."""
        return bool(self.tensors) and not (self.trains and all(tensor.shape.rank == 0 for tensor in self.tensors))

    @property
    def candidates(self) -> list[Any]:
        """The tensors that it ends in; where these are no answer, its last ones with axes, the last first."""
        last = [tensor for tensor in reversed(self.inner) if tensor.shape.rank != 0 and tensor.dtype.is_floating]
        return self.tensors if self.plain else last[:SHOWN]


def search(operations: list[Any], chosen: list[Any], fed: list[Any], named: list[Any], path: Path) -> list[Any]:
    """The output tensors of the graph of ``operations``, all of one operation; the arguments are those of ``ends``.

    UsageError, with the candidates, where no output is found or several are.
    """
    return _only(ends(operations, chosen, fed, named), path)


def ends(operations: list[Any], chosen: list[Any], fed: list[Any], named: list[Any]) -> Ends:
    """Where the model in the graph of ``operations`` ends.

    ``chosen`` are the tensors that the user wants to feed, maybe none; ``fed`` the placeholders that a call must feed otherwise;
    ``named`` the placeholders with a label's name.
    """
    trains = any(GRADIENTS.fullmatch(op.name) or TRAINS.fullmatch(op.type) for op in operations)
    labels = named if trains or _only_numbers(descendants(named)) else []
    aside = {op for op in operations if WATCHES.fullmatch(op.type) or GRADIENTS.fullmatch(op.name)}
    aside |= {op for op in operations if STORES.fullmatch(op.type)}
    weighed = [tensor for tensor in chosen or fed if any(map(_weighs, descendants([tensor]) - aside))]
    others = [tensor for tensor in fed if not any(tensor is one for one in (*labels, *chosen, *weighed))]
    labels = labels + [tensor for tensor in others if _judges(tensor, descendants(weighed), aside, trains)]
    sources = chosen or [tensor for tensor in fed if not any(tensor is one for one in labels)]
    # A graph whose only placeholder has a label's name is a model of that.
    apart = aside | (descendants(labels) if sources else set())
    model = {op for op in descendants(sources or labels, SIZES) if op not in apart and not STORES.fullmatch(op.type)}
    rest = model - apart
    while preparing := {op for op in rest if _prepares(op, rest)}:
        apart |= preparing
        rest -= preparing
    apart |= _leading_to_storage(operations, apart)
    rest -= apart
    kept = [op for op in operations if op in rest]
    found = _results([op for op in kept if not model.intersection(_consumers(op)) - apart])
    with_axes = [tensor for tensor in found if tensor.shape.rank != 0] or found
    return Ends([tensor for tensor in with_axes if tensor.op.type not in LEFT_BEHIND] or with_axes, _results(kept), trains)


def is_label(tensor: Any) -> bool:
    """Whether the placeholder ``tensor`` has a label's name: ``model/y_true_1:0`` does."""
    return re.sub(r"[^a-z]", "", tensor.op.name.rpartition("/")[2].lower()) in LABELS


def descendants(tensors: Iterable[Any], stop: Collection[str] = ()) -> set[Any]:
    """The operations that ``tensors`` lead to, without those of the types ``stop`` and what comes of these alone."""
    seen: set[Any] = set()
    waiting = [consumer for tensor in tensors for consumer in tensor.consumers()]
    while waiting:
        op = waiting.pop()
        if op not in seen and op.type not in stop:
            seen.add(op)
            waiting += _consumers(op)
    return seen


def shown(tensors: list[Any]) -> str:
    """The tensors as users know them, each with its type, its shape and its operation's type."""
    more = f" and {len(tensors) - SHOWN} more" if len(tensors) > SHOWN else ""
    return (
        ", ".join(f"{spec_of(name_of(tensor), tensor.dtype, tensor.shape, alone=False)} ({tensor.op.type})" for tensor in tensors[:SHOWN])
        + more
    )


def _judges(label: Any, answers: set[Any], aside: set[Any], trains: bool) -> bool:
    """Whether the placeholder ``label``, which meets no weight, serves to judge the ``answers`` that do, whatever its name.

    It is compared with them by an operation of ``COMPARES`` or, where the graph trains, ends in single numbers with them.
    """
    forward = descendants([label]) - aside
    return any(op.type in COMPARES and op in answers for op in forward) or (trains and bool(forward & answers) and _only_numbers(forward))


def _weighs(op: Any) -> bool:
    """Whether ``op`` takes weights: a variable with axes, or a constant table of floats. A moving average of a loss has none."""
    for tensor in (one for one in op.inputs if one.shape.rank != 0):
        passed: set[Any] = set()  # a file that TensorFlow has not read may hold a circle
        while tensor.op.type in HANDED_ON and tensor.op.inputs and tensor.op not in passed:
            passed.add(tensor.op)
            tensor = tensor.op.inputs[0]
        table = tensor.op.type == "Const" and tensor.dtype.is_floating and (tensor.shape.rank or 0) > 1
        if table or tensor.op.type in VARIABLES:
            return True
    return False


def _only_numbers(operations: set[Any]) -> bool:
    """Whether all that ``operations`` end in are single numbers, as a loss is; what comes of an input by the name ``y`` has axes."""
    ends = [tensor for op in operations if not operations.intersection(_consumers(op)) for tensor in op.outputs]
    return bool(ends) and all(tensor.shape.rank == 0 for tensor in ends)


def _prepares(op: Any, model: Collection[Any]) -> bool:
    """Whether ``op`` prepares an answer for nothing but a loss or a count of right answers; nothing of the ``model`` uses it then.

    That is the class with the largest score, a reshape to the same rank, a logarithm, and what keeps a logarithm finite.
    """
    consumers = _consumers(op)
    if not consumers or any(consumer in model for consumer in consumers):
        return False
    if op.type == "Reshape":
        before, after = op.inputs[0].shape, op.outputs[0].shape
        return bool(before.rank == after.rank and before.is_compatible_with(after))
    if op.type in ("Maximum", "Minimum", "Sub", "Add", "AddV2", "Mul") and any(one.type in (*LOGARITHMS, "Maximum") for one in consumers):
        return any(tensor.op.type == "Const" for tensor in op.inputs)
    return op.type in ("ArgMax", "Cast", "TopKV2", *LOGARITHMS)


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


def _results(operations: list[Any]) -> list[Any]:
    """The tensors of ``operations`` that can be outputs."""
    tensors = [tensor for op in operations for tensor in (op.outputs[:1] if op.type in FIRST_ALONE else op.outputs)]
    return [tensor for tensor in tensors if tensor.dtype.name not in NO_ARRAYS]


def _only(found: Ends, path: Path) -> list[Any]:
    """The tensors of the one operation that ``found`` holds."""
    tensors = found.candidates
    if not found.plain:
        what = (
            f"ends in single numbers, as a loss is: {shown(found.tensors)}" if found.tensors else "has no tensor that is plainly its answer"
        )
        likely = [tensor for tensor in tensors if tensor.op.type not in ARITHMETIC] + tensors
        ask = f"its last tensors with axes are {shown(tensors)}; name the answer: --outputs {name_of(likely[0])}" if tensors else ""
        raise UsageError(f"{path} {what}; {ask or 'name its answer: --outputs NAME'}")
    if len({tensor.op for tensor in tensors}) > 1:
        first, both = name_of(tensors[0]), ",".join(map(name_of, tensors[:2]))
        raise UsageError(
            f"{path} ends in several places: {shown(tensors)}; name one or more to answer with: --outputs {first} or --outputs {both}"
        )
    return tensors


def _consumers(op: Any) -> list[Any]:
    return [consumer for tensor in op.outputs for consumer in tensor.consumers()]
