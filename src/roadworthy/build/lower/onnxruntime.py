"""Files for ONNX Runtime: the ONNX graph as one file, in float32 or quantised to int8 with QDQ operators; or as it came, quantised."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from roadworthy.build.lower import NARROW, calibration_batches, int8_flavour
from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.runtimes._reasons import reason

ACCEPTS = ("onnx",)
MODEL = "model.onnx"
CALIBRATION_BATCH = 16


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """float32 and int8, on all cores and on one (small models lose more to waking threads than they gain), and spinning.

    What came quantised keeps its precision.
    """
    flavour = int8_flavour(host)
    yield Plan("onnxruntime", graph.precision, threads=host.cores)
    if host.cores > 1:
        yield Plan("onnxruntime", graph.precision, threads=1)
        yield Plan("onnxruntime", graph.precision, threads=host.cores, spin=True)
    if graph.precision == "int8":
        return
    yield Plan("onnxruntime", "int8", threads=host.cores, flavour=flavour)
    if host.cores > 1:
        yield Plan("onnxruntime", "int8", threads=1, flavour=flavour)


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write ``out/model.onnx``, and its weights beside it where it is too large for one file.

    Raises UsageError for a plan that is not offered here, StepFailed where quantising fails.
    """
    # As in the runtime: set before the first import, this turns the library's telemetry off.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnx

    # A batch is fixed only where the graph holds for that size alone.
    if plan.batch not in (None, *(spec.samples for spec in graph.signature.inputs)) or plan.precision not in ("fp32", "int8"):
        raise UsageError(f"{plan.name} is not a plan of ONNX Runtime")
    to_quantise = plan.precision == "int8" and graph.precision != "int8"
    if to_quantise and calibration is None:
        raise UsageError("int8 needs samples to calibrate on")
    try:
        if calibration is not None and to_quantise:
            _quantise(graph, calibration, out, narrow=plan.flavour == NARROW)
        else:
            _save(onnx.load(graph.path), out)
    except OSError:
        raise
    except Exception as problem:
        raise StepFailed(
            f"ONNX Runtime could not make {plan.artefact} of {graph.path.name}: {reason(problem)}", detail=str(problem)
        ) from problem


def _quantise(graph: Graph, calibration: SampleSet, out: Path, *, narrow: bool) -> None:
    """Static QDQ: unsigned activations, signed weights for each output channel, ranges by MinMax over the samples."""
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(dir=out) as scratch:
        prepared = Path(scratch) / MODEL
        # Symbolic shapes are for transformers' fusions, take seconds, and fail on models that quantise well without.
        quant_pre_process(graph.path, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            out / MODEL,
            _Reader(calibration_batches(calibration, graph.signature, CALIBRATION_BATCH)),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=narrow,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            calibration_providers=["CPUExecutionProvider"],
        )


class _Reader:
    """Calibration samples in the one form that the quantiser reads them."""

    def __init__(self, feeds: Iterator[Any]) -> None:
        self._feeds = feeds

    def get_next(self) -> Any:
        return next(self._feeds, None)


def _save(model: Any, out: Path) -> None:
    import onnx

    # Protobuf ends at 2 GiB, and of a larger model it cannot even say the size.
    large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) >= 2**30
    onnx.save(model, out / MODEL, save_as_external_data=large, location=f"{MODEL}.data" if large else None)
