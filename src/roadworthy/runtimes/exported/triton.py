"""A model repository of Triton by its ``config.pbtxt``, with ONNX Runtime in the server's place: the server itself is not run here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.errors import StepFailed, UsageError
from roadworthy.core.stages import Plan
from roadworthy.core.types import Arrays, Signature, TensorSpec, output_names
from roadworthy.other_servers import triton_config, triton_rules, versions
from roadworthy.other_servers.triton_config import FILE, INTER, INTRA, TritonConfig
from roadworthy.runtimes._onnx_strings import TYPES, decoded, encoded
from roadworthy.runtimes._reasons import reason

# The Linux wheel opens a device id and an upload queue below $HOME as soon as it is imported, unless told before.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ("onnxruntime", "protobuf", "numpy")
FRAMEWORK = False
NATIVE = False
ON_TARGET = False

USUAL = "model.onnx"
FATAL = 4


def load(path: Path, signature: Signature, plan: Plan) -> TritonSession:
    """The newest version of the one model in the repository at ``path``, on the threads that its configuration states.

    A repository that is not finished states none: then they are those of the plan.
    Raises UsageError for a plan that the server could not carry out, StepFailed for a repository that it would not load.
    """
    if plan.spin != (plan.threads > 1):
        raise UsageError(
            "Triton's backend has no switch for spinning: several threads spin while they wait, and one has nothing to wait for"
        )
    folder = _folder(path)
    config = triton_config.parse((folder / FILE).read_bytes(), str(folder / FILE), StepFailed)
    served = config.versions.served(versions.numbered(folder))
    if not served:
        raise StepFailed(f"{folder} holds no version that its version_policy ({config.versions}) serves")
    file = folder / str(served[0]) / (config.file or USUAL)
    options = _options(config, plan)
    try:
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as problem:
        raise StepFailed(f"ONNX Runtime cannot load {file}: {reason(problem)}", detail=str(problem)) from problem
    inputs, outputs = ([_spec(port) for port in ports] for ports in (session.get_inputs(), session.get_outputs()))
    wrong = (*triton_rules.mistakes(config), *triton_rules.contradictions(config, inputs, outputs), *_wrong_name(config, folder))
    if wrong:
        raise StepFailed(f"Triton would not load {folder / FILE}: {'; '.join(wrong)}")
    return TritonSession(session, config, signature)


def _folder(path: Path) -> Path:
    """The only model of the repository."""
    found = [entry.parent for entry in path.glob(f"*/{FILE}")]
    if len(found) != 1:
        raise StepFailed(f"{path} holds {len(found)} folders with a {FILE}, and one is wanted")
    return found[0]


def _wrong_name(config: TritonConfig, folder: Path) -> tuple[str, ...]:
    return (f"its name is {config.name!r}, and the folder's is {folder.name!r}",) if config.name not in ("", folder.name) else ()


def _options(config: TritonConfig, plan: Plan) -> Any:
    """The session's options as the server's backend sets them: whatever the configuration does not state stays the runtime's default."""
    stated = config.parameter(INTRA)
    if stated and int(stated) != plan.threads:
        raise UsageError(f"the configuration states {stated} threads, and the plan {plan.threads}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = plan.threads
    options.inter_op_num_threads = int(config.parameter(INTER) or 1)
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = FATAL
    return options


def _spec(port: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else "?" for size in port.shape)
    return TensorSpec(port.name, TYPES.get(port.type, port.type), shape)


class TritonSession:
    """Calls of at most ``max_batch_size`` samples, as a client of the server makes them."""

    on_target = False

    def __init__(self, session: Any, config: TritonConfig, signature: Signature) -> None:
        self._session = session
        self._signature = signature
        self._most = config.max_batch_size
        names = output_names(signature, [tensor.name for tensor in config.outputs])
        self._outputs = dict(zip(names, (spec.name for spec in signature.outputs), strict=True))

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name; more samples than the server takes at once go in several calls."""
        count = self._signature.count(feeds)
        if not self._most or count <= self._most:
            return self._call(feeds)
        parts = [
            self._call({spec.name: spec.take(feeds[spec.name], slice(start, start + self._most)) for spec in self._signature.inputs})
            for start in range(0, count, self._most)
        ]
        return {spec.name: spec.joined([part[spec.name] for part in parts]) for spec in self._signature.outputs}

    def _call(self, feeds: Arrays) -> Arrays:
        fed = {name: decoded(name, array) if array.dtype == np.dtype(object) else array for name, array in feeds.items()}
        try:
            answers = self._session.run(list(self._outputs), fed)
        except Exception as problem:
            raise StepFailed(f"ONNX Runtime failed: {reason(problem)}", detail=str(problem)) from problem
        return {
            name: encoded(array) if array.dtype == np.dtype(object) else array
            for name, array in zip(self._outputs.values(), answers, strict=True)
        }

    def close(self) -> None:
        self._session = None
