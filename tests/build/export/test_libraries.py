"""One process at a time builds a library that is built once a machine."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from roadworthy.build.export import _libraries


def test_one_process_at_a_time_makes_a_library(tmp_path: Path) -> None:
    library = tmp_path / "new" / "any"
    with _libraries.making(library), open(library.with_name("any.lock")) as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(library.with_name("any.lock")) as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
