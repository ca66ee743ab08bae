"""What the machine code of a candidate asks of a CPU, written beside it, so that a lesser CPU refuses it in words and not by a crash."""

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
        raise StepFailed(f"{directory.name} is no compiled candidate: it has no {NAME}") from problem
    needs = codec.from_json(Needs, data, error=StepFailed, what=NAME)
    if missing := [feature for feature in needs.features if not host.has(feature)]:
        raise EnvironmentFault(
            f"{directory.name} was compiled for a CPU with {', '.join(missing)}, which {host.cpu} has not: deploy again on this machine"
        )
