"""How commands change the record of one model: pure functions that return the changed ServedModel and touch no worker."""

from __future__ import annotations

import time

import msgspec

from roadworthy.core.errors import InvalidRequest, UnknownModel
from roadworthy.serving.registry import commands
from roadworthy.serving.registry.catalogue import Canary, Served, Version, VersionState, order
from roadworthy.serving.registry.repository import FoundBundle


def version_of(found: FoundBundle, state: VersionState, reason: str = "") -> Version:
    """The record of a bundle that enters ``state`` now."""
    return Version(version=found.version, path=str(found.path), state=state, reason=reason, since=time.time())


def ready_version(served: Served, version: str) -> Version:
    """That version of the model; raises UnknownModel where it does not answer."""
    known = served.version(version)
    if known is None or known.state != VersionState.READY:
        raise UnknownModel(f"{served.name} has no version {version!r} that answers; load it first")
    return known


def redirected(served: Served, command: commands.AnyCommand) -> Served:
    """The model after a command that changes which version answers, and loads or unloads none.

    Raises UnknownModel for a version that does not answer, InvalidRequest for an impossible share and for any other command.
    """
    match command:
        case commands.SetDefault(version=version):
            return msgspec.structs.replace(served, default=version and ready_version(served, version).version)
        case commands.SetLabels(labels=labels):
            for version in labels.values():
                ready_version(served, version)
            return msgspec.structs.replace(served, labels=labels)
        case commands.SetCanary(version=version, share=share):
            if not 0 <= share <= 1:
                raise InvalidRequest(f"the canary's share is {share}; it goes from 0 to 1")
            canary = None if version is None else Canary(ready_version(served, version).version, share)
            return msgspec.structs.replace(served, canary=canary)
        case commands.SetShadow(version=version):
            return msgspec.structs.replace(served, shadow=version and ready_version(served, version).version)
    raise InvalidRequest(f"the server does not know {type(command).__name__}")


def without_older(served: Served, loaded: str, keep: int) -> Served:
    """The model with at most ``keep`` ready versions up to ``loaded``: older ones are unloaded, oldest first.

    A version that is the default, the canary or the shadow, or that has a label, stays.
    """
    used = {served.default, served.shadow, served.canary.version if served.canary else None, *served.labels.values()}
    older = [version.version for version in served.ready if order(version.version) < order(loaded)]
    for version in older[: max(0, len(older) - (keep - 1))]:
        if version not in used:
            served = served.moved(version, VersionState.UNLOADED, "a newer version replaced it")
    return served
