"""ncnn on the CPU: a ``.param`` and a ``.bin`` file in, a session in float32 out. It knows no batch: one sample a call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ncnn
import numpy as np

from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import Array, Arrays, Signature

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("ncnn", "numpy")
FRAMEWORK = False
NATIVE = False

PARAM, WEIGHTS = "model.ncnn.param", "model.ncnn.bin"
NARROW = (
    "use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_packed", "use_bf16_storage",
    "use_int8_inference", "use_int8_packed", "use_int8_storage", "use_int8_arithmetic",
)  # fmt: skip
"""Settings that compute or keep numbers in fewer bits than 32; those of fp16 are on unless told otherwise."""


def load(path: Path, signature: Signature, plan: Plan) -> NcnnSession:
    """The session of the two files in ``path`` on ``plan.threads`` threads.

    Raises UsageError for another precision than fp32 or another batch than 1, StepFailed for files that do not load or are not of
    ``signature``.
    """
    if plan.precision != "fp32":
        raise UsageError(f"ncnn computes in fp32 here, and {plan.precision} was asked for; choose fp32")
    if plan.spin:
        raise UsageError("ncnn has no choice of spinning threads; leave spin out of the plan")
    if any(not isinstance(size, int) for spec in signature.inputs for size in spec.shape) or any(
        spec.samples != 1 for spec in signature.inputs
    ):
        raise UsageError("ncnn answers one sample a call; choose a plan of batch 1")
    if missing := [name for name in (PARAM, WEIGHTS) if not (path / name).is_file()]:
        raise StepFailed(f"{path} holds no {missing[0]}")
    net = ncnn.Net()
    net.opt.num_threads = plan.threads
    net.opt.use_vulkan_compute = False
    for setting in NARROW:
        setattr(net.opt, setting, False)
    if net.load_param(str(path / PARAM)) or net.load_model(str(path / WEIGHTS)):
        raise StepFailed(f"ncnn cannot load {path / PARAM}: it lacks one of its layers, or the weights do not fit")
    found, wanted = (len(net.input_names()), len(net.output_names())), (len(signature.inputs), len(signature.outputs))
    if found != wanted:
        raise StepFailed(f"{path / PARAM} has {found[0]} inputs and {found[1]} outputs, and the signature has {wanted[0]} and {wanted[1]}")
    return NcnnSession(net, signature)


class NcnnSession:
    """One network; inputs and outputs are those of the file, in the order of the signature."""

    def __init__(self, net: Any, signature: Signature) -> None:
        self._net = net
        # The converter numbers them (in0, in1, out0): the order of the file's lines is another.
        self._inputs = tuple((spec.name, f"in{number}") for number, spec in enumerate(signature.inputs))
        self._outputs = tuple((spec.name, f"out{number}", _shape(spec.shape)) for number, spec in enumerate(signature.outputs))

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name, in memory of their own; raises StepFailed where a layer fails."""
        extractor = self._net.create_extractor()
        # Copies: a layer may work in the memory of its input, and a matrix does not keep the array that it was made of.
        for name, blob in self._inputs:
            if extractor.input(blob, ncnn.Mat(np.ascontiguousarray(feeds[name][0])).clone()):
                raise StepFailed(f"ncnn has no input {blob} for {name!r}")
        return {name: self._answer(extractor, name, blob, shape) for name, blob, shape in self._outputs}

    def close(self) -> None:
        self._net = None

    def _answer(self, extractor: Any, name: str, blob: str, shape: tuple[int, ...]) -> Array:
        failed, found = extractor.extract(blob)
        array = np.array(found)
        if failed or (-1 not in shape and array.size != np.prod(shape)):
            raise StepFailed(f"ncnn failed: {name!r} is {list(array.shape)}, where {list(shape)} was to come")
        return array.reshape(shape)


def _shape(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in shape)
