"""A program that is missing, and a user without a home, are errors with their remedy."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from roadworthy.core import programs
from roadworthy.core.errors import EnvironmentFault, ProgramMissing


def test_a_program_is_found() -> None:
    assert programs.require("sh", "install a shell").name == "sh"


def test_a_missing_program_is_named_with_its_remedy() -> None:
    with pytest.raises(ProgramMissing, match="the program not-there is not installed here: build it") as raised:
        programs.require("not-there", "build it")
    assert raised.value.exit_code == 7


def test_libraries_lie_beside_the_users_other_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert programs.libraries() == Path("/elsewhere/roadworthy-libraries")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert programs.libraries() == Path.home() / ".cache" / "roadworthy-libraries"

    def homeless() -> NoReturn:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(EnvironmentFault, match="set XDG_CACHE_HOME"):
        programs.libraries()
