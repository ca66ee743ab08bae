"""The CPU features that a candidate's machine code needs, written beside it: a CPU without them gives an error and not a crash."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from roadworthy.core import codec
from roadworthy.core.errors import EnvironmentFault, StepFailed
from roadworthy.core.host import Host

NAME = "needs.json"


@dataclass(frozen=True)
class Needs:
    """The whole of ``needs.json``: CPU features by their Linux names."""

    features: tuple[str, ...]


def write(directory: Path, features: Iterable[str]) -> None:
    """Note in ``directory`` that its code uses ``features``."""
    (directory / NAME).write_bytes(codec.to_json(Needs(tuple(features))))


def check(directory: Path, host: Host) -> None:
    """Raise EnvironmentFault where ``host`` lacks what the code uses, StepFailed where nothing says what that is."""
    try:
        data = (directory / NAME).read_bytes()
    except OSError as problem:
        raise StepFailed(f"{directory.name} is not a compiled candidate: it has no {NAME}") from problem
    needs = codec.from_json(Needs, data, error=StepFailed, what=NAME)
    if missing := [feature for feature in needs.features if not host.has(feature)]:
        raise EnvironmentFault(
            f"{directory.name} was compiled for a CPU with {', '.join(missing)}, which {host.cpu} has not: deploy again on this machine"
        )
