"""What a client may ask of a server's models: each command is carried out on every worker, or on none."""

from __future__ import annotations

import msgspec


class Command(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """One request to change what is served; ``name`` is the model's."""

    name: str


class Load(Command, frozen=True):
    """Load a version and, once it has proven itself, let it serve; the one that served before goes on until then.

    ``path`` is a bundle or a directory of versions inside one of the directories that the server was started with (relative to
    one, or absolute); without it the name is looked for there, and among the bundles that the server was started with.
    ``version`` ``None`` is the newest that is found. A version that is loaded is loaded anew.
    """

    path: str | None = None
    version: str | None = None


class Unload(Command, frozen=True):
    """Answer what is in hand, then give up the version, or every one of the model."""

    version: str | None = None


class SetDefault(Command, frozen=True):
    """The version that answers where none is asked for; ``None`` is the newest."""

    version: str | None = None


class SetLabels(Command, frozen=True):
    """All labels of the model, each with the version it stands for; only a ready version can bear one."""

    labels: dict[str, str]


class SetCanary(Command, frozen=True):
    """``share`` (0 to 1) of the requests without a version go to ``version``; ``None`` ends it."""

    version: str | None = None
    share: float = 0.0


class SetShadow(Command, frozen=True):
    """Requests without a version are copied to ``version``, and its answers compared; ``None`` ends it."""

    version: str | None = None


class Scale(Command, frozen=True):
    """So many instances of the version in the whole server, spread over its workers; at least one in each."""

    instances: int
    version: str | None = None


class Configure(Command, frozen=True):
    """Serve from the directory ``path`` just these ``versions``, under these labels.

    For an empty tuple it is the newest ``latest``, or all where that is 0.
    """

    path: str
    versions: tuple[str, ...] = ()
    latest: int = 1
    labels: dict[str, str] = {}


class Replace(msgspec.Struct, frozen=True, tag=True):
    """The whole set of models: what is not named here is unloaded. Refused as a whole where one path cannot be served."""

    models: tuple[Configure, ...]


AnyCommand = Load | Unload | SetDefault | SetLabels | SetCanary | SetShadow | Scale | Configure | Replace
