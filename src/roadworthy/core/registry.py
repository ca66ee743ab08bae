"""Backends by file name: list a package's folder and the entry points of third parties, import only what is asked for."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from roadworthy.core.errors import BackendMissing, UsageError
from roadworthy.core.interfaces import SERVER, Lowering, Runtime

RUNTIMES = "roadworthy.runtimes"
LOWERINGS = "roadworthy.build.lower"
EXPORTED = "roadworthy.runtimes.exported"
EXPORTS = "roadworthy.build.export"
"""The runtimes and the lowerings of what is run elsewhere than on a server; each is a target of its own."""


@cache
def names(group: str) -> tuple[str, ...]:
    """Every backend of ``group`` (a package's dotted name, which is also the group of its entry points), sorted."""
    package = importlib.import_module(group)
    # A folder among them holds backends of another group.
    own = {module.name for module in pkgutil.iter_modules(package.__path__) if not (module.ispkg or module.name.startswith("_"))}
    return tuple(sorted(own | {point.name for point in entry_points(group=group)}))


def backend(group: str, name: str) -> ModuleType:
    """The backend's module; raises UsageError for an unknown name, BackendMissing when its packages are absent."""
    if name not in names(group):
        raise UsageError(f"there is no backend {name!r}; known here: {', '.join(names(group))}")
    try:
        if importlib.util.find_spec(f"{group}.{name}"):
            return importlib.import_module(f"{group}.{name}")
        (point,) = entry_points(group=group, name=name)
        return cast(ModuleType, point.load())
    except ImportError as problem:
        raise BackendMissing(
            f"{name} cannot be used: {problem}. Install it with: pip install 'roadworthy[{name}]'", detail=repr(problem)
        ) from problem


def runtime(name: str) -> Runtime:
    """The runtime of that name, for a server or for another target."""
    return cast(Runtime, backend(_group(name, RUNTIMES, EXPORTED), name))


def lowering(name: str) -> Lowering:
    """The lowering of that name, for a server or for another target."""
    return cast(Lowering, backend(_group(name, LOWERINGS, EXPORTS), name))


def targets() -> tuple[str, ...]:
    """The names of all targets other than a server, as users write them, sorted."""
    return tuple(name.replace("_", "-") for name in names(EXPORTS))


def backend_of(target: str) -> str:
    """The name of the backend of a target; raises UsageError for an unknown target."""
    if target not in targets():
        raise UsageError(f"the target {target!r} is not known; choose from {', '.join(targets())}")
    return target.replace("-", "_")


def _group(name: str, *groups: str) -> str:
    """The first of ``groups`` that has a backend of that name, the first of all where none has."""
    return next((group for group in groups if name in names(group)), groups[0])


@dataclass(frozen=True)
class RuntimeFacts:
    """The literals of a runtime's module; see ``interfaces.Runtime``."""

    runs: tuple[str, ...]
    packages: tuple[str, ...]
    framework: bool
    native: bool
    target: str = SERVER
    on_target: bool = True


FACTS = ("RUNS", "PACKAGES", "FRAMEWORK", "NATIVE", "ON_TARGET")


@cache
def facts(name: str) -> RuntimeFacts:
    """What the runtime's module states as literals, read without importing it: a framework takes seconds and a gigabyte to import.

    A module that computes one of them is imported after all. Raises UsageError for an unknown name, BackendMissing for a module
    that cannot be imported then.
    """
    tree = ast.parse(_file(name).read_text(encoding="utf-8"))
    assigned = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id in FACTS
    }

    def stated(fact: str, *default: object) -> Any:
        if fact not in assigned and default:
            return default[0]
        literal = fact in assigned and _is_literal(assigned[fact])
        return ast.literal_eval(assigned[fact]) if literal else getattr(runtime(name), fact)

    target = SERVER if _group(name, RUNTIMES, EXPORTED) == RUNTIMES else name.replace("_", "-")
    required = (stated("RUNS"), stated("PACKAGES"), stated("FRAMEWORK"), stated("NATIVE"))
    return RuntimeFacts(*required, target, stated("ON_TARGET", target == SERVER))


def require(name: str) -> None:
    """Raise BackendMissing where a package of the runtime is not installed; nothing is imported."""
    for package in facts(name).packages:
        try:
            version(package)
        except PackageNotFoundError:
            raise BackendMissing(
                f"{name} cannot be used: the package {package} is not installed. Install it with: pip install 'roadworthy[{name}]'"
            ) from None


def runtime_for(format: str) -> str:
    """The name of the server's runtime that takes a graph of ``format`` as it is; raises BackendMissing when none here does."""
    missing: BackendMissing | None = None
    for name in names(RUNTIMES):
        try:
            if format in facts(name).runs:
                require(name)
                return name
        except BackendMissing as problem:
            missing = problem
    raise missing or BackendMissing(f"no runtime here takes a {format} graph as it is")


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


def _file(name: str) -> Path:
    """The file of the runtime's module."""
    group = _group(name, RUNTIMES, EXPORTED)
    if name not in names(group):
        raise UsageError(f"there is no backend {name!r}; known here: {', '.join(names(RUNTIMES))}")
    own = importlib.util.find_spec(f"{group}.{name}")
    found = own or importlib.util.find_spec(next(iter(entry_points(group=group, name=name))).module)
    if found is None or found.origin is None:
        raise UsageError(f"the backend {name!r} has no Python file of its own")
    return Path(found.origin)
