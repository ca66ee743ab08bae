"""The commands by which a client changes what a server serves: each is carried out in every worker or in none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec

from roadworthy.core.errors import InvalidRequest

MAX_NAME_BYTES = 255
"""Of a model's name, a version or a label: the limit of a file name on Linux."""
MAX_PATH_BYTES = 4096
"""Of a path on Linux, with the NUL at its end."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Command(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """One request to change what is served; ``name`` is the model's."""

    name: str


class Load(Command, frozen=True):
    """Load a version and let it answer once it has passed its checks; until then the version before it goes on answering.

    ``path`` is a bundle or a directory of versions inside one of the directories that the server was started with (relative to
    one, or absolute); without it the name is looked for there, and among the bundles that the server was started with.
    ``version`` ``None`` is the newest one found. A version that is loaded already is loaded again.
    """

    path: str | None = None
    version: str | None = None


class Unload(Command, frozen=True):
    """Unload the version, or all versions of the model; requests that were accepted are answered first."""

    version: str | None = None


class SetDefault(Command, frozen=True):
    """The version that answers a request without a version; ``None`` is the newest."""

    version: str | None = None


class SetLabels(Command, frozen=True):
    """All labels of the model, each with its version, which must be ready."""

    labels: dict[str, str]


class SetCanary(Command, frozen=True):
    """``share`` (0 to 1) of the requests without a version go to ``version``; ``None`` ends it."""

    version: str | None = None
    share: float = 0.0


class SetShadow(Command, frozen=True):
    """Requests without a version are copied to ``version``, and its answers compared; ``None`` ends it."""

    version: str | None = None


class Scale(Command, frozen=True):
    """The number of instances of the version in the whole server, spread over its workers, with at least one in each."""

    instances: Count
    version: str | None = None


class Configure(Command, frozen=True):
    """Serve exactly these ``versions`` from the directory ``path``, with these labels.

    An empty tuple is the newest ``latest`` versions, or all where that is 0.
    """

    path: str
    versions: tuple[str, ...] = ()
    latest: Count = 1
    labels: dict[str, str] = {}


class Replace(msgspec.Struct, frozen=True, tag=True):
    """All models of the server: any other model is unloaded. Where one path cannot be served, nothing is changed."""

    models: tuple[Configure, ...]


AnyCommand = Load | Unload | SetDefault | SetLabels | SetCanary | SetShadow | Scale | Configure | Replace


def check(command: AnyCommand) -> None:
    """Raises InvalidRequest where a text in ``command`` is not possible as a name or path, before any file is accessed."""
    for what, value in _texts(command):
        longest = MAX_PATH_BYTES - 1 if what == "path" else MAX_NAME_BYTES
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise InvalidRequest(f"the {what} holds half a surrogate pair, which is not a character") from None
        if _CONTROL.search(value):
            raise InvalidRequest(f"the {what} holds a control character")
        if size > longest:
            raise InvalidRequest(f"the {what} has {size} bytes; the limit is {longest}")
        if not value and what != "path":
            raise InvalidRequest(f"the {what} is empty")


def _texts(command: AnyCommand) -> Iterator[tuple[str, str]]:
    """Every text in ``command``, with its kind."""
    if isinstance(command, Replace):
        for configured in command.models:
            yield from _texts(configured)
        return
    yield "name", command.name
    match command:
        case Load(path=path, version=version):
            yield from (("path", path or ""), ("version", "1" if version is None else version))
        case Configure(path=path, versions=versions, labels=labels):
            yield "path", path
            yield from (("version", version) for version in (*versions, *labels.values()))
            yield from (("label", label) for label in labels)
        case SetLabels(labels=labels):
            yield from (("version", version) for version in labels.values())
            yield from (("label", label) for label in labels)
        case _ if command.version is not None:
            yield "version", command.version
