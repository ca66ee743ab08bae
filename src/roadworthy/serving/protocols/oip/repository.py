"""The model repository extension, whatever it travels over: what there is, and requests to load and unload as commands."""

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
    """Load the model, or as our own parameters ``version`` and ``path`` say, for which see the command.

    Raises InvalidRequest for a configuration or files that come with the request: what is served was proven beforehand.
    """
    for parameter in parameters:
        if parameter == "config" or parameter.startswith("file:"):
            raise InvalidRequest(
                f"parameter {parameter} is refused: only bundles in the server's own directories are loaded, as they were packed"
            )
        if parameter not in ("version", "path"):
            raise InvalidRequest(f"there is no parameter {parameter!r} for loading a model; there are version and path")
    return Load(name=name, path=text(parameters, "path"), version=text(parameters, "version"))


def unload(name: str, parameters: Parameters) -> Unload:
    """Unload the model, or our own parameter ``version`` of it; no model depends on another, so ``unload_dependents`` asks for nothing."""
    for parameter in parameters:
        if parameter not in ("version", "unload_dependents"):
            raise InvalidRequest(f"there is no parameter {parameter!r} for unloading a model; there are version and unload_dependents")
    flag(parameters, "unload_dependents")
    return Unload(name=name, version=text(parameters, "version"))
