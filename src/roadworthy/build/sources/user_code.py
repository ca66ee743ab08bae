"""``FILE.py:CALLABLE`` or ``package.module:callable``, with optional keyword arguments, to the model that it builds.

For a Keras file that brings its own architecture the callable is any class or function the file asks for: ``layers.py:Scale``.
"""

from __future__ import annotations

import ast
import difflib
import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from roadworthy.core.errors import EnvironmentFault, RoadworthyError, UsageError
from roadworthy.core.isolation import confinement, usercode
from roadworthy.core.text import first_line

FORM = "FILE.py:CALLABLE or package.module:callable, with keyword arguments if need be: net.py:build(num_classes=10)"


@dataclass(frozen=True)
class Architecture:
    """``where`` is a file (it ends in .py) or a dotted module, ``name`` what it defines, ``arguments`` Python literals by keyword."""

    where: str
    name: str
    arguments: tuple[tuple[str, Any], ...]

    @property
    def file(self) -> Path | None:
        """The file, if it is one."""
        return Path(self.where) if self.where.endswith(".py") else None


def parse(text: str) -> Architecture:
    """``text`` as an Architecture; UsageError where it cannot be read, or names a file that does not exist. Imports nothing."""
    where, _, what = text.partition(":")
    try:
        call = ast.parse(what.strip(), mode="eval").body
        name = ast.unparse(call.func if isinstance(call, ast.Call) else call)
        if isinstance(call, ast.Call) and (call.args or any(keyword.arg is None for keyword in call.keywords)):
            raise ValueError("arguments go by keyword")
        keywords = call.keywords if isinstance(call, ast.Call) else []
        arguments = tuple((str(keyword.arg), ast.literal_eval(keyword.value)) for keyword in keywords)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        why = "its arguments must be Python literals by keyword" if isinstance(problem, ValueError) else "that does not name a callable"
        raise UsageError(f"--arch {text!r}: {why}; write {FORM}") from None
    architecture = Architecture(where, name, arguments)
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name) or not where:
        raise UsageError(f"--arch {text!r} is not of the form {FORM}")
    if architecture.file is not None and not confinement.located(architecture.file).is_file():
        raise UsageError(f"--arch {text!r}: there is no file {confinement.located(architecture.file).absolute()}")
    if architecture.file is None and not re.fullmatch(r"\w+(\.\w+)*", where):
        raise UsageError(f"--arch {text!r}: {where!r} is neither a .py file nor a module's name")
    return architecture


def build(text: str) -> Any:
    """The nn.Module that ``text`` builds. Runs the user's own code; UsageError with its message and line when that fails."""
    import torch

    return construct(text, (torch.nn.Module,), "torch.nn.Module")


def construct(text: str, kinds: tuple[type, ...], called: str) -> Any:
    """The model that ``text`` builds, an instance of one of ``kinds``, which are ``called`` so in messages; as ``build``."""
    architecture = parse(text)
    target = find(text)
    if isinstance(target, kinds):
        return target
    if not callable(target):
        raise UsageError(f"--arch {text}: {architecture.name} is a {type(target).__name__} and cannot be called")
    try:
        with usercode.running(Path(architecture.where).name):
            module = target(**dict(architecture.arguments))
    except (Exception, SystemExit) as problem:
        raise _translated(text, problem) from problem
    if not isinstance(module, kinds):
        raise UsageError(f"--arch {text}: {architecture.name}() gave a {type(module).__name__} and not a {called}")
    return module


def objects(text: str) -> dict[str, Any]:
    """What a model file may ask for by name, where ``text`` names one of them (``layers.py:Scale``): the classes and functions
    that its module defines itself, and the named one, which it may import. Runs the user's own code, as ``build`` does.
    """
    named, home = find(text), module(text)
    own = {name: thing for name, thing in vars(home).items() if getattr(thing, "__module__", None) == home.__name__ and callable(thing)}
    return {**own, parse(text).name.rpartition(".")[2]: named}


def find(text: str) -> Any:
    """The object that ``text`` names, before it is called."""
    architecture = parse(text)
    found: Any = module(text)
    for part in architecture.name.split("."):
        if not hasattr(found, part):
            own = [name for name in vars(found) if not name.startswith("_")]
            near = difflib.get_close_matches(part, own, 3) or [name for name in own if callable(getattr(found, name))][:8]
            raise UsageError(f"--arch {text}: {architecture.where} has no {part}" + (f"; it has {', '.join(near)}" if near else ""))
        found = getattr(found, part)
    return found


def module(text: str) -> ModuleType:
    """The imported module of ``text``; it can import what is in its folder, as when Python runs the file."""
    try:
        return usercode.module(parse(text).where, "roadworthy_arch")
    except (Exception, SystemExit) as problem:
        raise _translated(text, problem) from problem


def _translated(text: str, problem: BaseException) -> RoadworthyError:
    """``problem`` in one sentence, with the line of the user's code where it happened."""
    if isinstance(problem, RoadworthyError):
        return problem
    detail = "".join(traceback.format_exception(problem))
    where = parse(text).where
    if isinstance(problem, SyntaxError):
        return UsageError(f"--arch {text}: {Path(problem.filename or where).name}, line {problem.lineno}: {problem.msg}", detail=detail)
    inside = [frame for frame in traceback.extract_tb(problem.__traceback__) if usercode.is_users(frame.filename)]
    at = f"{Path(inside[-1].filename).name}, line {inside[-1].lineno}: " if inside else ""
    said = f"--arch {text}: {at}{type(problem).__name__}: {first_line(problem, empty='no message')}"
    if isinstance(problem, ModuleNotFoundError) and (problem.name or "").partition(".")[0] != where.partition(".")[0]:
        return EnvironmentFault(f"{said}; install it, or run where it can be imported", detail=detail)
    return UsageError(f"{said}{confinement.explained(problem)}", detail=detail)
