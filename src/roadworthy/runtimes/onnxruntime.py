"""ONNX Runtime on the CPU: an ``.onnx`` file in, a session with explicit threads and no telemetry out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.errors import InvalidRequest, StepFailed, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import BYTES, Array, Arrays, Signature, TensorSpec, difference, output_names
from roadworthy.runtimes._reasons import reason

# The Linux wheel opens a device id and an upload queue below $HOME as soon as it is imported, unless told before.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

RUNS: tuple[str, ...] = ("onnx",)
PACKAGES: tuple[str, ...] = ("onnxruntime", "numpy")
FRAMEWORK = False
NATIVE = False

MODEL = "model.onnx"
FATAL = 4
DTYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16", "tensor(bool)": "bool",
    "tensor(int8)": "int8", "tensor(int16)": "int16", "tensor(int32)": "int32", "tensor(int64)": "int64",
    "tensor(uint8)": "uint8", "tensor(uint16)": "uint16", "tensor(uint32)": "uint32", "tensor(uint64)": "uint64",
    "tensor(string)": BYTES, "tensor(bfloat16)": "bfloat16",
}  # fmt: skip


def load(path: Path, signature: Signature, plan: Plan) -> OnnxRuntimeSession:
    """The session of ``path/model.onnx``, or of the file itself, on ``plan.threads`` threads.

    An int8 model carries its precision in its own operators. Raises UsageError for a precision that this runtime
    would only imitate, StepFailed for a file that it cannot load or that is not of ``signature``. Weights outside
    the model's directory are refused by the runtime itself.
    """
    if plan.precision not in ("fp32", "int8"):
        raise UsageError(f"ONNX Runtime does not compute in {plan.precision} on a CPU; choose fp32 or int8")
    file = path / MODEL if path.is_dir() else path
    try:
        session = ort.InferenceSession(file, _options(plan), providers=["CPUExecutionProvider"])
    except Exception as problem:
        raise StepFailed(f"ONNX Runtime cannot load {file.name}: {reason(problem)}", detail=str(problem)) from problem
    wrong = difference(map(_spec, session.get_inputs()), signature.inputs, sizes=True)
    names = output_names(signature, [port.name for port in session.get_outputs()])
    outputs = [replace(spec, name=name) for spec, name in zip(signature.outputs, names, strict=True)]
    wrong = wrong or difference(map(_spec, session.get_outputs()), outputs, sizes=False)
    if wrong:
        raise StepFailed(f"{file} is not the model of this signature: {wrong}")
    return OnnxRuntimeSession(session, dict(zip(names, (spec.name for spec in signature.outputs), strict=True)))


def _options(plan: Plan) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = plan.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = FATAL  # what goes wrong is raised as well, and said by us
    # Waiting threads that spin answer a little sooner and burn a core each; that is the plan's choice.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if plan.spin else "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def _spec(port: Any) -> TensorSpec:
    return TensorSpec(port.name, DTYPES.get(port.type, port.type), tuple(size if isinstance(size, int) else "?" for size in port.shape))


class OnnxRuntimeSession:
    """Passes the arrays through; the runtime reads feeds in place and gives every answer memory of its own.

    Its strings are texts: byte strings are read as UTF-8, and answered so.
    ``outputs`` are the file's names of the outputs, each with that of the signature.
    """

    def __init__(self, session: Any, outputs: Mapping[str, str]) -> None:
        self._session = session
        # What is around this method in Python checks the feeds once more, which takes a third of a tiny model's call.
        self._call = getattr(session, "_sess", session).run
        self._asked, self._outputs = list(outputs), list(outputs.values())
        self._texts = tuple(port.name for port in session.get_inputs() if DTYPES.get(port.type) == BYTES)
        self._said = tuple(outputs[port.name] for port in session.get_outputs() if DTYPES.get(port.type) == BYTES and port.name in outputs)

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name; InvalidRequest for byte strings that are no text, StepFailed where the model fails."""
        if self._texts:
            feeds = {**feeds, **{name: _decoded(name, feeds[name]) for name in self._texts}}
        try:
            answers = dict(zip(self._outputs, self._call(self._asked, feeds, None), strict=True))
        except Exception as problem:
            raise StepFailed(f"ONNX Runtime failed: {reason(problem)}", detail=str(problem)) from problem
        return answers | {name: _encoded(answers[name]) for name in self._said} if self._said else answers

    def close(self) -> None:
        self._session = self._call = None


def _decoded(name: str, strings: Array) -> Array:
    texts = np.empty(strings.shape, object)
    for position, string in enumerate(strings.flat):
        try:
            texts.flat[position] = string.decode()
        except UnicodeDecodeError:
            where = [int(index) for index in np.unravel_index(position, strings.shape)]
            raise InvalidRequest(f"input {name!r} holds bytes at {where} that are not UTF-8, and a string of ONNX is text") from None
    return texts


def _encoded(texts: Array) -> Array:
    strings = np.empty(texts.shape, BYTES)
    strings.flat[:] = [text.encode() for text in texts.flat]
    return strings
