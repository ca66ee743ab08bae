"""TensorFlow itself: imported once, with this process's threads, and its errors in one line."""

from __future__ import annotations

import functools
import logging
import os
import re
from typing import Any

from roadworthy.core import text
from roadworthy.core.errors import BackendMissing, RoadworthyError, StepFailed, UsageError

AROUND = (
    "Graph execution error", "Detected at node", "Node:", "<stack traces", 'File "', "Exception encountered when calling", "[[{{node",
    "Arguments received by", "Call arguments received by", "\u2022",
)  # fmt: skip
"""How the lines begin that TensorFlow and Keras put around what went wrong."""
NOISE = re.compile(r"\x1b\[[0-9;]*m|\{\{function_node [^}]*\}\}\s*|\s*\[Op:[^\]]*\]")
"""Colours, and the names that TensorFlow gives to its own inner functions."""
RAISED = re.compile(r"^\s*(?:[\w.]*(?:Error|Exception)): (.+)$", re.MULTILINE)
"""The last line of a call stack that is part of a message."""


@functools.cache
def framework() -> Any:
    """The module ``tensorflow``, imported without its chatter and kept to exact float32; BackendMissing where there is none."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # oneDNN reads these at its first use and would compute float32 in bfloat16.
    os.environ.pop("ONEDNN_DEFAULT_FPMATH_MODE", None)
    os.environ.pop("DNNL_DEFAULT_FPMATH_MODE", None)
    try:
        import tensorflow as tf
    except ImportError as problem:
        raise BackendMissing(
            f"this model needs TensorFlow, which is not installed ({problem}); install it with: pip install 'roadworthy[tensorflow]'"
        ) from problem
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return tf


def old_keras() -> None:
    """Import tf-keras, with which TensorFlow can restore what Keras 2 saved; BackendMissing, with the remedy, where there is none."""
    try:
        import tf_keras  # noqa: F401
    except ImportError as problem:
        raise BackendMissing(
            f"this model was saved by Keras 2 and needs tf-keras ({problem}); install it with: pip install --no-deps tf-keras"
        ) from problem


def set_threads(threads: int) -> None:
    """Compute on ``threads`` threads in this process; UsageError where TensorFlow has started with another number."""
    tf = framework()
    threading = tf.config.threading
    if (threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads()) == (threads, 1):
        return
    try:
        threading.set_intra_op_parallelism_threads(threads)
        threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        has = threading.get_intra_op_parallelism_threads() or "as many threads as there are cores"
        raise UsageError(f"TensorFlow already runs in this process with {has}; {threads} threads need a process of their own") from None


def first_line(problem: BaseException) -> str:
    """What went wrong, of a message of TensorFlow or Keras that may fill screens: one line, without call stacks and arguments."""
    said = NOISE.sub("", problem.message if isinstance(problem, RoadworthyError) else str(problem))
    if "in user code:" in said and (raised := RAISED.findall(said)) and not raised[-1].startswith(AROUND):
        return str(raised[-1].strip()[: text.LONGEST])
    skipped = text.first_line(
        RuntimeError(said or type(problem).__name__), skip=lambda line: line.endswith(("error:", "error(s):")) or line.startswith(AROUND)
    )
    return skipped if skipped != "RuntimeError" else type(problem).__name__


class explained:
    """Translates an exception of TensorFlow inside the block into ``error`` about ``what``; our own errors pass."""

    def __init__(self, what: object, error: type[RoadworthyError] = StepFailed) -> None:
        self._what, self._error = what, error

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, Exception) and not isinstance(problem, RoadworthyError):
            raise self._error(f"{self._what} does not load in TensorFlow: {first_line(problem)}", detail=str(problem)) from problem
