"""Which output the targets belong to, and what they are: decided by shapes and values, before the model is captured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roadworthy.build.verify.metrics import AGREEMENT, ERROR, NAMES, TOP, decoder_of, find, is_own
from roadworthy.build.verify.metrics.boxes import check_targets
from roadworthy.build.verify.metrics.metric import OWN, WORDS, Reading, TargetForm
from roadworthy.build.verify.metrics.texts import as_numbers
from roadworthy.core.errors import DataError, UsageError
from roadworthy.core.samples import TARGET, Targets
from roadworthy.core.types import Array, TensorSpec
from roadworthy.preprocess.answer import columns

DEFAULTS: dict[TargetForm, str] = {
    "classes": "top1", "binary": "accuracy", "ids": "accuracy", "multilabel": "f1-macro", "values": "mae", "masks": "miou",
}  # fmt: skip
IGNORED = 255
"""In masks the value of pixels that do not count, where there are fewer classes."""


@dataclass(frozen=True)
class TargetPairing:
    """The metric's name and how it reads the answers. ``targets`` is the array that it takes, where the user's has another form;
    ``classes`` are the names that the targets give, in their order.
    """

    metric: str
    reading: Reading
    targets: Array | None = None
    classes: tuple[str, ...] = ()


def pair(targets: Targets, outputs: Sequence[TensorSpec], names: Sequence[str], asked: str | None) -> TargetPairing:
    """The metric for ``targets`` of a model with these ``outputs``, whose classes are called ``names`` (empty where that is not known).

    ``asked`` is the metric's name, or ``None`` for the one that fits. Raises DataError where the targets fit no output, UsageError where
    they are not what the metric needs.
    """
    if asked is not None and is_own(asked):
        return TargetPairing(asked, Reading("own"))
    if asked is not None and decoder_of(asked) is not None:
        # The decoder is the user's code, which is imported in child processes alone.
        check_targets(targets)
        return TargetPairing(asked, Reading("boxes"))
    wanted = find(asked).forms if asked is not None else ()
    if not targets and asked is not None:
        if wanted:
            raise DataError(f"{asked} needs labels and the data has none; use --metric {AGREEMENT} or --metric {ERROR}")
        return TargetPairing(asked, Reading())
    try:
        found = list(_pairings(targets, outputs, names))
    except DataError:
        if asked is not None and not wanted:
            return TargetPairing(asked, Reading())
        raise
    if asked is None and (two := _two_other_values(targets, found[0].reading)):
        raise DataError(
            f"the labels are {two[0]} and {two[1]}, and the output {found[0].reading.output!r} is one number a sample: two classes are "
            f"0 and 1; numbers to be predicted are --metric mae; {OWN}"
        )
    chosen = next((one for one in found if not wanted or one.reading.form in wanted), None)
    if chosen is None:
        first = found[0].reading
        fitting = ", ".join(name for name in NAMES if name not in ("top5", "map") and first.form in find(name).forms)
        raise UsageError(
            f"{asked} needs {' or '.join(WORDS[form] for form in wanted)}, and the labels, {_described(targets)}, are "
            f"{WORDS[first.form]} for the output {first.output!r}: use --metric {fitting}; {OWN}"
        )
    match = TOP.fullmatch(asked or "")
    if match and int(match[1]) >= chosen.reading.classes > 1:
        raise UsageError(f"{asked} of {chosen.reading.classes} classes is always right: use --metric top1")
    return replace(chosen, metric=asked or DEFAULTS[chosen.reading.form])


def _two_other_values(targets: Targets, reading: Reading) -> list[int]:
    """The two whole numbers that are all labels of numbers, as in -1 and 1, or 1 and 2: these are classes, written in another way."""
    y = targets[TARGET]
    if reading.form != "values" or y.dtype.kind not in "iu" or y.size != len(y):
        return []
    found = np.unique(y).tolist()
    return found if len(found) == 2 else []


def _pairings(targets: Targets, outputs: Sequence[TensorSpec], names: Sequence[str]) -> Iterator[TargetPairing]:
    """Every way to read the targets, the likeliest first, of the first output that they fit: scores before indices."""
    if set(targets) != {TARGET}:
        boxes = "; for boxes there is --metric map@FILE.py:decoder" if "boxes" in targets else ""
        raise DataError(f"the labels are several arrays ({', '.join(targets)}), and only you know what they mean: {OWN}{boxes}")
    array, classes = as_numbers(targets[TARGET], outputs, names)
    ordered = sorted(
        (spec for spec in outputs if spec.samples is not None),
        key=lambda spec: np.dtype(spec.dtype).kind != "f" and spec.quantization is None,
    )
    problem: DataError | None = None
    for spec in ordered:
        try:
            found = list(_for_output(array, spec, named=bool(names)))
        except DataError as other:
            problem = problem or other
            continue
        if found:
            changed = array is not targets[TARGET]
            yield from (replace(one, classes=classes, targets=array if one.targets is None and changed else one.targets) for one in found)
            return
    outs = ", ".join(map(str, outputs))
    raise problem or DataError(f"the labels, {_described(targets)}, fit no output of the model ({outs}); {OWN}")


def _for_output(y: Array, spec: TensorSpec, *, named: bool) -> Iterator[TargetPairing]:
    width, shape = columns(spec), spec.sample_shape
    scores = np.dtype(spec.dtype).kind == "f" or spec.quantization is not None
    inner = y.shape[1:]
    flat = y.reshape(-1) if inner in ((), (1,)) else None
    if flat is not None and width == 1:
        yield from _one_number(flat, y, spec, named=named)
    elif flat is not None and width:
        yield _classes(_whole(flat, spec), spec, width)
    elif flat is not None and not scores and shape in ((), (1,)):
        whole = _whole(flat, spec)
        yield _pairing("ids", spec, whole, classes=int(whole.max()) + 1)
    elif width and len(inner) == 1:
        yield from _rows(y, spec, width)
    elif len(shape) > 1 or (shape and inner):
        yield from _masks(y, spec, scores=scores)


def _one_number(flat: Array, y: Array, spec: TensorSpec, *, named: bool) -> Iterator[TargetPairing]:
    if _is_binary(flat):
        yield _pairing("binary", spec, flat.astype(np.int64), classes=2)
    elif named:
        raise DataError(
            f"the labels are {_range(flat)}; the output {spec.name!r} is one number a sample and tells the classes 0 and 1 apart: {OWN}"
        )
    if flat.dtype.kind in "biuf":
        yield _values(y, spec)


def _rows(y: Array, spec: TensorSpec, width: int) -> Iterator[TargetPairing]:
    one_hot = _is_binary(y) and bool((y.sum(axis=1) == 1).all())
    if y.shape[1] == max(width, 2) and one_hot:
        indices = y.argmax(axis=1).astype(np.int64)
        yield _pairing("binary", spec, indices, classes=2) if width == 1 else _classes(indices, spec, width)
    if y.shape[1] == width > 1:
        if _is_binary(y):
            yield _pairing("multilabel", spec, y.astype(np.int64), classes=width)
        yield _values(y, spec)


def _classes(indices: Array, spec: TensorSpec, width: int) -> TargetPairing:
    low, high = int(indices.min()), int(indices.max())
    if low < 0 or high >= width:
        wrong = low if low < 0 else high
        raise DataError(f"the data has a sample of class {wrong}; a model with {width} outputs knows classes 0 to {width - 1}")
    return _pairing("classes", spec, indices, classes=width)


def _masks(y: Array, spec: TensorSpec, *, scores: bool) -> Iterator[TargetPairing]:
    """Pictures and sequences: the output has an axis of classes that the targets lack, or the shape of the targets."""
    shape = spec.sample_shape
    for axis in (0, len(shape) - 1):
        rest = shape[:axis] + shape[axis + 1 :]
        plain = _squeezed(y, len(rest))
        count = shape[axis]
        if scores and plain is not None and _fits(plain.shape[1:], rest) and isinstance(count, int):
            if count == 1:
                yield from _same_shape(plain, spec, scores=scores)
            elif (whole := _whole_pixels(plain, count)) is not None:
                yield TargetPairing("", Reading("masks", spec.name, axis=axis + 1, classes=count), whole if plain is not y else None)
            else:
                raise DataError(f"the masks hold {_range(plain)}, and the output {spec.name!r} has {count} classes; {OWN}")
            return
    if _fits(y.shape[1:], shape):
        yield from _same_shape(y, spec, scores=scores)


def _same_shape(y: Array, spec: TensorSpec, *, scores: bool) -> Iterator[TargetPairing]:
    shape = spec.sample_shape
    for axis in (0, len(shape) - 1):
        if scores and y.ndim == len(shape) + 1 > 2 and y.shape[axis + 1] > 1 and _is_binary(y) and (y.sum(axis=axis + 1) == 1).all():
            yield TargetPairing("", Reading("masks", spec.name, axis=axis + 1, classes=y.shape[axis + 1]), y.argmax(axis=axis + 1))
            break
    else:
        if not scores and y.dtype.kind in "biu":
            yield TargetPairing("", Reading("masks", spec.name, classes=int(max(y.max(), 0)) + 1 if y.max() != IGNORED else IGNORED))
        elif scores and y.dtype.kind in "biu" and (whole := _whole_pixels(y, 2)) is not None:
            yield TargetPairing("", Reading("masks", spec.name, classes=2), whole)
    if y.dtype.kind in "biuf":
        yield _values(y, spec)


def _values(y: Array, spec: TensorSpec) -> TargetPairing:
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError(f"the labels hold values that are not finite, which no built-in metric takes; {OWN}")
    peak = float(np.iinfo(y.dtype).max) if y.dtype.kind == "u" else 1.0 if np.abs(y).max(initial=0) <= 1 else float(np.abs(y).max())
    return TargetPairing("", Reading("values", spec.name, peak=peak), y.astype(np.float64) if y.dtype.kind == "b" else None)


def _pairing(form: TargetForm, spec: TensorSpec, targets: Array, *, classes: int) -> TargetPairing:
    return TargetPairing("", Reading(form, spec.name, classes=classes), targets)


def _whole(flat: Array, spec: TensorSpec) -> Array:
    if flat.dtype.kind == "f" and not (np.isfinite(flat).all() and (flat == np.rint(flat)).all()):
        raise DataError(f"the labels are {_range(flat)}, one number a sample, and the output {spec.name!r} is {spec}; {OWN}")
    if flat.dtype.kind not in "biuf" or (flat.size and flat.max() > np.iinfo(np.int32).max):
        raise DataError(f"the labels are {_range(flat)}; class indexes are whole numbers from 0")
    return flat.astype(np.int64)


def _whole_pixels(y: Array, classes: int) -> Array | None:
    """``y`` where it holds classes below ``classes`` and pixels that do not count, else ``None``."""
    if y.dtype.kind == "f" and not (np.isfinite(y).all() and (y == np.rint(y)).all()):
        return None
    return y if y.dtype.kind in "biuf" and bool(((y < classes) | (y == IGNORED)).all()) and (y >= 0).any() else None


def _squeezed(y: Array, rank: int) -> Array | None:
    """``y`` with ``rank`` axes beside the samples, without a last or first axis of 1; ``None`` where it has others."""
    if y.ndim == rank + 1:
        return y
    if y.ndim == rank + 2 and 1 in (y.shape[1], y.shape[-1]):
        return y.reshape(len(y), *y.shape[1:-1]) if y.shape[-1] == 1 else y.reshape(len(y), *y.shape[2:])
    return None


def _fits(shape: Sequence[int], wanted: Sequence[int | str]) -> bool:
    return len(shape) == len(wanted) and all(isinstance(want, str) or have == want for have, want in zip(shape, wanted, strict=True))


def _is_binary(y: Array) -> bool:
    return y.dtype.kind in "biuf" and y.size > 0 and bool(((y == 0) | (y == 1)).all())


def _range(y: Array) -> str:
    return f"{y.min():.6g} to {y.max():.6g}" if y.dtype.kind in "iuf" and y.size else str(y.dtype)


def _described(targets: Targets) -> str:
    return ", ".join(f"{name or 'y'} {array.dtype} {list(array.shape)}" for name, array in targets.items())
