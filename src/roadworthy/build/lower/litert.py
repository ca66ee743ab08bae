"""Files for LiteRT: float32, weights alone in int8, or all of it in int8 with calibration; a ``.tflite`` source as it is.

TensorFlow's graphs go through its converter. ONNX graphs are translated here, in float32 or with int8 weights, and need no TensorFlow.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from roadworthy.build.lower import calibration_batches
from roadworthy.core.errors import RoadworthyError, StepFailed, UsageError
from roadworthy.core.host import Host
from roadworthy.core.samples import SampleSet
from roadworthy.core.stages import Graph, Plan
from roadworthy.core.types import Array, Signature
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import framework
from roadworthy.runtimes._reasons import reason

ACCEPTS = ("graphdef", "saved_model", "tflite", "onnx")
MODEL = "model.tflite"
DYNAMIC = "dynamic"
"""int8 weights; activations are float between the layers, each of which rounds what it is given by the range seen in that very call."""
BYTE_PRODUCTS = ("avx512_vnni", "avx_vnni", "asimddp", "i8mm")
"""CPU features by which sums of products of 8-bit numbers take one instruction."""
CALIBRATION_SAMPLES = 100


def plans(graph: Graph, host: Host) -> Iterable[Plan]:
    """float32, int8 weights, int8 throughout; for any batch and, where the model allows it, for exactly one sample a call.

    A file that is for LiteRT already keeps the precision that it came in. An ONNX graph is translated in float32 and, where the
    CPU multiplies bytes by instructions of their own, with int8 weights: without those they gained nothing. One that came quantised, or
    whose sizes are free beyond the batch, is not translated.
    """
    if graph.format == "tflite":
        yield Plan("litert", graph.precision, host.cores)
        if host.cores > 1:
            yield Plan("litert", graph.precision, threads=1)
        return
    translated = graph.format == "onnx"
    if translated and (graph.quantized or any(spec.open_sizes for spec in graph.signature.inputs)):
        return
    offered = [Plan("litert", "fp32", host.cores)]
    if not translated or any(map(host.has, BYTE_PRODUCTS)):
        offered.append(Plan("litert", "int8", host.cores, flavour=DYNAMIC))
    if not translated:
        offered.append(Plan("litert", "int8", host.cores))
    for plan in offered:
        yield plan
        if graph.signature.batched:
            yield replace(plan, batch=1)
            if host.cores > 1:
                yield replace(plan, batch=1, threads=1)


def imports(graph: Graph, plan: Plan) -> str:
    """The module that ``lower`` imports for seconds."""
    return "" if graph.format in ("tflite", "onnx") else "roadworthy.frameworks.tensorflow.preload"


def lower(graph: Graph, plan: Plan, calibration: SampleSet | None, out: Path) -> None:
    """Write ``out/model.tflite``, whose signature definition has the names of the graph's own signature.

    Raises UsageError for int8 throughout without samples, StepFailed where the conversion fails.
    """
    if graph.format == "tflite":
        shutil.copyfile(graph.path, out / MODEL)
        return
    signature = graph.signature.fixed(plan.batch) if plan.batch else graph.signature
    if graph.format == "onnx":
        _translate(graph, plan, signature, out)
        return
    if plan.precision == "int8" and not plan.flavour and calibration is None:
        raise UsageError("int8 needs samples to calibrate on")
    try:
        # The calibrator is built on TensorFlow's own interpreter, which says at each use that it is deprecated.
        with tempfile.TemporaryDirectory(dir=out) as scratch, warnings.catch_warnings(action="ignore"):
            converter = _converter(graph, plan, signature, Path(scratch) / "model")
            if plan.precision == "int8":
                _quantise(converter, None if plan.flavour == DYNAMIC else calibration, graph.signature)
            content = converter.convert()
        (out / MODEL).write_bytes(content)
    except (RoadworthyError, OSError):
        raise
    except Exception as problem:
        raise StepFailed(
            f"LiteRT's converter could not make {plan.artefact} of the {graph.format} graph: {reason(problem)}", detail=str(problem)
        ) from problem


def _translate(graph: Graph, plan: Plan, signature: Signature, out: Path) -> None:
    """Write ``out/model.tflite`` for an ONNX graph."""
    from roadworthy.build.lower import _tflite

    narrow = (plan.precision, plan.flavour) == ("int8", DYNAMIC)
    if plan.precision != "fp32" and not narrow:
        raise UsageError(
            f"LiteRT's file of an ONNX graph is written in fp32 or with int8 weights ({DYNAMIC}), and {plan.artefact} was asked for"
        )
    try:
        (out / MODEL).write_bytes(_tflite.translate(graph.path, signature, narrow=narrow))
    except StepFailed as problem:
        raise StepFailed(
            f"LiteRT's file could not be written from {graph.path.name}: {problem.message}", detail=problem.detail
        ) from problem
    except OSError:
        raise
    except Exception as problem:
        raise StepFailed(
            f"LiteRT's file could not be written from {graph.path.name}: {type(problem).__name__}: {reason(problem)}", detail=str(problem)
        ) from problem


def _converter(graph: Graph, plan: Plan, signature: Signature, scratch: Path) -> Any:
    """A converter of a model without variables where that can be had: with them, it may write a file that answers NaN."""
    from roadworthy.build.lower import _graphdef

    tf = framework.framework()
    directory = graph.path
    if graph.format == "saved_model":
        entry = tensorflow_entry.read_entry(directory)
        own_names = all(port.name == port.tensor for port in entry.inputs + entry.outputs)
        if own_names and signature == graph.signature and not entry.constants:
            return tf.lite.TFLiteConverter.from_saved_model(str(directory / tensorflow_entry.SAVED_MODEL), signature_keys=[entry.signature])
        directory = scratch.with_name("frozen")
        directory.mkdir()
        _graphdef.freeze(graph, directory, plan)
    _graphdef.as_saved_model(*_graphdef.read(directory, signature), scratch)
    return tf.lite.TFLiteConverter.from_saved_model(str(scratch))


def _quantise(converter: Any, calibration: SampleSet | None, signature: Signature) -> None:
    """Post-training int8; with samples, activations too, by the range each has over them. Inputs and outputs keep their dtypes.

    What has no int8 kernel stays in float32.
    """
    tf = framework.framework()
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if calibration is not None:
        converter.representative_dataset = lambda: _samples(calibration, signature)


def _samples(calibration: SampleSet, signature: Signature) -> Iterator[dict[str, Array]]:
    """One sample a call: the calibrator runs unoptimised kernels, and keeps the shapes of the first one."""
    for number, feeds in enumerate(calibration_batches(calibration, signature, 1)):
        if number == CALIBRATION_SAMPLES:
            break
        yield feeds
