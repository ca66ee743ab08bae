"""What crosses the pipes between a parent and its child: a call, its answer, an exception, a line that the user's code causes."""

from __future__ import annotations

import sys
import typing
from dataclasses import dataclass
from typing import Any

import msgspec

from roadworthy.core import codec, errors


@dataclass(frozen=True)
class Fault:
    """An exception of a child: the name of its class, its message, and a traceback or log as ``detail``."""

    type: str
    message: str
    detail: str


def revive(fault: Fault) -> errors.RoadworthyError:
    """The exception that ``fault`` describes: one of ours as itself, any other as StepFailed."""
    kind = getattr(errors, fault.type, None)
    if isinstance(kind, type) and issubclass(kind, errors.RoadworthyError):
        return kind(fault.message, detail=fault.detail)
    return errors.StepFailed(f"{fault.type}: {fault.message}", detail=fault.detail)


class ChildCall(msgspec.Struct):
    """One call as the child reads it. The argument stays raw until its type is known."""

    target: str
    argument: msgspec.Raw


def answer(line: bytes) -> bytes:
    """The child's side of ``ask``: find the function, decode its argument by its annotation, run it."""
    request = msgspec.json.decode(line, type=ChildCall)
    function: Any = _find(request.target)
    hints = typing.get_type_hints(function)
    (wanted,) = (hints[name] for name in hints if name != "return")
    return codec.to_json(function(codec.from_json(wanted, bytes(request.argument))))


def _find(target: str) -> object:
    module, _, name = target.partition(":")
    __import__(module)
    return getattr(sys.modules[module], name)
