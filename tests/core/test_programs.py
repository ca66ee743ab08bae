"""A program that is missing is an error with its remedy."""

from __future__ import annotations

import pytest

from roadworthy.core import programs
from roadworthy.core.errors import ProgramMissing


def test_a_program_is_found() -> None:
    assert programs.require("sh", "install a shell").name == "sh"


def test_a_missing_program_is_named_with_its_remedy() -> None:
    with pytest.raises(ProgramMissing, match="the program not-there is not installed here: build it") as raised:
        programs.require("not-there", "build it")
    assert raised.value.exit_code == 7
