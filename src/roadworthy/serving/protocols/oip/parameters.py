"""The parameters of requests of the Open Inference Protocol, for HTTP and gRPC. Unknown ones are ignored."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from roadworthy.core.errors import InvalidRequest

Parameters = Mapping[str, Any]


def flag(parameters: Parameters, name: str) -> bool | None:
    """A parameter that is true or false; ``None`` where it is not there."""
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"parameter {name} should be true or false")
    return value


def text(parameters: Parameters, name: str) -> str | None:
    """A parameter that is text; ``None`` where it is not there."""
    value = parameters.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"parameter {name} should be text")
    return value


def whole(parameters: Parameters, name: str) -> int:
    """A parameter that is a whole number from 0; 0 where it is not there."""
    value = parameters.get(name, 0)
    if type(value) is not int or value < 0:
        raise InvalidRequest(f"parameter {name} should be a whole number that is not negative")
    return value


def deadline(parameters: Parameters) -> float | None:
    """The reading of ``time.monotonic()`` at which the request's ``timeout``, in microseconds, is over; 0 means none."""
    timeout = whole(parameters, "timeout")
    return time.monotonic() + timeout / 1e6 if timeout else None
