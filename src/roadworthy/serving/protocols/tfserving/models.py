"""What both interfaces of TensorFlow Serving need to know of models: which one a request means, its signature, its states."""

from __future__ import annotations

from dataclasses import dataclass

from roadworthy.core.errors import InvalidRequest, UnknownModel
from roadworthy.core.types import BATCH, BYTES, TensorSpec
from roadworthy.serving.engine.dataplane import DataPlane, Target
from roadworthy.serving.engine.local import LocalEngine
from roadworthy.serving.registry.catalogue import Served, Version

SERVING = "serving_default"
PREDICT = "tensorflow/serving/predict"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

STATES = {"loading": "LOADING", "ready": "AVAILABLE", "failed": "END", "unloaded": "END"}
"""TensorFlow Serving's states by ours. A version that failed is at its end, with its error."""


@dataclass(frozen=True)
class ServableStatus:
    """One version of a model as TensorFlow Serving shows it: its state, the name of its error code, and the reason."""

    version: str
    state: str
    code: str
    message: str


@dataclass(frozen=True)
class ModelReference:
    """Which model a request means: by name, and by version or label, if any."""

    name: str
    version: str | None = None
    label: str | None = None

    def __str__(self) -> str:
        return f"Latest({self.name})" if self.version is None else f"Specific({self.name}, {self.version})"

    def on(self, plane: DataPlane) -> ModelReference:
        """The same reference in terms of the catalogue.

        A label that the model does not have may name a version: versions need not be numbers here. Version 0, unless it exists,
        is the default version: clients of OpenVINO Model Server send it.
        """
        served = plane.catalogue.find(self.name)
        if served is None:
            return self
        if self.version == "0" and served.version("0") is None:
            return ModelReference(self.name)
        if self.label is not None and self.label not in served.labels and served.version(self.label) is not None:
            return ModelReference(self.name, self.label)
        return self


def pick(plane: DataPlane, reference: ModelReference) -> Target:
    """What answers; see ``DataPlane.pick``."""
    reference = reference.on(plane)
    try:
        return plane.pick(reference.name, reference.version, reference.label)
    except UnknownModel as problem:
        raise UnknownModel(f"Servable not found for request: {reference}; {problem.message}") from None


def find(plane: DataPlane, reference: ModelReference) -> LocalEngine:
    """The model itself; see ``DataPlane.find``."""
    reference = reference.on(plane)
    try:
        return plane.find(reference.name, reference.version, reference.label)
    except UnknownModel as problem:
        raise UnknownModel(f"Servable not found for request: {reference}; {problem.message}") from None


def check_signature(model: LocalEngine, name: str) -> None:
    """A client may call ``serving_default`` by the model's name too. Raises InvalidRequest for a signature that there is not."""
    if name not in ("", model.name, *(known := input_signatures(model))):
        raise InvalidRequest(f'Serving signature key "{name}" not found; {model.name} has {", ".join(known)}')


def input_signatures(model: LocalEngine) -> dict[str, tuple[TensorSpec, ...]]:
    """The inputs of each signature: ``serving_default`` with the model's own, and one of images, texts or sounds where those are taken.

    A request in the form of either is answered under both names.
    """
    found = {SERVING: model.signature.inputs}
    return found if model.kind is None else found | {model.kind: (TensorSpec(model.kind, BYTES, (BATCH,)),)}


def statuses(plane: DataPlane, reference: ModelReference) -> list[ServableStatus]:
    """The versions, newest first. Raises UnknownModel, and Unavailable while the bundles are being opened."""
    reference = reference.on(plane)
    served = plane.catalogue.find(reference.name)
    if served is None:
        # While the bundles are being opened, this raises Unavailable.
        if not plane.opened:
            plane.find(reference.name)
        raise UnknownModel(f"Could not find any versions of model {reference.name}")
    wanted = reference.version
    if reference.label is not None:
        if reference.label not in served.labels:
            raise UnknownModel(f"{served.name} has no label {reference.label!r}; it has {', '.join(served.labels) or 'none'}")
        wanted = served.labels[reference.label]
    found = [_status(version) for version in _newest_first(served) if wanted is None or version.version == wanted]
    if not found:
        which = "any versions" if wanted is None else f"version {wanted}"
        raise UnknownModel(f"Could not find {which} of model {reference.name}")
    return found


def number(version: str) -> int | None:
    """The version as TensorFlow Serving's 64-bit number; ``None`` for one that is not."""
    return int(version) if version.isascii() and version.isdecimal() and len(version) < 20 and int(version) < 2**63 else None


def tensor_name(spec: TensorSpec) -> str:
    """The name of the tensor in a graph. Clients print it and do not use it."""
    return f"{spec.name}:0"


def sizes(spec: TensorSpec) -> list[int]:
    """The shape, with -1 for any size."""
    return [size if isinstance(size, int) else -1 for size in spec.shape]


def _newest_first(served: Served) -> tuple[Version, ...]:
    return tuple(reversed(served.versions))


def _status(version: Version) -> ServableStatus:
    if version.state == "failed":
        return ServableStatus(version.version, STATES[version.state], "FAILED_PRECONDITION", version.reason)
    return ServableStatus(version.version, STATES[version.state], "OK", "")
