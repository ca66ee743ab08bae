"""LiteRT on the CPU: a ``.tflite`` file in, a session on XNNPACK's kernels out; no training framework is needed to answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import BYTES, Array, Arrays, Signature, TensorSpec, difference
from roadworthy.runtimes._reasons import reason

RUNS: tuple[str, ...] = ("tflite",)
PACKAGES: tuple[str, ...] = ("ai-edge-litert", "numpy")
FRAMEWORK = False
NATIVE = False

MODEL = "model.tflite"
STATEFUL = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE")
FLEX = "Flex"
DELEGATE = "XNNPack"

Ports = Mapping[str, Mapping[str, Any]]
"""The runtime's own description of each tensor, by the name that a user knows."""


def load(path: Path, signature: Signature, plan: Plan) -> LiteRtSession:
    """The session of ``path/model.tflite`` (or of the file itself) on ``plan.threads`` threads.

    Tensors go by the names of the file's only signature definition, or by their own. Raises UsageError for a precision
    that the file does not compute in, StepFailed for a file that cannot run here, keeps variables or is not of ``signature``.
    """
    if plan.precision not in ("fp32", "int8"):
        raise UsageError(f"LiteRT does not compute in {plan.precision} on a CPU; choose fp32 or int8")
    if plan.spin:
        raise UsageError("LiteRT has no choice of spinning threads; leave spin out of the plan")
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        raise StepFailed(f"{path} holds no {MODEL}")
    try:
        interpreter = Interpreter(str(file), num_threads=plan.threads)
        _refuse_what_cannot_answer(interpreter, file)
        inputs, outputs = _ports(interpreter, signature, file)
        _check_precision(interpreter, plan, file)
        return LiteRtSession(interpreter, inputs, outputs, signature)
    except (ValueError, RuntimeError) as problem:
        raise StepFailed(f"LiteRT cannot load {file.name}: {_explained(file, problem)}", detail=str(problem)) from problem


def _refuse_what_cannot_answer(interpreter: Any, file: Path) -> None:
    operators = {operator["op_name"] for operator in interpreter._get_ops_details()}
    if "ASSIGN_VARIABLE" in operators:
        raise StepFailed(
            f"{file} keeps a state between calls, in a variable that each call assigns (ASSIGN_VARIABLE): on a server one request would "
            "change the answer to the next; make the state an input and an output of the model"
        )
    if kept := sorted(operators.intersection(STATEFUL)):
        # Before they are written, a read returns uninitialised memory, often NaN, without an error.
        raise StepFailed(f"{file} keeps its weights in variables ({', '.join(kept)}) that nothing fills; convert the frozen model instead")
    if flex := sorted(name for name in operators if name.startswith(FLEX)):
        raise StepFailed(f"{file} calls operators of TensorFlow ({', '.join(flex)}), which LiteRT lacks")


def _ports(interpreter: Any, signature: Signature, file: Path) -> tuple[Ports, Ports]:
    """Inputs and outputs by the names of ``signature``; StepFailed where the file's are others, or more."""
    wrong = ""
    for inputs, outputs in _namings(interpreter):
        found = difference(_specs(inputs), signature.inputs, sizes=False) or difference(_specs(outputs), signature.outputs, sizes=False)
        if not found:
            return inputs, outputs
        wrong = wrong or found
    raise StepFailed(f"{file} is not the model of this signature: {wrong}")


def _namings(interpreter: Any) -> list[tuple[Ports, Ports]]:
    """By the signature definition, where the file has one alone (others may run another of its subgraphs), and by the tensors."""
    plain = (
        {port["name"]: port for port in interpreter.get_input_details()},
        {port["name"]: port for port in interpreter.get_output_details()},
    )
    keys = list(interpreter.get_signature_list())
    if len(keys) != 1:
        return [plain]
    runner = interpreter.get_signature_runner(keys[0])
    return [(runner.get_input_details(), runner.get_output_details()), plain]


def _specs(ports: Ports) -> list[TensorSpec]:
    return [TensorSpec(name, _dtype(port), tuple(port["shape"].tolist())) for name, port in ports.items()]


def _dtype(port: Mapping[str, Any]) -> str:
    dtype = np.dtype(port["dtype"])
    return BYTES if dtype.kind == "S" else dtype.name


def _check_precision(interpreter: Any, plan: Plan, file: Path) -> None:
    """A file computes in what its own tensors are; the plan only says what that was meant to be."""
    quantised = any(len(tensor["quantization_parameters"]["scales"]) for tensor in interpreter.get_tensor_details())
    if quantised != (plan.precision == "int8"):
        raise UsageError(f"{plan.precision} was asked for and {file} is {'' if quantised else 'not '}quantised; choose another precision")


def _explained(file: Path, problem: Exception) -> str:
    """The reason; where the delegate for all operators failed, that of the operator by its own kernel."""
    if DELEGATE in str(problem):
        try:
            Interpreter(str(file), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES).allocate_tensors()
        except (ValueError, RuntimeError) as own:
            return reason(own)
    return reason(problem)


class LiteRtSession:
    """One interpreter; it allocates its tensors again when the shape of a feed changes, which costs about as much as a call."""

    def __init__(self, interpreter: Any, inputs: Ports, outputs: Ports, signature: Signature) -> None:
        self._interpreter = interpreter
        self._inputs = tuple((spec.name, inputs[spec.name]["index"]) for spec in signature.inputs)
        self._outputs = tuple((spec.name, outputs[spec.name]["index"], spec.dtype == BYTES) for spec in signature.outputs)
        self._shapes: dict[str, tuple[int, ...]] = {}
        if all(isinstance(size, int) for spec in signature.inputs for size in spec.shape):
            self._lay_out({spec.name: tuple(map(int, spec.shape)) for spec in signature.inputs})
        else:
            # Now, so that an operator without a kernel shows before a request does.
            interpreter.allocate_tensors()

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name, in memory of their own; raises StepFailed where the model fails."""
        try:
            shapes = {name: feeds[name].shape for name, _ in self._inputs}
            if shapes != self._shapes:
                self._lay_out(shapes)
            for name, index in self._inputs:
                self._interpreter.set_tensor(index, feeds[name])
            self._interpreter.invoke()
            return {name: self._answer(index, strings) for name, index, strings in self._outputs}
        except (ValueError, RuntimeError) as problem:
            self._shapes = {}
            raise StepFailed(f"LiteRT failed: {reason(problem)}", detail=str(problem)) from problem

    def close(self) -> None:
        self._interpreter = None

    def _lay_out(self, shapes: dict[str, tuple[int, ...]]) -> None:
        for name, index in self._inputs:
            self._interpreter.resize_tensor_input(index, shapes[name])
        self._interpreter.allocate_tensors()
        self._shapes = shapes

    def _answer(self, index: int, strings: bool) -> Array:
        answer: Array = self._interpreter.get_tensor(index)
        return answer.astype(BYTES) if strings else answer
