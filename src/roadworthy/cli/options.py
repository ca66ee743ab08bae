"""Option types that several commands share, and how their texts are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

EXISTING = click.Path(path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False)
PORT = click.IntRange(0, 65535)


def duration(context: click.Context, option: click.Parameter, value: str) -> float:
    """``90s``, ``10m``, ``1h``, ``2ms`` or plain seconds, in seconds; 0 only where that is the default."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smh]?)", value)
    if not match or not (float(match[1]) or option.default == "0s"):
        raise click.BadParameter(f"{value!r} is not a duration such as 90s, 10m or 1h")
    return float(match[1]) * {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]]


def limits(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Any:
    """Each ``NAME=VALUE`` in place of a default."""
    from roadworthy.serving.limits import ServerLimits

    known: dict[str, type[int] | type[float]] = {
        field.name: int if isinstance(field.default, int) else float for field in fields(ServerLimits)
    }
    chosen: dict[str, Any] = {}
    for name, _, value in (text.partition("=") for text in values):
        try:
            chosen[name] = known[name](value)
        except KeyError:
            raise click.BadParameter(f"{name!r} is not a limit; there are {', '.join(known)}") from None
        except ValueError:
            raise click.BadParameter(f"{name} takes {'a whole number' if known[name] is int else 'a number'}, not {value!r}") from None
        if not 0 < chosen[name] < 2**53:
            raise click.BadParameter(f"{name} must be a number above 0 and below 2**53, not {value!r}")
    return ServerLimits(**chosen)


def names(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
