"""A SavedModel as TensorFlow Serving gets it, opened by TensorFlow itself and asked by its signature: the server is not run here."""

from __future__ import annotations

from pathlib import Path

from roadworthy.core.errors import RoadworthyError, StepFailed
from roadworthy.core.stages import Plan
from roadworthy.core.types import Signature
from roadworthy.frameworks.tensorflow import framework, saved_model
from roadworthy.frameworks.tensorflow import session as tensorflow_session
from roadworthy.frameworks.tensorflow.entry import GraphEntry, Port
from roadworthy.frameworks.tensorflow.function import Function
from roadworthy.frameworks.tensorflow.session import FunctionSession

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("tensorflow-cpu", "numpy")
FRAMEWORK = True
NATIVE = False
ON_TARGET = False

SIGNATURE = "serving_default"
FLAVOURS = ("frozen", "saved")

framework.framework()  # importing a runtime imports its package: what that costs is counted by itself


def load(path: Path, signature: Signature, plan: Plan) -> FunctionSession:
    """The session of the one model below ``path``, which lies there as ``NAME/VERSION``.

    Raises UsageError for another precision or flavour and for threads that come too late, StepFailed where there is no such model, where
    it does not load, or where its signature has other names than ``signature``.
    """
    tensorflow_session.prepare(plan, ("fp32",), FLAVOURS)
    found = sorted(path.glob("*/*/saved_model.pb"))
    if len(found) != 1:
        raise StepFailed(f"{path} holds {len(found)} SavedModels as NAME/VERSION/saved_model.pb, and one is wanted")
    try:
        loaded = saved_model.load_saved(found[0].parent)
        function = loaded.signatures[SIGNATURE]
    except RoadworthyError:
        raise
    except Exception as problem:
        raise StepFailed(f"{path.name} does not load in TensorFlow: {framework.first_line(problem)}", detail=str(problem)) from problem
    inputs, outputs = (tuple(Port(spec.name, spec.name) for spec in specs) for specs in (signature.inputs, signature.outputs))
    _check_names("takes", saved_model.arguments_of(function), inputs)
    _check_names("gives", saved_model.named(function.structured_outputs), outputs)
    function.model = loaded  # a model without a reference loses its variables
    entry = GraphEntry(inputs, outputs)
    return FunctionSession(Function(saved_model.calling(function, entry), entry), signature)


def _check_names(verb: str, found: dict[str, object], ports: tuple[Port, ...]) -> None:
    if found.keys() != (wanted := {port.name for port in ports}):
        raise StepFailed(f"the signature {SIGNATURE} {verb} {', '.join(sorted(found))}, where {', '.join(sorted(wanted))} is wanted")
