"""Matrix multiplications by OpenVINO.

It has kernels of all three precisions in one small package, and says of every layer in which precision it ran: a figure is never taken
for a precision that the CPU does not have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino
from openvino import opset13 as operators

from roadworthy.build.peak.matrices import DEPTH, Multiplication
from roadworthy.core.errors import StepFailed
from roadworthy.core.stages import Precision

RAN_AS = {"fp32": ("f32",), "bf16": ("bf16",), "int8": ("u8", "i8")}
"""OpenVINO's words for what the layers must have run in."""


def multiplication(precision: Precision, threads: int, size: int) -> Multiplication:
    """Ready to be called. Raises StepFailed where this CPU multiplies in another precision than was asked for."""
    properties = {
        "INFERENCE_PRECISION_HINT": openvino.Type.bf16 if precision == "bf16" else openvino.Type.f32,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    compiled = openvino.Core().compile_model(_chain(precision, size), "CPU", properties)
    ran, kernel = _layers(compiled)
    if ran - set(RAN_AS[precision]):
        raise StepFailed(f"OpenVINO multiplies matrices in {', '.join(sorted(ran))} here where {precision} was asked for")
    request = compiled.create_infer_request()
    return Multiplication(lambda given: request.infer([given]), kernel)


def _chain(precision: Precision, size: int) -> Any:
    """A model of one input [size, size], which is multiplied by ``DEPTH`` matrices; quantised to whole numbers before each for int8."""
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
