"""A prediction as TorchServe's default handlers give it: probabilities by label for a classifier, else nested lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roadworthy.core.types import Arrays, Signature
from roadworthy.preprocess.answer import Ranked
from roadworthy.serving.engine.dataplane import DataPlane, InferRequest, InferResponse
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.protocols import nested_json as nested
from roadworthy.serving.protocols.torchserve.forms import Fields
from roadworthy.serving.protocols.torchserve.request import TorchServeInput, read


async def predict(plane: DataPlane, name: str, version: str | None, fields: Fields, deadline: float | None = None) -> bytes:
    """The answer to ``fields`` in JSON; raises what ``DataPlane.pick`` and ``DataPlane.infer`` raise.

    A model that ranks classes, and that takes images or files or has labels, answers ``{label: probability}``, best first; a class without
    a name goes by its index. Several outputs are an object by name. Numbers that are not finite are NaN and Infinity.
    """
    target = plane.pick(name, version)
    request = read(fields, target.model, plane.limits.depth)
    response = await plane.infer(InferRequest(target, request.feeds, request.items, _classifies(target.model), deadline))
    return nested.written(_answer(target.model.signature, response, request))


def _classifies(model: LocalEngine) -> bool:
    return model.ranks and (model.takes_items or model.takes_files or bool(model.contract.answer.labels))


def _answer(signature: Signature, response: InferResponse, request: TorchServeInput) -> Any:
    if response.ranked and all(response.ranked):
        answers: Any = [_by_label(row) for row in response.ranked]
        answers = answers[0] if request.single else answers
    else:
        answers = _plain(signature, response.outputs, request)
    return {"predictions": answers} if request.predictions else answers


def _by_label(row: Sequence[Ranked]) -> dict[str, float]:
    found: dict[str, float] = {}
    for ranked in row:
        # Two classes may have the same name (a crane is a bird and a machine); the one with the higher score keeps it.
        found.setdefault(ranked.label, ranked.score)
    return found


def _plain(signature: Signature, outputs: Arrays, request: TorchServeInput) -> Any:
    """Each sample's outputs or, where one of them is not by sample, all as they are."""
    samples = len(request.items) or signature.count(request.feeds)
    if any(spec.count(outputs[spec.name]) != samples for spec in signature.outputs):
        whole = {name: nested.jsonable(name, array) for name, array in outputs.items()}
        return whole if len(whole) > 1 else next(iter(whole.values()))
    by_row = signature.to_rows(outputs, samples)
    if len(by_row) == 1:
        ((name, array),) = by_row.items()
        return nested.jsonable(name, array[0] if request.single else array)
    rows = [{name: nested.jsonable(name, array[index]) for name, array in by_row.items()} for index in range(samples)]
    return rows[0] if request.single else rows
