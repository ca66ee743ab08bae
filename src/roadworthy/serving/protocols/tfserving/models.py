"""What TensorFlow Serving says of models, in REST and gRPC alike: which one a request means, its signatures, its states."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.core.errors import InvalidRequest, UnknownModel
from roadworthy.core.types import TensorSpec
from roadworthy.serving.engine.dataplane import DataPlane, Target
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.registry.catalogue import Served, Version

SERVING = "serving_default"
PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

STATES = {"loading": "LOADING", "ready": "AVAILABLE", "failed": "END", "unloaded": "END"}
"""TensorFlow Serving's states by ours. One that failed has come to its end, with its error."""


@dataclass(frozen=True)
class Status:
    """One version of a model as TensorFlow Serving tells it: a state of its own, an error's code by name, and the reason."""

    version: str
    state: str
    code: str
    message: str


@dataclass(frozen=True)
class Asked:
    """Which model a request means: by name, and by version or label, if any."""

    name: str
    version: str | None = None
    label: str | None = None

    def __str__(self) -> str:
        return f"Latest({self.name})" if self.version is None else f"Specific({self.name}, {self.version})"

    def on(self, plane: DataPlane) -> Asked:
        """The same in the words of the catalogue.

        A label that the model does not have is the text of a version: versions need not be numbers here. Version 0, unless there is
        one, is the default: so clients of OpenVINO Model Server put it.
        """
        served = plane.catalogue.find(self.name)
        if served is None:
            return self
        if self.version == "0" and served.version("0") is None:
            return Asked(self.name)
        if self.label is not None and self.label not in served.labels and served.version(self.label) is not None:
            return Asked(self.name, self.label)
        return self


def pick(plane: DataPlane, asked: Asked) -> Target:
    """What answers; see ``DataPlane.pick``."""
    asked = asked.on(plane)
    try:
        return plane.pick(asked.name, asked.version, asked.label)
    except UnknownModel as problem:
        raise UnknownModel(f"Servable not found for request: {asked}; {problem.message}") from None


def find(plane: DataPlane, asked: Asked) -> LocalEngine:
    """The model itself; see ``DataPlane.find``."""
    asked = asked.on(plane)
    try:
        return plane.find(asked.name, asked.version, asked.label)
    except UnknownModel as problem:
        raise UnknownModel(f"Servable not found for request: {asked}; {problem.message}") from None


def check_signature(model: LocalEngine, name: str) -> None:
    """A bundle has one signature: ``serving_default``, which may also go by the model's own name. Raises InvalidRequest."""
    if name not in ("", SERVING, model.name):
        raise InvalidRequest(f'Serving signature key "{name}" not found; {model.name} has {SERVING}')


def statuses(plane: DataPlane, asked: Asked) -> list[Status]:
    """The versions, newest first. Raises UnknownModel, and Unavailable while the bundles are being looked for."""
    asked = asked.on(plane)
    served = plane.catalogue.find(asked.name)
    if served is None:
        # The dataplane knows whether it is too early to say.
        if not plane.opened:
            plane.find(asked.name)
        raise UnknownModel(f"Could not find any versions of model {asked.name}")
    wanted = asked.version
    if asked.label is not None:
        if asked.label not in served.labels:
            raise UnknownModel(f"{served.name} has no label {asked.label!r}; it has {', '.join(served.labels) or 'none'}")
        wanted = served.labels[asked.label]
    found = [_status(version) for version in _newest_first(served) if wanted is None or version.version == wanted]
    if not found:
        which = "any versions" if wanted is None else f"version {wanted}"
        raise UnknownModel(f"Could not find {which} of model {asked.name}")
    return found


def number(version: str) -> int | None:
    """The version as TensorFlow Serving has it; ``None`` for one that is no number that it could have."""
    return int(version) if version.isascii() and version.isdecimal() and len(version) < 20 and int(version) < 2**63 else None


def tensor_name(spec: TensorSpec) -> str:
    """The name of the tensor in a graph, which clients print and never use."""
    return f"{spec.name}:0"


def sizes(spec: TensorSpec) -> list[int]:
    """The shape, with -1 for any size."""
    return [size if isinstance(size, int) else -1 for size in spec.shape]


def _newest_first(served: Served) -> tuple[Version, ...]:
    return tuple(reversed(served.versions))


def _status(version: Version) -> Status:
    if version.state == "failed":
        return Status(version.version, STATES[version.state], "FAILED_PRECONDITION", version.reason)
    return Status(version.version, STATES[version.state], "OK", "")
