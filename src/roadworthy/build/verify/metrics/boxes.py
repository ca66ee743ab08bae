"""Mean average precision of boxes, as COCO defines it (pycocotools), for answers that the user's own decoder turns into boxes.

Targets are ``boxes`` (any number a sample, [k, 4]: left, top, right, bottom) and ``labels`` ([k], whole numbers); arrays that are padded
to one length have ``count`` beside them. The decoder gets the outputs of some samples and gives a list with a dict for each sample:
``boxes``, ``labels`` and ``scores``.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from roadworthy.build.verify.metrics.metric import GivenTargets, Metric, Outputs
from roadworthy.build.verify.metrics.own import RESAMPLES
from roadworthy.core.errors import BackendMissing, DataError, UsageError
from roadworthy.core.isolation.callables import called
from roadworthy.core.samples import one_each
from roadworthy.core.types import Array

TARGETS, ANSWERS = ("boxes", "labels"), ("boxes", "labels", "scores")
ALL_SIZES = [[0, 1e10]]


def mean_average_precision(name: str, decoder: str, decode: Callable[..., Any]) -> Metric:
    """COCO's average precision over thresholds of 0.5 to 0.95 and all classes; ``decode`` is the user's decoder."""
    return Metric(name, partial(_rows, decoder, decode), _precision, forms=("boxes",), resamples=RESAMPLES)


def check_targets(targets: Mapping[str, Array]) -> None:
    """Raises DataError where ``targets`` are not boxes."""
    if missing := [name for name in TARGETS if name not in targets]:
        raise DataError(f"boxes are targets by name, boxes and labels (and count, where they are padded); the data has no {missing[0]!r}")
    for index in range(len(targets["boxes"])):
        boxes, labels = _sample(targets, index)
        if labels.dtype.kind not in "biuf":
            raise DataError(f"the labels of boxes are whole numbers, as the decoder gives them; those of sample {index} are {labels.dtype}")
        if boxes.shape != (len(labels), 4):
            raise DataError(f"the targets of sample {index} are boxes {list(boxes.shape)} and {len(labels)} labels; boxes are [k, 4]")


def _sample(targets: Mapping[str, Array], index: int) -> tuple[Array, Array]:
    count = int(targets["count"][index]) if "count" in targets else None
    boxes, labels = (np.asarray(targets[name][index])[:count] for name in TARGETS)
    return boxes.reshape(-1, 4) if boxes.size == 0 else boxes, labels.reshape(-1)


def _rows(
    decoder: str, decode: Callable[..., Any], outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]
) -> Array:
    """For each sample COCO's comparison of its boxes, by class, as an object array [n] of dicts."""
    if not isinstance(targets, dict):
        raise DataError("map needs boxes and labels as targets by name")
    count = len(next(iter(outputs.values())))
    found = called(decoder, "decoder", decode, outputs)
    if not (isinstance(found, list | tuple) and len(found) == count and all(map(_is_answer, found))):
        raise UsageError(
            f"the decoder {decoder} must give a list of {count} dicts with boxes, labels and scores of one length, one for each sample"
        )
    truth: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for index, one in enumerate(found):
        boxes, labels = _sample(targets, index)
        truth += [_annotation(index, box, label) for box, label in zip(boxes, labels, strict=True)]
        columns = (np.asarray(one[name]) for name in ANSWERS)
        said += [_annotation(index, box, label) | {"score": float(score)} for box, label, score in zip(*columns, strict=True)]
    return one_each(_compared(count, truth, said))


def _is_answer(one: Any) -> bool:
    """Whether ``one`` has the three, of one length; no boxes may have any shape."""
    if not (isinstance(one, Mapping) and set(ANSWERS) <= set(one)):
        return False
    boxes, labels, scores = (np.asarray(one[name]) for name in ANSWERS)
    return labels.shape == scores.shape == (len(boxes),) and (boxes.size == 0 or boxes.shape == (len(boxes), 4))


def _annotation(image: int, box: Array, label: Any) -> dict[str, Any]:
    left, top, right, bottom = map(float, box)
    sides = [left, top, right - left, bottom - top]
    return {"image_id": image, "category_id": int(label), "bbox": sides, "area": sides[2] * sides[3], "iscrowd": 0}


def _evaluation(images: int, classes: list[int]) -> Any:
    try:
        from pycocotools.cocoeval import COCOeval
    except ImportError as problem:
        raise BackendMissing("the metric map needs pycocotools: pip install 'roadworthy[build]'") from problem
    evaluation = COCOeval(iouType="bbox")
    evaluation.params.imgIds, evaluation.params.catIds = list(range(images)), classes
    evaluation.params.areaRng, evaluation.params.areaRngLbl, evaluation.params.maxDets = ALL_SIZES, ["all"], [100]
    return evaluation


def _compared(count: int, truth: list[dict[str, Any]], said: list[dict[str, Any]]) -> list[Any]:
    classes = sorted({one["category_id"] for one in (*truth, *said)})
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _evaluation(count, classes)
        from pycocotools.coco import COCO

        images, categories = [{"id": index} for index in range(count)], [{"id": index} for index in classes]
        evaluation.cocoGt, evaluation.cocoDt = COCO(), COCO()
        for side, annotations in ((evaluation.cocoGt, truth), (evaluation.cocoDt, said)):
            numbered = [one | {"id": number} for number, one in enumerate(annotations, 1)]
            side.dataset = {"images": images, "categories": categories, "annotations": numbered}
            side.createIndex()
        evaluation.evaluate()
    # COCO lists class by class, and within a class image by image.
    found = evaluation.evalImgs
    return [{label: found[place * count + index] for place, label in enumerate(classes)} for index in range(count)]


def _precision(rows: Array) -> float:
    classes = sorted({label for row in rows for label in row})
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _evaluation(len(rows), classes)
        evaluation.evalImgs = [row.get(label) for label in classes for row in rows]
        evaluation._paramsEval = copy.deepcopy(evaluation.params)
        evaluation.accumulate()
    precision = evaluation.eval["precision"]
    # COCO writes -1 for a class without boxes in the truth.
    return float(precision[precision > -1].mean()) if (precision > -1).any() else float("nan")
