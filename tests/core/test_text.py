"""The message of a foreign exception on one line."""

from __future__ import annotations

import pytest

from roadworthy.core import text
from roadworthy.core.errors import SourceError


@pytest.mark.parametrize(
    ("problem", "first", "named"),
    [
        (ValueError("\n  no such axis\nat line 3\n"), "no such axis", "ValueError: no such axis"),
        (ValueError(""), "ValueError", "ValueError"),
        (SourceError("is cut short", detail="a log"), "is cut short", "SourceError: is cut short"),
        (RuntimeError("x" * 1000), "x" * text.LONGEST, f"RuntimeError: {'x' * text.LONGEST}"),
    ],
)
def test_lines_of_a_message(problem: Exception, first: str, named: str) -> None:
    assert (text.first_line(problem), text.named_line(problem)) == (first, named)


def test_lines_that_are_passed_over_and_a_message_without_any() -> None:
    stack = ValueError("Traceback:\nunknown operator")
    assert text.first_line(stack, skip=lambda line: line.endswith(":")) == "unknown operator"
    assert text.first_line(stack, longest=4) == "Trac"
    assert text.first_line(ValueError(), empty="no message") == "no message"
