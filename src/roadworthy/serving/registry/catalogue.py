"""The models and versions of a server, their states, and which version answers: data by which every worker routes requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from enum import StrEnum

import msgspec


class VersionState(StrEnum):
    """``LOADING`` is being opened and checked, ``READY`` answers, ``FAILED`` was refused, ``UNLOADED`` answers no more."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    UNLOADED = "unloaded"


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a model. ``reason`` says why it failed or was unloaded; ``since`` is when it entered its state, in Unix seconds.

    Each worker process has ``instances`` engines for it, each on ``threads`` threads, with up to ``batch`` samples a call.
    """

    version: str
    path: str
    state: VersionState
    reason: str = ""
    since: float = 0.0
    instances: int = 1
    threads: int = 1
    batch: int = 1


class Canary(msgspec.Struct, frozen=True):
    """A version that answers ``share`` (0 to 1) of the requests that name no version."""

    version: str
    share: float


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One model with all its versions, oldest first.

    A request that names neither a version nor a label is answered by ``default`` or, where that is ``None``, by the newest
    ready version that is neither the canary nor the shadow. The ``shadow`` gets copies of those requests, and its outputs are
    compared with the answers and never sent.
    """

    name: str
    versions: tuple[Version, ...] = ()
    default: str | None = None
    labels: dict[str, str] = {}
    canary: Canary | None = None
    shadow: str | None = None

    @property
    def ready(self) -> tuple[Version, ...]:
        """The versions that answer."""
        return tuple(version for version in self.versions if version.state == VersionState.READY)

    @property
    def current(self) -> str | None:
        """The version that answers a request that names none; ``None`` while there is none."""
        ready = [version.version for version in self.ready]
        if self.default in ready:
            return self.default
        excluded = {self.shadow, self.canary.version if self.canary else None}
        return next((version for version in reversed(ready) if version not in excluded), None)

    def version(self, version: str) -> Version | None:
        """That version, in any state."""
        return next((known for known in self.versions if known.version == version), None)

    def holding(self, version: Version) -> Served:
        """A copy with this version added, or replaced where it is known."""
        others = [known for known in self.versions if known.version != version.version]
        return msgspec.structs.replace(self, versions=tuple(sorted((*others, version), key=lambda one: order(one.version))))

    def moved(self, version: str, state: VersionState, reason: str) -> Served:
        """A copy with ``version``, which must be known, in ``state`` from now on."""
        known = self.version(version)
        assert known is not None
        return self.holding(msgspec.structs.replace(known, state=state, reason=reason, since=time.time()))

    def unpointed(self, version: str) -> Served:
        """A copy in which neither default nor label, canary or shadow names this version."""
        return msgspec.structs.replace(
            self,
            default=None if self.default == version else self.default,
            labels={label: one for label, one in self.labels.items() if one != version},
            canary=None if self.canary and self.canary.version == version else self.canary,
            shadow=None if self.shadow == version else self.shadow,
        )


class Catalogue(msgspec.Struct, frozen=True):
    """All models of a server, by name."""

    models: tuple[Served, ...] = ()

    def find(self, name: str) -> Served | None:
        """The model of that name."""
        return next((served for served in self.models if served.name == name), None)

    def __iter__(self) -> Iterator[tuple[Served, Version]]:
        return ((served, version) for served in self.models for version in served.versions)

    def with_model(self, changed: Served) -> Catalogue:
        """A copy with one model replaced or, where it is new, added."""
        others = tuple(served for served in self.models if served.name != changed.name)
        return Catalogue(tuple(sorted((*others, changed), key=lambda served: served.name)))


def order(version: str) -> tuple[int, int, str]:
    """A sort key, oldest version first: whole numbers by size, then all others in alphabetical order."""
    if not (version.isascii() and version.isdecimal()):
        return (1, 0, version)
    # Not int(version): Python refuses to convert more than 4300 digits.
    digits = version.lstrip("0")
    return (0, len(digits), digits)
