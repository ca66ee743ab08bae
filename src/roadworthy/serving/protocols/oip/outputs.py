"""Which outputs a request of the Open Inference Protocol asks for, and their arrays, for HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.types import Array
from roadworthy.preprocess.answer import columns, scores
from roadworthy.serving.engine.dataplane import InferResponse
from roadworthy.serving.engine.local import LocalEngine

LABEL, PROBABILITY, SCORE = "label", "probability", "score"
PLACEMENT = "placement"

Wanted = Mapping[str, int] | None
"""Outputs by name in the order they are wanted, ``None`` for all. A number above 0 asks for so many of the output's top classes, as
Triton's classification extension has them, in place of the output."""


def ranking_names(model: LocalEngine) -> tuple[str, ...]:
    """The names of the two tensors that say the top classes, unless the model has outputs with these names."""
    names = (LABEL, SCORE if model.contract.answer.activation == "none" else PROBABILITY)
    taken = {spec.name for spec in model.signature.outputs}
    return () if not model.ranks or taken.intersection(names) else names


def wants_placement(model: LocalEngine, wanted: Wanted) -> bool:
    """Whether the request names the tensor ``placement`` and means ours: [samples, 2, 3] (FP64), by which a point (x, y) of a sample is
    at ``matrix @ (x, y, 1)`` in its image. An output of the model's own with this name is answered in its place.
    """
    return wanted is not None and PLACEMENT in wanted and _places(model)


def _places(model: LocalEngine) -> bool:
    return model.kind == "image" and all(spec.name != PLACEMENT for spec in model.signature.outputs)


def wants_ranking(model: LocalEngine, wanted: Wanted, *, whole: bool) -> bool:
    """Whether the engine should rank: a ``whole`` image or file is answered with the ranking, another request if it names it.

    Raises InvalidRequest for an output that the model does not have, or that has no classes.
    """
    ranking = ranking_names(model)
    if wanted is None:
        return whole and bool(ranking)
    extra = (*ranking, *((PLACEMENT,) if _places(model) else ()))
    known = {spec.name: spec for spec in model.signature.outputs}
    for name, classes in wanted.items():
        if name not in known and name not in extra:
            raise InvalidRequest(f"there is no output {name!r}; the model gives {', '.join((*sorted(known), *extra))}")
        if classes and (name in extra or np.dtype(known[name].dtype).kind not in "iuf"):
            raise InvalidRequest(f"output {name!r} holds no numbers to rank")
    return any(name in ranking for name in wanted)


def chosen(response: InferResponse, model: LocalEngine, wanted: Wanted) -> Iterator[tuple[str, Array]]:
    """The arrays of the answer by name, in its order; BYTES are object arrays of ``str`` or ``bytes``.

    The ranking is two tensors [samples, k], best first: labels (BYTES) and scores (float32).
    """
    given: dict[str, Array] = dict(response.outputs)
    names = [spec.name for spec in model.signature.outputs]
    if response.ranked:
        labels, scores = extra = ranking_names(model)
        names.extend(extra)
        given[labels] = np.array([[ranked.label for ranked in row] for row in response.ranked], dtype=object)
        given[scores] = np.array([[ranked.score for ranked in row] for row in response.ranked], dtype=np.float32)
    if response.places is not None:
        given[PLACEMENT] = response.places
    for name in names if wanted is None else wanted:
        yield name, _classes_of(model, name, given[name], wanted[name]) if wanted and wanted[name] else given[name]


def classified(output: Array, classes: int, labels: tuple[str, ...], *, batched: bool) -> Array:
    """The top ``classes`` as texts ``value:index`` or, where the class has a label, ``value:index:label``; best first, then by index.

    [samples, k], or [k] for an output without samples; k is ``classes``, or how many there are. Values are the output's own,
    without an exponent, and read back exactly.
    """
    rows = output.reshape(len(output) if batched else 1, -1 if output.size else 0)
    # Both reverse the order without overflow, and leave NaN at the end.
    keys = -rows if rows.dtype.kind == "f" else ~rows
    best = np.argsort(keys, axis=1, kind="stable")[:, :classes]
    texts = np.empty(best.shape, object)
    for row, indices in enumerate(best.tolist()):
        for column, index in enumerate(indices):
            label = f":{labels[index]}" if index < len(labels) else ""
            texts[row, column] = f"{_number(rows[row, index])}:{index}{label}"
    return texts if batched else texts[0]


def _classes_of(model: LocalEngine, name: str, output: Array, classes: int) -> Array:
    """The bundle's labels are those of the first output. One number a sample that ranks counts as the probabilities of both classes."""
    spec = next(spec for spec in model.signature.outputs if spec.name == name)
    answer, first = model.contract.answer, spec is model.signature.outputs[0]
    labels = answer.labels if first else ()
    samples = spec.count(output) or 1
    output = spec.to_rows(output, samples) if spec.batched else output
    if columns(spec) != 1:
        return classified(output, classes, labels, batched=spec.batched)
    both = scores(answer, {name: output}, spec.quantization) if first and model.ranks else None
    if both is None:
        return classified(output, classes, (), batched=spec.batched)
    return classified(both.astype(np.float32), classes, labels, batched=True)


def _number(value: np.generic) -> str:
    return np.format_float_positional(value, trim="0") if value.dtype.kind == "f" else str(value)  # type: ignore[arg-type]
