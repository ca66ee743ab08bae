"""What a step imports that takes seconds, by the module that imports it: a process that has done so is forked for the step."""

from __future__ import annotations

import pkgutil
from contextlib import suppress

from roadworthy import frameworks
from roadworthy.core import registry
from roadworthy.core.errors import BackendMissing
from roadworthy.core.interfaces import SERVER
from roadworthy.core.stages import Graph, Plan

STEPS = ("sources", "capture", "lower", "verify")


def everything(slow: str) -> tuple[str, ...]:
    """The modules of a process that is forked for steps with the module ``slow``: the steps, the runtimes without a framework, and it."""
    modules = [f"roadworthy.build.{step}" for step in STEPS]
    for name in registry.names(registry.RUNTIMES):
        with suppress(BackendMissing):
            facts = registry.facts(name)
            if not facts.framework and facts.target == SERVER:
                modules.append(f"{registry.RUNTIMES}.{name}")
    return (*modules, "onnx", slow) if slow else (*modules, "onnx")


def of_framework(framework: str) -> str:
    """The module that imports ``framework``; "" where there is none."""
    return f"{frameworks.__name__}.{framework}.preload" if framework in _frameworks() else ""


def to_run(plan: Plan) -> str:
    """The module of a step that runs a candidate of ``plan``."""
    packages = registry.facts(plan.runtime).packages
    return next((of_framework(name) for name in _frameworks() if any(package.partition("-")[0] == name for package in packages)), "")


def to_lower(graph: Graph, plan: Plan) -> str:
    """The module of a step that carries ``plan`` out on ``graph``: the one that its lowering names, or else that of its runtime."""
    named = getattr(registry.lowering(plan.runtime), "imports", None)
    return str(named(graph, plan)) if named else to_run(plan)


def _frameworks() -> tuple[str, ...]:
    return tuple(module.name for module in pkgutil.iter_modules(frameworks.__path__) if module.ispkg)
