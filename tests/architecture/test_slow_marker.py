"""The marker ``slow`` is checked: a test whose child process imports a framework fails without it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import framework_children

PLANTED = """
import subprocess, sys
import pytest

def child():
    subprocess.run([sys.executable, "-c", "import keras"], check=True)

def test_that_forgets_the_marker():
    child()

def test_without_a_child():
    pass

@pytest.mark.slow
def test_that_bears_it():
    child()
"""


def test_a_child_that_imports_a_framework_without_the_marker_is_caught(tmp_path: Path) -> None:
    (tmp_path / "keras.py").touch()
    (tmp_path / "test_planted.py").write_text(PLANTED)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow: imports a framework in a child\n")
    path = os.pathsep.join([str(tmp_path), str(Path(framework_children.__file__).parent)])
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "framework_children", "-p", "no:cacheprovider", "-q", "-rE", "test_planted.py"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    assert "3 passed, 1 error" in run.stdout
    assert (
        "ERROR test_planted.py::test_that_forgets_the_marker - Failed: a child process of this test imports keras: mark the test as slow"
        in run.stdout
    )
