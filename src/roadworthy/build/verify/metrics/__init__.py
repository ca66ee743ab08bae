"""The task metrics by name: of each sample or of the whole set, built in or the user's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial

from roadworthy.build.verify.metrics import boxes, classes, masks, original, own, values
from roadworthy.build.verify.metrics.metric import GivenTargets, Metric, Outputs, Reading, TargetForm
from roadworthy.build.verify.metrics.original import AGREEMENT, ERROR
from roadworthy.core.errors import UsageError
from roadworthy.core.isolation import callables

__all__ = ["AGREEMENT", "ERROR", "NAMES", "GivenTargets", "Metric", "Outputs", "Reading", "TargetForm", "find", "is_code", "is_own"]

TOP = re.compile(r"top-?([1-9]\d{0,3})")
DECODED = re.compile(r"([\w-]+)@(.+:.+)", re.DOTALL)
BY_NAME: dict[str, Callable[[Reading], Metric]] = {
    "accuracy": partial(classes.top, "accuracy", 1),
    "balanced-accuracy": classes.balanced_accuracy,
    "f1": partial(classes.f1, ""),
    "f1-micro": partial(classes.f1, "micro"),
    "f1-macro": partial(classes.f1, "macro"),
    "roc-auc": partial(classes.ranking, "roc-auc", "roc_auc_score"),
    "average-precision": partial(classes.ranking, "average-precision", "average_precision_score"),
    "log-loss": classes.log_loss,
    "mae": values.mae,
    "rmse": values.rmse,
    "r2": values.r2,
    "psnr": values.psnr,
    "pixel-accuracy": masks.pixel_accuracy,
    "miou": masks.mean_iou,
    AGREEMENT: original.agreement,
    ERROR: lambda reading: original.error(),
}
NAMES = ("top1", "top5", *BY_NAME, "map")
OTHER_NAMES = {
    "acc": "accuracy", "auc": "roc-auc", "auroc": "roc-auc", "ap": "average-precision", "mean-iou": "miou", "iou": "miou", "l1": "mae",
    "mean-absolute-error": "mae", "cross-entropy": "log-loss", "logloss": "log-loss", "nll": "log-loss", "f1-score": "f1",
}  # fmt: skip
"""What people call them elsewhere; the sentence about an unknown name says ours."""


def find(name: str, reading: Reading = Reading()) -> Metric:  # noqa: B008 (it is frozen)
    """The metric of that name: one of ``NAMES``, ``topK``, ``map@FILE.py:decoder``, ``module:callable`` or ``FILE.py:callable``.

    ``reading`` says how the answers are read; for the user's own see ``own``. Raises UsageError.
    """
    if match := TOP.fullmatch(name):
        return classes.top(f"top{match[1]}", int(match[1]), reading)
    if name in BY_NAME:
        return BY_NAME[name](reading)
    if (decoder := decoder_of(name)) is not None:
        if not name.startswith("map@"):
            raise UsageError(f"{name.partition('@')[0]} takes no decoder, only map does: --metric map@{decoder}")
        return boxes.mean_average_precision(f"map@{callables.shown(decoder)}", decoder, callables.load(decoder, "decoder"))
    if name == "map":
        raise UsageError("map needs your decoder, which turns the outputs into boxes: --metric map@FILE.py:decoder")
    if ":" in name:
        return own.own(name)
    similar = OTHER_NAMES.get(name.lower().replace("_", "-")) or next(
        iter(get_close_matches(name.lower().replace("_", "-"), [*NAMES, *OTHER_NAMES], 1, 0.6)), ""
    )
    meant = f", did you mean {OTHER_NAMES.get(similar, similar)}?" if similar else ";"
    raise UsageError(f"there is no metric {name!r}{meant} there are {', '.join(NAMES)}, topK, module:callable and FILE.py:callable")


def is_own(name: str | None) -> bool:
    """Whether ``name`` is the user's own metric, which alone knows what the targets mean."""
    return name is not None and ":" in name and decoder_of(name) is None


def is_code(name: str) -> bool:
    """Whether code of the user's has to be imported for the metric ``name``."""
    return ":" in name


def decoder_of(name: str) -> str | None:
    """The user's decoder in ``NAME@FILE.py:callable``."""
    match = DECODED.fullmatch(name)
    return match[2] if match and match[1] in NAMES else None
