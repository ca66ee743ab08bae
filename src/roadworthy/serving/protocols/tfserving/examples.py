"""Classify and regress of TensorFlow Serving: from examples (values by the names of inputs) to results.

A feature has the name of its input; its values are one sample, flat, in row-major order. Classes come from the
bundle's ranking, best first, with its labels or, without them, the class's index as text; a regression is the only number that
the model gives for a sample. With two labels that number gives both classes too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from roadworthy.core.errors import InvalidRequest
from roadworthy.core.types import BYTES, Array, TensorSpec
from roadworthy.preprocess.answer import Ranked
from roadworthy.preprocess.items import WORDS
from roadworthy.serving.engine.dataplane import DataPlane, InferRequest, InferResponse, Target
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols import items
from roadworthy.serving.protocols.nested_json import elements

Example = Mapping[str, Sequence[Any]]
"""One sample: for each feature its values; byte strings are ``bytes`` or text."""


async def infer(plane: DataPlane, target: Target, examples: Sequence[Example], *, rank: bool, deadline: float | None) -> InferResponse:
    """The answer for ``examples``; raises what ``DataPlane.infer`` does, and InvalidRequest where features do not fit the inputs."""
    model = target.model
    if not examples:
        raise InvalidRequest("the request's input has no examples")
    if model.takes_items:
        return await plane.infer(InferRequest(target, items=_items(model, examples), rank=rank, deadline=deadline))
    feeds = {
        spec.name: _samples(spec, [_feature(spec.name, index, example) for index, example in enumerate(examples)])
        for spec in model.signature.inputs
    }
    return await plane.infer(InferRequest(target, feeds, rank=rank, deadline=deadline))


def check_classifies(model: LocalEngine) -> None:
    """Raises InvalidRequest for a model without classes."""
    if not model.ranks:
        raise InvalidRequest(f"{model.name} gives no scores of classes, so it cannot classify; use predict")


def regressed(model: LocalEngine) -> TensorSpec:
    """The output that is one number a sample; raises InvalidRequest where no output or several are."""
    numbers = [
        spec for spec in model.signature.outputs if spec.dtype != BYTES and spec.samples is not None and spec.sample_shape in ((), (1,))
    ]
    if len(numbers) != 1:
        raise InvalidRequest(f"{model.name} does not give exactly one number for a sample, so it cannot regress; use predict")
    return numbers[0]


def classes(response: InferResponse, count: int) -> tuple[tuple[Ranked, ...], ...]:
    """Each of ``count`` samples' classes."""
    if len(response.ranked) != count or not all(response.ranked):
        raise InvalidRequest(f"{response.model} gives no scores of classes, so it cannot classify; use predict")
    return response.ranked


def regressions(spec: TensorSpec, response: InferResponse) -> Array:
    """One float32 for each sample."""
    values = response.outputs[spec.name].reshape(-1)
    return (spec.quantization.values(values) if spec.quantization else values).astype(np.float32)


def _feature(name: str, index: int, example: Example) -> Sequence[Any]:
    if name not in example:
        raise InvalidRequest(f"example {index} has no feature {name!r}; it has {', '.join(map(repr, example)) or 'none'}")
    return example[name]


def _samples(spec: TensorSpec, rows: Sequence[Sequence[Any]]) -> Array:
    """Each row one sample of ``spec``, in the layout of the model."""
    for index, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise InvalidRequest(f"example {index} has {len(row)} values of {spec.name!r}, and example 0 has {len(rows[0])}")
    flat = [value for row in rows for value in row]
    if spec.dtype == "bool":
        flat = [bool(value) if value in (0, 1) else value for value in flat]
    else:
        flat = [int(value) if value is True or value is False else value for value in flat]
    free = spec.open_sizes
    known = math.prod(size for size in spec.sample_shape if isinstance(size, int))
    count = len(rows[0])
    if not spec.shape or len(free) > 1 or count % known or (not free and count != known) or not count:
        raise InvalidRequest(f"an example has {count} values of {spec.name!r}, which the model takes as {spec}")
    sizes = [size if isinstance(size, int) else count // known for size in spec.sample_shape]
    return spec.to_call(elements(spec, flat, (len(rows), *sizes), suspicious=False))


def _items(model: LocalEngine, examples: Sequence[Example]) -> tuple[bytes, ...]:
    found: list[bytes] = []
    for index, example in enumerate(examples):
        name = next((name for name in model.item_names if name in example), model.item_names[0])
        values = _feature(name, index, example)
        (value,) = values if len(values) == 1 else (None,)
        if isinstance(value, str) and model.kind == "text":
            value = items.of_text(value, f"example {index}")
        if not isinstance(value, bytes):
            raise InvalidRequest(f"example {index} should have {WORDS[model.kind or 'image'][0]} as its feature {name!r}")
        found.append(value)
    return tuple(found)
