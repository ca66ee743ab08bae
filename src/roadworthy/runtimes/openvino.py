"""OpenVINO on the CPU: a ``model.xml`` in, a session whose precision was asked for and read back out."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

from roadworthy.core.errors import InvalidRequest, StepFailed, UsageError
from roadworthy.core.exact import cast_exactly
from roadworthy.core.stages import Plan
from roadworthy.core.types import Array, Arrays, Signature, TensorSpec, difference
from roadworthy.runtimes._reasons import reason

# Importing the package reports the import to its maker, unless its reporting half cannot be found.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("openvino", "numpy")
FRAMEWORK = False
NATIVE = False

MODEL = "model.xml"
PRECISIONS = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16, "fp16": openvino.Type.f16, "int8": openvino.Type.f32}
"""What the layers compute in; an int8 model says by its own operators which of them are quantised."""

NARROWED = {"int64": "int32", "uint64": "int32", "uint32": "int32", "float64": "float32"}
"""What the plugin computes in, in place of these: an int64 of 4294967299 becomes 3 there, a float64 of 1e300 becomes 3.4e38."""


def load(path: Path, signature: Signature, plan: Plan) -> OpenVinoSession:
    """The session of ``path/model.xml`` (or of the file itself) on at most ``plan.threads`` threads, in one stream.

    Raises UsageError where this CPU would compute in another precision than the plan's, StepFailed for a file that
    cannot be loaded or is not of ``signature``.
    """
    precision = PRECISIONS.get(plan.precision)
    if precision is None:
        raise UsageError(f"OpenVINO does not compute in {plan.precision} on a CPU; choose {', '.join(PRECISIONS)}")
    if plan.spin:
        raise UsageError("OpenVINO has no choice of spinning threads; leave spin out of the plan")
    file = path / MODEL if path.is_dir() else path
    try:
        model = _core().read_model(file)
        wrong = difference(map(_spec, model.inputs), signature.inputs, sizes=True)
        wrong = wrong or difference(map(_spec, model.outputs), signature.outputs, sizes=False)
        compiled = None if wrong else _core().compile_model(model, "CPU", _properties(precision, plan.threads))
    except Exception as problem:
        raise StepFailed(f"OpenVINO cannot load {file.name}: {reason(problem)}", detail=str(problem)) from problem
    if compiled is None:
        raise StepFailed(f"{file} is not the model of this signature: {wrong}")
    given = compiled.get_property("INFERENCE_PRECISION_HINT")
    if given != precision:
        raise UsageError(
            f"{plan.precision} was asked for and OpenVINO would compute in {given.get_type_name()} on this CPU; choose another precision"
        )
    return OpenVinoSession(compiled, signature)


def _properties(precision: Any, threads: int) -> dict[str, Any]:
    return {
        # Left alone, it is bf16 on machines with AMX, without a word.
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
        # Pinned threads of neighbouring processes would all sit on the same first cores.
        "ENABLE_CPU_PINNING": False,
    }


@cache
def _core() -> Any:
    return openvino.Core()


def _spec(port: Any) -> TensorSpec:
    shape = port.get_partial_shape()
    sizes = ("?",) if shape.rank.is_dynamic else tuple(size.get_length() if size.is_static else "?" for size in shape)
    return TensorSpec(port.get_any_name(), _dtype(port.get_element_type()), sizes)


def _dtype(kind: Any) -> str:
    return "bool" if kind == openvino.Type.boolean else str(kind.to_dtype())


def _check_fits(spec: TensorSpec, array: Array, narrow: str) -> None:
    try:
        cast_exactly(spec.name, array, narrow)
    except InvalidRequest as problem:
        raise InvalidRequest(f"{problem.message}; OpenVINO computes {spec.dtype} as {narrow}") from None


class OpenVinoSession:
    """One request, kept: feeds are read in place where they may be, answers are copied out of its buffers.

    Values that the plugin would change by computing in a narrower dtype raise InvalidRequest; see ``NARROWED``.
    """

    def __init__(self, compiled: Any, signature: Signature) -> None:
        self._request = compiled.create_infer_request()
        self._inputs = tuple((index, port.get_any_name()) for index, port in enumerate(compiled.inputs))
        found = {port.get_any_name(): index for index, port in enumerate(compiled.outputs)}
        self._outputs = tuple((found[spec.name], spec.name) for spec in signature.outputs)
        self._narrowed = tuple((spec, NARROWED[spec.dtype]) for spec in signature.inputs if spec.dtype in NARROWED)

    def run(self, feeds: Arrays) -> Arrays:
        request = self._request
        for spec, narrow in self._narrowed:
            _check_fits(spec, feeds[spec.name], narrow)
        try:
            for index, name in self._inputs:
                array = feeds[name]
                # OpenVINO cannot share memory that is read-only, as a request's body is.
                request.set_input_tensor(index, openvino.Tensor(array, shared_memory=array.flags.writeable))
            request.infer(share_outputs=True)
            return {name: request.get_output_tensor(index).data.copy() for index, name in self._outputs}
        except Exception as problem:
            raise StepFailed(f"OpenVINO failed: {reason(problem)}", detail=str(problem)) from problem

    def close(self) -> None:
        self._request = None
