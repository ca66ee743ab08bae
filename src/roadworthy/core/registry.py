"""Backends by file name: list a room's folder and the entry points of third parties, import only what is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import cast

from roadworthy.core.errors import BackendMissing, UsageError
from roadworthy.core.interfaces import Lowering, Runtime

RUNTIMES = "roadworthy.runtimes"
LOWERINGS = "roadworthy.build.lower"


@cache
def names(room: str) -> tuple[str, ...]:
    """Every backend of ``room`` (a package's dotted name, which is also its entry-point group), sorted."""
    package = importlib.import_module(room)
    own = {module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")}
    return tuple(sorted(own | {point.name for point in entry_points(group=room)}))


def backend(room: str, name: str) -> ModuleType:
    """The backend's module; raises UsageError for an unknown name, BackendMissing when its packages are absent."""
    if name not in names(room):
        raise UsageError(f"there is no backend {name!r}; known here: {', '.join(names(room))}")
    try:
        if importlib.util.find_spec(f"{room}.{name}"):
            return importlib.import_module(f"{room}.{name}")
        (point,) = entry_points(group=room, name=name)
        return cast(ModuleType, point.load())
    except ImportError as problem:
        raise BackendMissing(
            f"{name} cannot be used: {problem}. Install it with: pip install 'roadworthy[{name}]'", detail=repr(problem)
        ) from problem


def runtime(name: str) -> Runtime:
    """The runtime of that name."""
    return cast(Runtime, backend(RUNTIMES, name))


def lowering(name: str) -> Lowering:
    """The lowering of that name."""
    return cast(Lowering, backend(LOWERINGS, name))


def runtime_for(format: str) -> str:
    """The name of the runtime that takes a graph of ``format`` as it is; raises BackendMissing when none here does."""
    missing: BackendMissing | None = None
    for name in names(RUNTIMES):
        try:
            if format in runtime(name).RUNS:
                return name
        except BackendMissing as problem:
            missing = problem
    raise missing or BackendMissing(f"no runtime here takes a {format} graph as it is")
