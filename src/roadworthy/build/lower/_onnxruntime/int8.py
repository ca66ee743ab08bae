"""int8 for ONNX Runtime: QDQ operators by its own quantiser, in the recipes that are worth their time."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from roadworthy.build.lower import NARROW, calibration_batches
from roadworthy.build.lower._onnxruntime import answers, clean, opset, pixels, sensitivity
from roadworthy.core.errors import RoadworthyError, StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Signature
from roadworthy.runtimes._reasons import reason

MODEL = "model.onnx"
SIGNED, PERCENTILE, MIXED = "signed", "percentile", "mixed"
PERCENT = 99.99
"""What of an activation's values its range holds; the few beyond it saturate."""
BATCH = 16
HISTOGRAM_BATCH, HISTOGRAM_SAMPLES = 4, 64
"""Every activation of a call is in memory at once, and a histogram costs ten times as much as a minimum and a maximum."""
RANKING_SAMPLES = 16


def flavour(narrow: str, host: Host) -> str:
    """The first recipe to try: ``narrow`` is ``lower.int8_flavour(host)``. ONNX Runtime's kernels for ARM multiply signed by signed bytes.

    On x86 those of signed activations saturate as those of unsigned ones do before VNNI, and are slower everywhere.
    """
    return SIGNED if host.architecture in ("aarch64", "arm64") else narrow


def unavailable() -> Mapping[str, str]:
    """Why nothing can be quantised here, by precision; empty where it can."""
    if importlib.util.find_spec("onnxruntime"):
        return {}
    return {"int8": "int8 needs the package onnxruntime; install it with: pip install 'roadworthy[onnxruntime]'"}


@dataclass(frozen=True)
class Recipe:
    """What a flavour says, word by word.

    ``narrow``: weights of 7 bits. ``signed``: signed activations, for ARM's dot products. ``percentile``: ranges without the outliers,
    and not by minimum and maximum. ``mixed``: the layers that lose most by quantising stay in float32.
    """

    narrow: bool
    signed: bool
    percentile: bool
    mixed: bool

    @classmethod
    def of(cls, flavour: str) -> Self:
        """Raises UsageError for a word that there is not."""
        words = {NARROW: False, SIGNED: False, PERCENTILE: False, MIXED: False}
        for word in filter(None, flavour.split("-")):
            if word not in words:
                raise UsageError(f"ONNX Runtime has no int8 recipe {word!r}; it has {', '.join(words)}")
            words[word] = True
        return cls(*words.values())


def file_of(graph: Graph, plan: Plan, recipe: str, calibration: SampleSet | None, out: Path) -> Path:
    """The ONNX file of ``graph`` in the precision of ``plan``: its own, or one that is quantised by ``recipe`` into ``out``.

    Raises UsageError for int8 without samples and for a recipe that there is not, StepFailed where quantising fails.
    """
    if plan.precision == graph.precision:
        return graph.path
    if calibration is None:
        raise UsageError("int8 needs samples to calibrate on")
    # As in the runtime: set before the first import, this turns the library's telemetry off.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    words = Recipe.of(recipe)
    try:
        quantise(graph.path, graph.signature, words, calibration, out)
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        raise StepFailed(
            f"ONNX Runtime's quantiser could not make {plan.artefact} of {graph.path.name}: {reason(problem)}", detail=str(problem)
        ) from problem
    return out / MODEL


def quantise(path: Path, signature: Signature, recipe: Recipe, calibration: SampleSet, out: Path) -> None:
    """Write ``out/model.onnx``: static ranges, weights with a scale for each output channel.

    Raises StepFailed where the file's operator set is too old and cannot be converted, and what the quantiser raises.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(dir=out) as folder, contextlib.redirect_stdout(io.StringIO()):
        scratch = Path(folder)
        first = next(calibration_batches(calibration, signature, RANKING_SAMPLES))
        prepared = scratch / "prepared.onnx"
        # BatchNorm goes into the convolutions here. Symbolic shapes are for transformers' fusions, take seconds, and fail on models that
        # quantise well without.
        calls = answers.calls(signature, calibration)
        quant_pre_process(
            clean.for_batches(opset.raised(path, calls, scratch), signature, calls, scratch), prepared, skip_symbolic_shape=True
        )
        left_in_float = pixels.first_nodes(prepared)
        if recipe.mixed:
            sensitivity.name_nodes(prepared)
            draft = scratch / "draft.onnx"
            _write(prepared, draft, recipe, _Reader(iter([first]), 1), left_in_float)
            left_in_float = [*left_in_float, *sensitivity.most_sensitive(prepared, draft, first)]
        _write(prepared, out / MODEL, recipe, _reader(calibration, signature, recipe), left_in_float)


def _write(prepared: Path, target: Path, recipe: Recipe, reader: _Reader, left_in_float: list[str]) -> None:
    from onnxruntime import quantization

    methods, types = quantization.CalibrationMethod, quantization.QuantType
    quantization.quantize_static(
        prepared,
        target,
        reader,
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=types.QInt8 if recipe.signed else types.QUInt8,
        weight_type=types.QInt8,
        per_channel=True,
        reduce_range=recipe.narrow,
        nodes_to_exclude=left_in_float,
        calibrate_method=methods.Percentile if recipe.percentile else methods.MinMax,
        calibration_providers=["CPUExecutionProvider"],
        # One call after the other: by default the quantiser keeps the activations of all calls, and needs them to be of one size.
        extra_options={"CalibStridedMinMax": 1, "CalibPercentile": PERCENT},
    )


def _reader(calibration: SampleSet, signature: Signature, recipe: Recipe) -> _Reader:
    size = signature.call_size(HISTOGRAM_BATCH if recipe.percentile else BATCH)
    used = min(calibration.count, HISTOGRAM_SAMPLES) if recipe.percentile else calibration.count
    calls = -(-used // size) if signature.dynamic else max(1, used // size)
    return _Reader(calibration_batches(calibration, signature, size), calls)


class _Reader:
    """Calibration samples in the one form that the quantiser reads them: ``calls`` feeds, in ranges one after the other."""

    def __init__(self, feeds: Iterator[Any], calls: int) -> None:
        self._feeds, self._calls, self._left = feeds, calls, calls

    def __len__(self) -> int:
        return self._calls

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = end_index - start_index

    def get_next(self) -> Any:
        if not self._left:
            return None
        self._left -= 1
        return next(self._feeds, None)
