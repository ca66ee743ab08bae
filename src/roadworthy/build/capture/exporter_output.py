"""Keep what the exporters say: their warnings become notes on the graph, their chatter goes no further than the child's log."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from roadworthy.build.capture import exporter_errors

_LOGGERS = (
    *("torch.onnx", "torch.export", "torch._export", "torch._dynamo", "torch._guards", "torch.fx", "onnxscript", "onnx_ir"),
    *("tensorflow", "tf2onnx", "absl"),
)
# The older routes are deprecated as a whole, which is known; the other lines are about the exporters' own insides.
_KNOWN = re.compile(
    r"deprecated|legacy .*ONNX export|torchvision is not installed|never used by the ExportedProgram|isinstance\(treespec"
    r"|The feature will be removed"
)
# A trace warns about sizes and about values. ``data_dependence`` observes values, and the proof tries other sizes.
_KNOWN_CATEGORY = "TracerWarning"
_MOST_NOTES = 4


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect warnings of the block as notes, one line each, known noise left out; the list fills when the block ends."""
    notes: list[str] = []
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield notes
            finally:
                said = (
                    exporter_errors.one_line(str(warning.message)) for warning in caught if warning.category.__name__ != _KNOWN_CATEGORY
                )
                notes += list(dict.fromkeys(line for line in said if not _KNOWN.search(line)))[:_MOST_NOTES]
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
