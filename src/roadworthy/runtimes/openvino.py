"""OpenVINO on the CPU: a ``model.xml`` in, a session whose precision was asked for and read back out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.errors import InvalidRequest, StepFailed, UsageError
from roadworthy.core.exact import cast_exactly
from roadworthy.core.host import usable_cores
from roadworthy.core.stages import PINNED, Plan
from roadworthy.core.types import Array, Arrays, Signature, TensorSpec, difference, output_names
from roadworthy.runtimes._reasons import reason

# Importing the package reports the import to its maker, unless its reporting half cannot be found.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("openvino", "numpy")
FRAMEWORK = False
NATIVE = False
OPTIONS: tuple[str, ...] = ("bf16", "pinned")

MODEL = "model.xml"
PRECISIONS = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16, "fp16": openvino.Type.f16, "int8": openvino.Type.f32}
"""What the layers compute in; an int8 model says by its own operators which of them are quantised."""

COPIED = 64 * 1024
"""Bytes of an input up to which a copy takes less time than to tell the plugin of other memory."""

NARROWED = {"int64": "int32", "uint64": "int32", "uint32": "int32", "float64": "float32"}
"""What the plugin computes in, in place of these: an int64 of 4294967299 becomes 3 there, a float64 of 1e300 becomes 3.4e38."""


def load(path: Path, signature: Signature, plan: Plan) -> OpenVinoSession:
    """The session of ``path/model.xml`` (or of the file itself) on at most ``plan.threads`` threads, in one stream: calls come one by one.

    Raises UsageError where this CPU would compute in another way than the plan says, StepFailed for a file that
    cannot be loaded or is not of ``signature``.
    """
    asked = _properties(plan)
    file = path / MODEL if path.is_dir() else path
    try:
        model = _core().read_model(file)
        wrong = difference(_specs(model.inputs, signature.inputs), signature.inputs, sizes=True)
        outputs = _as_in_file(model, signature)
        wrong = wrong or difference(_specs(model.outputs, outputs), outputs, sizes=False)
        compiled = None if wrong else _core().compile_model(model, "CPU", asked)
    except Exception as problem:
        raise StepFailed(f"OpenVINO cannot load {file.name}: {reason(problem)}", detail=str(problem)) from problem
    if compiled is None:
        raise StepFailed(f"{file} is not the model of this signature: {wrong}")
    _check_honoured(compiled, asked)
    return OpenVinoSession(compiled, signature)


def _properties(plan: Plan) -> dict[str, Any]:
    """What the plugin is asked for; raises UsageError for a plan that it cannot carry out."""
    precision = PRECISIONS.get(plan.precision)
    if precision is None:
        raise UsageError(f"OpenVINO does not compute in {plan.precision} on a CPU; choose {', '.join(PRECISIONS)}")
    if plan.spin:
        raise UsageError("OpenVINO has no choice of spinning threads; leave spin out of the plan")
    if "bf16" in plan.options and plan.precision != "int8":
        raise UsageError(
            f"the option bf16 is for the layers that int8 leaves, and this plan is {plan.precision}; choose the precision bf16"
        )
    if PINNED in plan.options and usable_cores() != os.cpu_count():
        raise UsageError(
            f"pinned threads are for a process that has the whole machine, and this one has {usable_cores()} of {os.cpu_count()} cores"
        )
    return {
        # Left alone, it is bf16 on machines with AMX, without a word.
        "INFERENCE_PRECISION_HINT": openvino.Type.bf16 if "bf16" in plan.options else precision,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": plan.threads,
        "ENABLE_CPU_PINNING": PINNED in plan.options,
    }


def _check_honoured(compiled: Any, asked: dict[str, Any]) -> None:
    """Raise UsageError where the compiled model says that it runs in another way; it may have fewer threads, where two share a core."""
    for name, value in asked.items():
        given = compiled.get_property(name)
        if given == value or (name == "INFERENCE_NUM_THREADS" and given < value):
            continue
        if name == "INFERENCE_PRECISION_HINT":
            wanted, there = value.get_type_name(), given.get_type_name()
            raise UsageError(f"{wanted} was asked for and OpenVINO would compute in {there} on this CPU; choose another precision")
        raise UsageError(f"{name}={value} was asked for and OpenVINO would run with {given} on this CPU; choose another plan")


@cache
def _core() -> Any:
    return openvino.Core()


def _as_in_file(model: Any, signature: Signature) -> tuple[TensorSpec, ...]:
    """The outputs of ``signature`` under the names that they have in the file."""
    names = output_names(signature, {name for port in model.outputs for name in port.get_names()})
    return tuple(replace(spec, name=name) for spec, name in zip(signature.outputs, names, strict=True))


def _specs(ports: Iterable[Any], wanted: Iterable[TensorSpec]) -> list[TensorSpec]:
    """What the file says of ``ports``, each under the name that is ``wanted``: a tensor that is several outputs has all their names."""
    names = [spec.name for spec in wanted]
    found = []
    for port in ports:
        name = next((one for one in names if one in port.get_names()), None)
        names = [one for one in names if one != name]
        found.append(_spec(port, name or port.get_any_name()))
    return found


def _spec(port: Any, name: str) -> TensorSpec:
    shape = port.get_partial_shape()
    sizes = ("?",) if shape.rank.is_dynamic else tuple(size.get_length() if size.is_static else "?" for size in shape)
    return TensorSpec(name, _dtype(port.get_element_type()), sizes)


def _dtype(kind: Any) -> str:
    return "bool" if kind == openvino.Type.boolean else str(kind.to_dtype())


def _check_fits(spec: TensorSpec, array: Array, narrow: str) -> None:
    try:
        cast_exactly(spec.name, array, narrow)
    except InvalidRequest as problem:
        raise InvalidRequest(f"{problem.message}; OpenVINO computes {spec.dtype} as {narrow}") from None


class OpenVinoSession:
    """One request, kept: small feeds are copied into its buffers, large ones are read in place, answers are copied out.

    Values that the plugin would change by computing in a narrower dtype raise InvalidRequest; see ``NARROWED``.
    """

    def __init__(self, compiled: Any, signature: Signature) -> None:
        self._request = compiled.create_infer_request()
        self._kept: dict[int, Array] = {}
        self._inputs = tuple((index, spec.name) for index, spec in enumerate(_specs(compiled.inputs, signature.inputs)))
        found = {name: index for index, port in enumerate(compiled.outputs) for name in port.get_names()}
        outputs = _as_in_file(compiled, signature)
        self._outputs = tuple((found[there.name], spec.name) for there, spec in zip(outputs, signature.outputs, strict=True))
        self._narrowed = tuple((spec, NARROWED[spec.dtype]) for spec in signature.inputs if spec.dtype in NARROWED)

    def run(self, feeds: Arrays) -> Arrays:
        request = self._request
        for spec, narrow in self._narrowed:
            _check_fits(spec, feeds[spec.name], narrow)
        try:
            for index, name in self._inputs:
                self._feed(index, feeds[name])
            request.infer(share_outputs=True)
            return {name: request.get_output_tensor(index).data.copy() for index, name in self._outputs}
        except Exception as problem:
            raise StepFailed(f"OpenVINO failed: {reason(problem)}", detail=str(problem)) from problem

    def _feed(self, index: int, array: Array) -> None:
        """Give the input its values; memory that is read-only, as a request's body is, cannot be shared."""
        kept = self._kept.get(index)
        if array.nbytes > COPIED and array.flags.writeable:
            self._kept.pop(index, None)
            self._request.set_input_tensor(index, openvino.Tensor(array, shared_memory=True))
        elif kept is not None and kept.shape == array.shape:
            np.copyto(kept, array)
        else:
            self._kept[index] = array.copy()
            self._request.set_input_tensor(index, openvino.Tensor(self._kept[index], shared_memory=True))

    def close(self) -> None:
        self._request = None
        self._kept.clear()
