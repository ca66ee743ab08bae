"""Whether two ONNX files answer the same samples with the same numbers, up to rounding in float32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.build.lower import calibration_batches
from roadworthy.core.samples import SampleSet
from roadworthy.core.types import Array, Arrays, Signature, zeros

TOLERANCE = 1e-3
"""Of the largest number of an output. It finds another function; how near a candidate is to the original is for verification to say."""


def calls(signature: Signature, calibration: SampleSet | None) -> tuple[Arrays, ...]:
    """Feeds of one, two and three samples, where the model takes them, real ones where there are any, else zeros.

    A tool that takes one number of samples for the only one, or an axis of one sample for one without a meaning, shows in these.
    """
    sizes = sorted({signature.call_size(samples) for samples in (1, 2, 3)})
    if calibration is not None:
        return tuple(next(calibration_batches(calibration, signature, size)) for size in sizes)
    closed = signature.closed()
    return tuple(zeros(closed.inputs, size) for size in sizes)


def other_answer(path: Path, copy: Path, calls: Sequence[Arrays]) -> str | None:
    """The name of the first output that ``copy`` answers otherwise than ``path`` in one of ``calls``; raises what the runtime raises."""
    names, before = _answers(path, calls)
    others, after = _answers(copy, calls)
    for wanted, found in zip(before, after, strict=True):
        given = dict(zip(others, found, strict=True))
        if other := next((name for name, one in zip(names, wanted, strict=True) if name not in given or not _same(one, given[name])), None):
            return other
    return None


def _answers(path: Path, calls: Sequence[Arrays]) -> tuple[list[str], list[list[Any]]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [port.name for port in session.get_outputs()], [session.run(None, dict(feeds)) for feeds in calls]


def _same(before: Any, after: Any) -> bool:
    if not isinstance(before, np.ndarray) or not isinstance(after, np.ndarray):
        return bool(before == after)
    return before.shape == after.shape and before.dtype == after.dtype and _near(before, after)


def _near(before: Array, after: Array) -> bool:
    if before.dtype.kind != "f":
        return bool(np.array_equal(before, after))
    scale = float(np.max(np.abs(before), initial=0.0, where=np.isfinite(before)))
    return bool(np.allclose(before, after, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True))
