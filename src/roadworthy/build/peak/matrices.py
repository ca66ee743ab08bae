"""The host's peak: a chain of large matrix multiplications in one precision, carried out by OpenVINO.

OpenVINO, because one small package has the kernels of all three precisions (oneDNN's and its own), and says of every layer in which
precision it ran: a figure is never taken for a precision that the CPU does not have.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadworthy.core import registry
from roadworthy.core.bootstrap import SEED, medians
from roadworthy.core.errors import StepFailed
from roadworthy.core.evidence import Interval
from roadworthy.core.peak import MatrixPeak
from roadworthy.core.stages import Precision
from roadworthy.core.types import Array

DEPTH = 8
"""Multiplications in a row: what converts the input once costs little beside them."""
SMALL, LARGE, MANY_THREADS = 512, 1024, 8
"""Rows and columns of the matrices; large ones where many threads share them."""
FEWEST_CALLS, MOST_CALLS = 3, 200
COPIED_BYTES, COPIES = 2**27, 5
RAN_AS = {"fp32": ("f32",), "bf16": ("bf16",), "int8": ("u8", "i8")}
"""OpenVINO's words for what the layers must have run in."""


@dataclass(frozen=True)
class PeakRequest:
    """Multiply in ``precision`` on ``threads`` threads for about ``seconds``."""

    precision: Precision
    threads: int
    seconds: float


def measure(request: PeakRequest) -> MatrixPeak:
    """A step. Raises BackendMissing without OpenVINO, StepFailed where this CPU multiplies in another precision than was asked for."""
    registry.runtime("openvino")
    import openvino

    size = LARGE if request.threads > MANY_THREADS else SMALL
    compiled = openvino.Core().compile_model(_chain(request.precision, size), "CPU", _properties(request))
    ran, kernel = _layers(compiled)
    if ran - set(RAN_AS[request.precision]):
        raise StepFailed(f"OpenVINO multiplies matrices in {', '.join(sorted(ran))} here where {request.precision} was asked for")
    call = compiled.create_infer_request()
    given = np.random.default_rng(0).random((size, size), np.float32)
    call.infer([given])
    seconds: list[float] = []
    while len(seconds) < FEWEST_CALLS or (sum(seconds) < request.seconds and len(seconds) < MOST_CALLS):
        begun = time.perf_counter()
        call.infer([given])
        seconds.append(time.perf_counter() - begun)
    rates = 2 * DEPTH * size**3 / np.array(seconds) / 1e9
    return MatrixPeak(request.precision, request.threads, _median(rates), float(rates.max()), kernel)


def copied() -> Interval:
    """The memory bandwidth of one thread in GB/s: a large array is copied, which reads and writes each byte once."""
    source, target = np.ones(COPIED_BYTES, np.uint8), np.empty(COPIED_BYTES, np.uint8)
    np.copyto(target, source)
    rates = []
    for _ in range(COPIES):
        begun = time.perf_counter()
        np.copyto(target, source)
        rates.append(2 * COPIED_BYTES / (time.perf_counter() - begun) / 1e9)
    return _median(np.array(rates))


def _properties(request: PeakRequest) -> dict[str, Any]:
    import openvino

    wide = openvino.Type.bf16 if request.precision == "bf16" else openvino.Type.f32
    return {
        "INFERENCE_PRECISION_HINT": wide,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": request.threads,
        "ENABLE_CPU_PINNING": False,
    }


def _chain(precision: Precision, size: int) -> Any:
    """A model of one input [size, size], which is multiplied by ``DEPTH`` matrices; quantised to whole numbers before each for int8."""
    import openvino
    from openvino import opset13 as operators

    random = np.random.default_rng(1)
    given = operators.parameter([size, size], openvino.Type.f32, name="given")
    product = given
    for _ in range(DEPTH):
        factor = operators.constant(random.uniform(-1, 1, (size, size)).astype(np.float32) / size)
        if precision == "int8":
            low, high, edge = np.float32(0), np.float32(1), np.float32(1 / size)
            product = operators.fake_quantize(product, low, high, low, high, 256)
            factor = operators.fake_quantize(factor, -edge, edge, -edge, edge, 255)
        product = operators.matmul(product, factor, False, False)
    return openvino.Model([product], [given], "peak")


def _layers(compiled: Any) -> tuple[set[str], str]:
    """What the multiplications were computed in, and the kernels that the plugin chose for them."""
    ran, kernels = set(), set()
    for layer in compiled.get_runtime_model().get_ops():
        facts = layer.get_rt_info()
        said = {key: str(facts[key].astype(str)) for key in ("layerType", "runtimePrecision", "primitiveType") if key in facts}
        if said.get("layerType") in ("FullyConnected", "MatMul"):
            ran.add(said["runtimePrecision"])
            kernels.add(said["primitiveType"])
    return ran, ", ".join(sorted(kernels))


def _median(rates: Array) -> Interval:
    low, high = np.quantile(medians(rates, SEED), [0.025, 0.975])
    return Interval(float(np.median(rates)), float(low), float(high))
