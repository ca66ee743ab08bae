"""Where libraries that are built once a machine lie, and that one process at a time builds one."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from roadworthy.build.export import _libraries


def test_libraries_lie_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _libraries.folder("any") == tmp_path / "roadworthy-libraries" / "any"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert _libraries.folder("any") == Path.home() / ".cache" / "roadworthy-libraries" / "any"


def test_one_process_at_a_time_makes_a_library(tmp_path: Path) -> None:
    library = tmp_path / "new" / "any"
    with _libraries.making(library), open(library.with_name("any.lock")) as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(library.with_name("any.lock")) as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
