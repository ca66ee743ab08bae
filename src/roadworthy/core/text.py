"""The message of an exception on one line, for a sentence that says what went wrong."""

from __future__ import annotations

import re
from collections.abc import Callable

from roadworthy.core.errors import RoadworthyError

LONGEST = 300
"""Characters of a line that are shown."""


def lines(problem: BaseException) -> list[str]:
    """The lines of the message of ``problem`` that are not blank, without the blanks around them."""
    message = problem.message if isinstance(problem, RoadworthyError) else str(problem)
    return [line for line in map(str.strip, message.splitlines()) if line]


def first_line(problem: BaseException, *, longest: int = LONGEST, skip: Callable[[str], bool] = lambda line: False, empty: str = "") -> str:
    """The first line of the message of ``problem``, cut to ``longest`` characters.

    Lines for which ``skip`` is true are passed over: some libraries put a call stack before what happened. Without any line it is
    ``empty``, or the name of the exception's class where that is not given.
    """
    found = next((line for line in lines(problem) if not skip(line)), "")
    return found[:longest] or empty or type(problem).__name__


def named_line(problem: BaseException, *, longest: int = LONGEST) -> str:
    """The name of the exception's class and the first line of its message: ``ValueError: no such axis``."""
    kind, line = type(problem).__name__, first_line(problem, longest=longest)
    return kind if line == kind else f"{kind}: {line}"


def identifier(text: str) -> str:
    """``text`` as a name that can be written on a command line: letters, digits and underscores (``input_1:0`` gives ``input_1_0``)."""
    plain = re.sub(r"\W", "_", text)
    return plain if plain.isidentifier() else f"_{plain}"
