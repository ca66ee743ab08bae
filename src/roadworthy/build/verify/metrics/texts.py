"""Targets that are texts: the classes that they name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roadworthy.build.verify.metrics.metric import OWN
from roadworthy.core.errors import DataError
from roadworthy.core.types import Array, TensorSpec
from roadworthy.preprocess.answer import columns


def are_texts(y: Array) -> bool:
    """Whether targets are texts, one a sample or several."""
    return y.dtype.kind == "U" or (y.dtype == np.dtype(object) and len(y) > 0 and y[0].dtype.kind == "U")


def as_numbers(y: Array, outputs: Sequence[TensorSpec], names: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    """Texts as the classes that they name, and the classes' names; rows of several names as 0 and 1 for each class."""
    if not are_texts(y):
        if y.dtype == object:
            raise DataError(f"the labels are arrays of different lengths, and only you know what they mean: {OWN}")
        return y, ()
    several = y.dtype == object or y.ndim == 2
    found = sorted({str(name) for row in y for name in np.ravel(row)})
    known = tuple(names) or tuple(found)
    if stray := [name for name in found if name not in known]:
        raise DataError(f"the label {stray[0]!r} is not among the {len(known)} class names; {OWN}")
    if not names and not any(len(known) == max(columns(spec) or 0, 2) for spec in outputs):
        raise DataError(
            f"the labels are texts, {len(found)} different ones ({found[0]!r} first), which are not as many as the model has outputs: name "
            f"its classes with --labels FILE; {OWN}"
        )
    place = {name: index for index, name in enumerate(known)}
    if not several:
        return np.array([place[str(name)] for name in y], np.int64), known
    rows = np.zeros((len(y), len(known)), np.int64)
    for index, row in enumerate(y):
        rows[index, [place[str(name)] for name in np.ravel(row)]] = 1
    return rows, known
