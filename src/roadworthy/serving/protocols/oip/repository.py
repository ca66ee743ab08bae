"""The model repository extension, for HTTP and gRPC: the index, and requests to load and unload as commands."""

from __future__ import annotations

from roadworthy.core.errors import InvalidRequest
from roadworthy.serving.protocols.oip.parameters import Parameters, flag, text
from roadworthy.serving.registry.catalogue import Catalogue, VersionState
from roadworthy.serving.registry.commands import Load, Unload

_STATES: dict[VersionState, str] = {
    VersionState.LOADING: "LOADING", VersionState.READY: "READY",
    VersionState.FAILED: "UNAVAILABLE", VersionState.UNLOADED: "UNAVAILABLE",
}  # fmt: skip


def index(catalogue: Catalogue, *, ready: bool = False) -> list[dict[str, str]]:
    """Every version that the server knows, or those that are ready: name, version, Triton's state and, where there is one, the reason."""
    found = []
    for served, version in catalogue:
        if ready and version.state != "ready":
            continue
        reason = version.reason or ("unloaded" if version.state == "unloaded" else "")
        entry = {"name": served.name, "version": version.version, "state": _STATES[version.state]}
        found.append(entry | {"reason": reason} if reason else entry)
    return found


def load(name: str, parameters: Parameters) -> Load:
    """Load the model. ``version`` and ``path`` are parameters of this server; see the command.

    Raises InvalidRequest for a configuration or files that come with the request: only bundles that were checked are served.
    """
    for parameter in parameters:
        if parameter == "config" or parameter.startswith("file:"):
            raise InvalidRequest(f"parameter {parameter} is refused: this server loads only bundles from its own directories, unchanged")
        if parameter not in ("version", "path"):
            raise InvalidRequest(f"there is no parameter {parameter!r} for loading a model; known parameters: version, path")
    return Load(name=name, path=text(parameters, "path"), version=text(parameters, "version"))


def unload(name: str, parameters: Parameters) -> Unload:
    """Unload the model, or the version in this server's parameter ``version``. ``unload_dependents`` has no effect."""
    for parameter in parameters:
        if parameter not in ("version", "unload_dependents"):
            raise InvalidRequest(f"there is no parameter {parameter!r} for unloading a model; known parameters: version, unload_dependents")
    flag(parameters, "unload_dependents")
    return Unload(name=name, version=text(parameters, "version"))
