"""The user's own metric and decoder: a callable in a file, in a module or, from Python, in memory.

A metric is called with ``(outputs, targets)``: a dict of arrays with the samples first, and the targets as the user gave them (an array, a
dict of arrays, or None). By default it gives one score a sample, [n], higher is better. Attributes of the callable say otherwise:
``per = "set"``: it gives one number for all samples, and is called again for resampled ones; ``better = "lower"``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from roadworthy.build.verify.metrics.metric import GivenTargets, Metric, Outputs
from roadworthy.core.errors import UsageError
from roadworthy.core.isolation import callables
from roadworthy.core.isolation.callables import called, load
from roadworthy.core.samples import TARGET, as_given
from roadworthy.core.types import Array

RESAMPLES = 200
"""A metric of a set is called this often for each candidate and for the original."""


def own(name: str) -> Metric:
    """The user's metric ``name``: ``module:callable`` or ``FILE.py:callable``. UsageError where it cannot be loaded."""
    function = load(name, "metric")
    shown = callables.shown(name)
    per: Literal["sample", "set"] = _attribute(function, name, "per", ("sample", "set"))
    better: Literal["higher", "lower"] = _attribute(function, name, "better", ("higher", "lower"))
    if per == "sample":
        return Metric(shown, partial(_scores, name, function), better=better, span=None, share=False)
    return Metric(shown, _rows, partial(_of_set, name, function), better=better, span=None, share=False, resamples=RESAMPLES)


def keep(function: Callable[..., Any], folder: Path) -> str:
    """Write the metric ``function`` into ``folder``, and give the name by which ``load`` finds it in any process."""
    return callables.keep(function, folder, "metric")


def _attribute(function: Any, name: str, attribute: str, allowed: tuple[str, ...]) -> Any:
    value = getattr(function, attribute, allowed[0])
    if value not in allowed:
        raise UsageError(f"the metric {name} has {attribute} = {value!r}; it may be {' or '.join(map(repr, allowed))}")
    return value


def _scores(
    name: str, function: Callable[..., Any], outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]
) -> Array:
    count = len(next(iter(reference.values())))
    given = called(name, "metric", function, outputs, targets)
    try:
        scores = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise UsageError(f"the metric {name} gave something else than numbers: {problem}") from None
    if scores.shape != (count,):
        hint = "; a metric of the whole set says so by the attribute per = 'set'" if scores.shape == () else ""
        raise UsageError(f"the metric {name} gave shape {list(scores.shape)} for {count} samples; it must give one score a sample{hint}")
    if not np.all(np.isfinite(scores)):
        raise UsageError(f"the metric {name} gave a score that is not finite")
    return scores


def _rows(outputs: Outputs, reference: Outputs, targets: GivenTargets, scales: dict[str, float]) -> Array:
    """Outputs and targets of each sample as the fields of one structured array [n]."""
    named = targets if isinstance(targets, dict) else {} if targets is None else {TARGET: targets}
    fields = {**{f"out {name}": array for name, array in outputs.items()}, **{f"target {name}": array for name, array in named.items()}}
    rows = np.empty(len(next(iter(outputs.values()))), [(name, array.dtype, array.shape[1:]) for name, array in fields.items()])
    for name, array in fields.items():
        rows[name] = array
    return rows


def _fields(rows: Array, kind: str) -> dict[str, Array]:
    return {field.removeprefix(kind): rows[field] for field in rows.dtype.names or () if field.startswith(kind)}


def _of_set(name: str, function: Callable[..., Any], rows: Array) -> float:
    given = called(name, "metric", function, _fields(rows, "out "), as_given(_fields(rows, "target ")))
    try:
        value = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise UsageError(f"the metric {name} gave something else than a number: {problem}") from None
    if value.shape != ():
        raise UsageError(f"the metric {name} gave shape {list(value.shape)}; with per = 'set' it must give one number")
    return float(value)
