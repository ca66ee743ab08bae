"""What a client may ask of a server's models: each command is carried out on every worker, or on none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec

from roadworthy.core.errors import InvalidRequest

LONGEST_NAME = 255
"""Bytes of a model's name, a version or a label: as many as a folder's name may have on Linux."""
LONGEST_PATH = 4096
"""Bytes of a path on Linux, with the NUL that ends it."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


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

    instances: Count
    version: str | None = None


class Configure(Command, frozen=True):
    """Serve from the directory ``path`` just these ``versions``, under these labels.

    For an empty tuple it is the newest ``latest``, or all where that is 0.
    """

    path: str
    versions: tuple[str, ...] = ()
    latest: Count = 1
    labels: dict[str, str] = {}


class Replace(msgspec.Struct, frozen=True, tag=True):
    """The whole set of models: what is not named here is unloaded. Refused as a whole where one path cannot be served."""

    models: tuple[Configure, ...]


AnyCommand = Load | Unload | SetDefault | SetLabels | SetCanary | SetShadow | Scale | Configure | Replace


def check(command: AnyCommand) -> None:
    """Raises InvalidRequest where a text in ``command`` can be no name or path on any server: it never gets to the file system."""
    for what, value in _texts(command):
        longest = LONGEST_PATH - 1 if what == "path" else LONGEST_NAME
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise InvalidRequest(f"the {what} holds half a surrogate pair, which is not a character") from None
        if _CONTROL.search(value):
            raise InvalidRequest(f"the {what} holds a control character")
        if size > longest:
            raise InvalidRequest(f"the {what} has {size} bytes; {longest} is the most that one can have")
        if not value and what != "path":
            raise InvalidRequest(f"the {what} is empty")


def _texts(command: AnyCommand) -> Iterator[tuple[str, str]]:
    """Every text in ``command``, with what it is."""
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
