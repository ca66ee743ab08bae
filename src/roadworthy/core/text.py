"""The message of an exception on one line, for a sentence that says what went wrong."""

from __future__ import annotations

from collections.abc import Callable

from roadworthy.core.errors import RoadworthyError

LONGEST = 300
"""Characters of a line that are shown."""


def first_line(problem: BaseException, *, longest: int = LONGEST, skip: Callable[[str], bool] = lambda line: False, empty: str = "") -> str:
    """The first line of the message of ``problem`` that is not blank, cut to ``longest`` characters.

    Lines for which ``skip`` is true are passed over: some libraries put a call stack before what happened. Without any line it is
    ``empty``, or the name of the exception's class where that is not given.
    """
    message = problem.message if isinstance(problem, RoadworthyError) else str(problem)
    for line in map(str.strip, message.splitlines()):
        if line and not skip(line):
            return line[:longest]
    return empty or type(problem).__name__
