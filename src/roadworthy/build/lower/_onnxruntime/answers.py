"""Whether two ONNX files answer the same samples with the same numbers, up to rounding in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.types import Array, Arrays

TOLERANCE = 1e-3
"""Of the largest number of an output. It finds another function; how near a candidate is to the original is for verification to say."""


def other_answer(path: Path, copy: Path, feeds: Arrays) -> str | None:
    """The name of the first output that ``copy`` answers otherwise than ``path``; raises what the runtime raises."""
    names, wanted = _answers(path, feeds)
    given = dict(zip(*_answers(copy, feeds), strict=True))
    return next((name for name, before in zip(names, wanted, strict=True) if name not in given or not _same(before, given[name])), None)


def _answers(path: Path, feeds: Arrays) -> tuple[list[str], list[Any]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return [port.name for port in session.get_outputs()], session.run(None, dict(feeds))


def _same(before: Any, after: Any) -> bool:
    if not isinstance(before, np.ndarray) or not isinstance(after, np.ndarray):
        return bool(before == after)
    return before.shape == after.shape and before.dtype == after.dtype and _near(before, after)


def _near(before: Array, after: Array) -> bool:
    if before.dtype.kind != "f":
        return bool(np.array_equal(before, after))
    scale = float(np.max(np.abs(before), initial=0.0, where=np.isfinite(before)))
    return bool(np.allclose(before, after, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True))
