"""A repository of OpenVINO Model Server by its ``config.json``, with OpenVINO in the server's place: the server itself is not run here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from roadworthy.core.errors import InvalidRequest, StepFailed, UsageError
from roadworthy.core.exact import cast_exactly
from roadworthy.core.stages import Plan
from roadworthy.core.types import Arrays, Signature, output_names
from roadworthy.other_servers import ovms_config, versions
from roadworthy.other_servers.ovms_config import FILE, PRECISION, STREAMS, THREADS, OvmsModel
from roadworthy.runtimes._reasons import reason

# Importing the package reports the import to its maker, unless its reporting half cannot be found.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("openvino", "numpy")
FRAMEWORK = False
NATIVE = False
ON_TARGET = False

MODELS = ("model.xml", "model.onnx")
NARROWED = {"int64": "int32", "uint64": "int32", "uint32": "int32", "float64": "float32"}
"""What the plugin computes in, in place of these."""


def load(path: Path, signature: Signature, plan: Plan) -> OvmsSession:
    """The newest version of the one model in the repository at ``path``, with the properties that its configuration states.

    A repository that is not finished states no threads: then they are those of the plan.
    Raises UsageError for a plan that the server could not carry out, StepFailed for a repository that it would not load or would run in
    another way than it reads.
    """
    if plan.spin or plan.options:
        raise UsageError(f"{plan.name} is not a plan of OpenVINO Model Server: it has no choice of spinning or pinned threads here")
    found = ovms_config.parse((path / FILE).read_bytes(), str(path / FILE), StepFailed)
    if len(found) != 1:
        raise StepFailed(f"{path / FILE} lists {len(found)} models, and one is wanted")
    model = found[0]
    if silent := ovms_config.acts_in_silence(model):
        raise StepFailed(f"{path / FILE}: {'; '.join(silent)}")
    file = _file(path, model)
    asked = _properties(model, plan)
    try:
        compiled = openvino.Core().compile_model(openvino.Core().read_model(file), model.target_device, asked)
        request = _Request.of(compiled, signature)
    except StepFailed:
        raise
    except Exception as problem:
        raise StepFailed(f"OpenVINO cannot load {file}: {reason(problem)}", detail=str(problem)) from problem
    hint = compiled.get_property(PRECISION).get_type_name()
    if hint != asked[PRECISION]:
        raise UsageError(f"the configuration asks for {asked[PRECISION]}, and OpenVINO would compute in {hint} on this CPU")
    return OvmsSession(request, signature)


def _file(path: Path, model: OvmsModel) -> Path:
    """The model's file: the server's ``base_path`` ends with the folder that lies in ``path``."""
    folder = path / PurePosixPath(model.base_path).name
    if folder.name != model.name or not folder.is_dir():
        raise StepFailed(f"{path / FILE}: base_path is {model.base_path!r}, and {path} holds no folder {model.name!r} of that name")
    served = model.versions.served(versions.numbered(folder))
    files = [folder / str(version) / name for version in served[:1] for name in MODELS]
    there = next((file for file in files if file.is_file()), None)
    if there is None:
        raise StepFailed(f"{folder} holds no version with {' or '.join(MODELS)}")
    return there


def _properties(model: OvmsModel, plan: Plan) -> dict[str, Any]:
    asked: dict[str, Any] = dict(model.plugin)
    streams = int(asked.get(STREAMS, 1))
    threads = int(asked.setdefault(THREADS, str(plan.threads * streams)))
    if threads != plan.threads * streams:
        raise UsageError(f"the configuration states {threads} threads for {streams} streams, and the plan {plan.threads} for each")
    return asked


@dataclass(frozen=True)
class _Request:
    """A compiled model's request, with the index of each input and output by the signature's name."""

    request: Any
    inputs: tuple[tuple[int, str], ...]
    outputs: tuple[tuple[int, str], ...]

    @staticmethod
    def of(compiled: Any, signature: Signature) -> _Request:
        """Raises StepFailed for a model that has other inputs or outputs than ``signature``."""
        there = {name: index for index, port in enumerate(compiled.inputs) for name in port.get_names()}
        given = {name: index for index, port in enumerate(compiled.outputs) for name in port.get_names()}
        wanted = output_names(signature, given)
        missing = [name for name in (spec.name for spec in signature.inputs) if name not in there] + [
            name for name in wanted if name not in given
        ]
        if missing:
            raise StepFailed(f"the model has no {missing[0]!r}; it has {', '.join((*there, *given))}")
        inputs = tuple((there[spec.name], spec.name) for spec in signature.inputs)
        outputs = tuple((given[name], spec.name) for name, spec in zip(wanted, signature.outputs, strict=True))
        return _Request(compiled.create_infer_request(), inputs, outputs)


class OvmsSession:
    """One request of the compiled model; values that the plugin would change by a narrower type raise InvalidRequest."""

    on_target = False

    def __init__(self, request: _Request, signature: Signature) -> None:
        self._request: _Request | None = request
        self._narrowed = tuple((spec.name, NARROWED[spec.dtype]) for spec in signature.inputs if spec.dtype in NARROWED)

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name, in memory of their own."""
        held = self._request
        assert held is not None
        for name, narrow in self._narrowed:
            try:
                cast_exactly(name, feeds[name], narrow)
            except InvalidRequest as problem:
                raise InvalidRequest(f"{problem.message}; OpenVINO computes it as {narrow}") from None
        try:
            answers = held.request.infer({index: np.ascontiguousarray(feeds[name]) for index, name in held.inputs})
            return {name: np.array(answers[index]) for index, name in held.outputs}
        except Exception as problem:
            raise StepFailed(f"OpenVINO failed: {reason(problem)}", detail=str(problem)) from problem

    def close(self) -> None:
        self._request = None
