"""Functions and classes of the user's among transforms: where they are written, and the one function that is known by its code."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import FunctionType
from typing import Any


def where_written(value: Any) -> str:
    """A function, or an object of a class, with the file and the line that it is written in."""
    function = _function(value)
    if function is not None:
        what = "the lambda" if function.__name__ == "<lambda>" else f"the function {function.__qualname__}"
        return f"{what} ({Path(function.__code__.co_filename).name}, line {function.__code__.co_firstlineno})"
    kind = type(value)
    return f"an object of {kind.__module__}.{kind.__qualname__}{_of_class(kind)}"


def converts_to_rgb(value: Any) -> bool:
    """Whether a function is ``lambda image: image.convert("RGB")``, told by its compiled code, whatever its names are."""
    function = _function(value)
    if function is None or function.__closure__ or function.__defaults__ or function.__kwdefaults__:
        return False
    code, known = function.__code__, _as_rgb.__code__
    # The first constant is the text at the top of the function, where there is one.
    return (code.co_code, code.co_names, code.co_consts[1:]) == (known.co_code, known.co_names, known.co_consts[1:])


def _as_rgb(image: Any) -> Any:
    return image.convert("RGB")


def _function(value: Any) -> FunctionType | None:
    value = getattr(value, "lambd", value)
    return value if isinstance(value, FunctionType) else None


def _of_class(kind: type) -> str:
    try:
        file, (_, line) = inspect.getsourcefile(kind), inspect.getsourcelines(kind)
    except (OSError, TypeError):
        return ""
    return f" ({Path(file).name}, line {line})" if file else ""
