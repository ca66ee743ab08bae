"""A callable of the user's by name, in any process: ``module:callable``, ``FILE.py:callable``, or one that was handed over in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from roadworthy.core.errors import UsageError
from roadworthy.core.isolation import confinement, usercode

PICKLED = ".cloudpickle"
"""The suffix of a file with a callable that was handed over in memory."""


def keep(function: Callable[..., Any], folder: Path, what: str) -> str:
    """Write ``function`` into ``folder``, and give the name by which ``load`` finds it in any process. ``what`` it is, for UsageError."""
    import inspect

    import cloudpickle

    name = getattr(function, "__name__", type(function).__name__)
    where = folder / f"{what.replace(' ', '-')}{PICKLED}"
    module = inspect.getmodule(function)
    # By value: the child that calls it may not find the module.
    by_value = module if module is not None and module.__name__ != "__main__" and usercode.is_users(module.__file__ or "<frozen") else None
    try:
        if by_value:
            cloudpickle.register_pickle_by_value(by_value)
        where.write_bytes(cloudpickle.dumps(function))
    except Exception as problem:
        raise UsageError(
            f"the {what} {name} cannot be handed to another process ({type(problem).__name__}: {problem}); name it in a file and give it "
            "as 'FILE.py:NAME'"
        ) from problem
    finally:
        if by_value:
            cloudpickle.unregister_pickle_by_value(by_value)
    return f"{where}:{name}"


def shown(name: str) -> str:
    """``name`` for people: of a callable that was handed over in memory its own name alone."""
    return name.rpartition(":")[2] if PICKLED in name else name


def load(name: str, what: str) -> Callable[..., Any]:
    """The callable ``name``; ``what`` it is, in the sentences of UsageError."""
    where, _, attribute = name.rpartition(":")
    try:
        if where.endswith(PICKLED):
            found = unpickled(Path(where))
        elif where.endswith(".py") and not confinement.located(Path(where)).is_file():
            raise FileNotFoundError(f"{where} is not a Python file")
        else:
            alias = f"roadworthy_{what.replace(' ', '_')}_{Path(where).stem}"
            found = usercode.module(where, alias)
            for part in attribute.split("."):
                found = getattr(found, part)
    except (Exception, SystemExit) as problem:
        said = f"{type(problem).__name__}: {problem}{confinement.explained(problem)}"
        raise UsageError(f"the {what} {shown(name)} cannot be loaded: {said}") from problem
    if not callable(found):
        raise UsageError(f"the {what} {shown(name)} is not callable")
    return found  # type: ignore[no-any-return]


def called(name: str, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the user's ``function`` gives; UsageError with its own message where it raises."""
    try:
        with usercode.running(Path(name.rpartition(":")[0]).name):
            return function(*arguments)
    except (Exception, SystemExit) as problem:
        raise UsageError(
            f"the {what} {shown(name)} raised {type(problem).__name__}: {problem}{confinement.explained(problem)}"
        ) from problem


def unpickled(where: Path) -> Any:
    """The callable in a file of ``keep``."""
    # Written by ``keep`` in the user's own process: it does not come from anywhere else.
    import cloudpickle

    usercode.search(confinement.home())
    return cloudpickle.loads(where.read_bytes())
