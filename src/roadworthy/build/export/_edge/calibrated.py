"""int8 throughout for a ``.tflite`` file of float32: weights for each output channel, activations by their range over samples."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from roadworthy.build.lower import calibration_batches
from roadworthy.core.errors import BackendMissing, StepFailed
from roadworthy.core.samples import SampleSet
from roadworthy.core.text import named_line
from roadworthy.core.types import Arrays, Signature

SAMPLES = 100
KEY = "serving_default"
ENDS = ("INPUT", "OUTPUT")
"""What keeps its type: a caller feeds and reads what the signature says."""


def quantised(file: Path, signature: Signature, calibration: SampleSet) -> bytes:
    """The content of ``file`` with int8 weights and activations; ``signature`` is that of the file, for one number of samples.

    Raises BackendMissing without the quantiser, StepFailed where it fails. What has no int8 kernel stays in float32.
    """
    try:
        from ai_edge_quantizer import qtyping, quantizer, recipe
    except ImportError as problem:
        raise BackendMissing(f"int8 needs the quantiser: {problem}; install it with: pip install 'roadworthy[android]'") from problem
    said = io.StringIO()
    try:
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            made = quantizer.Quantizer(str(file))
            made.load_quantization_recipe(recipe.static_wi8_ai8())
            for end in ENDS:
                operator = qtyping.TFLOperationName(end)
                made.update_quantization_recipe(regex=".*", operation_name=operator, algorithm_key="no_quantize")
            ranges = made.calibrate({KEY: list(_samples(calibration, signature))})
            content = made.quantize(ranges).quantized_model
    except Exception as problem:
        raise StepFailed(f"LiteRT's quantiser could not make int8 of {file.name}: {named_line(problem)}", detail=str(problem)) from problem
    return bytes(content)


def _samples(calibration: SampleSet, signature: Signature) -> Iterator[Arrays]:
    """As many samples a call as the file takes."""
    return islice(iter(calibration_batches(calibration, signature, signature.call_size(1))), SAMPLES)
