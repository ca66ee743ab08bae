"""Scratch directories go with their process, and those of a killed one with the next."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from roadworthy.core.isolation import scratch

HOLDS = """
import sys
from roadworthy.core.isolation import scratch
held = scratch.Directory()
print(held.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_what_a_killed_process_left_goes_with_the_next_sweep_and_not_before(temporary: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        assert left.parent == temporary
        (left / "data.npy").write_bytes(b"x" * 1000)
        scratch.sweep()
        assert (left / "data.npy").is_file()
        process.kill()
    assert left.is_dir()
    scratch.sweep()
    assert list(temporary.iterdir()) == []


def test_a_sweep_leaves_its_own_and_all_of_other_names(temporary: Path) -> None:
    for name in ("roadworthy-old", "roadworthy-x.scratch.d", "other.scratch"):
        (temporary / name).mkdir()
    (temporary / "target").mkdir()
    (temporary / "roadworthy-link.scratch").symlink_to(temporary / "target")
    (temporary / "roadworthy-file.scratch").write_text("x")
    with scratch.Directory() as held:
        scratch.sweep()
        assert held.path.is_dir()
    assert not held.path.exists()
    assert len(list(temporary.iterdir())) == 6


def test_the_last_act_removes_whatever_is_still_held(temporary: Path) -> None:
    first, second = scratch.Directory(), scratch.Directory()
    (first.path / "deep").mkdir()
    scratch.remove_all()
    assert not first.path.exists()
    assert not second.path.exists()
    first.remove()
