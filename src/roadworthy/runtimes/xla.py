"""XLA: a frozen TensorFlow graph compiled for each batch size that comes, while the process runs."""

from __future__ import annotations

from pathlib import Path

from roadworthy.core.errors import RoadworthyError, StepFailed
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature, zeros
from roadworthy.frameworks.tensorflow import entry as tensorflow_entry
from roadworthy.frameworks.tensorflow import framework, function
from roadworthy.frameworks.tensorflow import session as tensorflow_session
from roadworthy.frameworks.tensorflow.session import FunctionSession

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("tensorflow-cpu", "numpy")
FRAMEWORK = True
NATIVE = False

framework.framework()  # importing a runtime imports its package: what that costs is counted by itself


def load(path: Path, signature: Signature, plan: Plan) -> FunctionSession:
    """The session of a "graphdef" directory, compiled with ``jit_compile=True``.

    Each batch size is compiled at its first call, which takes from a quarter of a second to many seconds; a fixed one is
    compiled here, so that no request waits for it. Raises UsageError for another precision or flavour and for threads that
    come too late, StepFailed where the graph does not load or does not compile.
    """
    tensorflow_session.prepare(plan, ("fp32",), ("",))
    tf = framework.framework()
    try:
        graph, entry = function.concrete(path), tensorflow_entry.read_entry(path)
        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in graph.inputs[: len(entry.inputs)]]
        compiled = tf.function(lambda *tensors: graph(*tensors), input_signature=specs, jit_compile=True, autograph=False)
        session = FunctionSession(function.Function(compiled, entry), signature)
        if plan.batch is not None:
            _compile(session, signature, plan.batch)
        return session
    except RoadworthyError:
        raise
    except Exception as problem:
        raise StepFailed(f"XLA cannot load {path.name}: {framework.first_line(problem)}", detail=str(problem)) from problem


def _compile(session: FunctionSession, signature: Signature, batch: int) -> None:
    """Compile for calls of ``batch`` samples; StepFailed where XLA has no operation for a part of the graph."""
    try:
        session.run(zeros(signature.closed().inputs, batch))
    except StepFailed as problem:
        # Zeros may not be a valid input; the first real call then compiles.
        if "unsupported operations" in f"{problem.message} {problem.detail}":
            raise
