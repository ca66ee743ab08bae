"""The import contracts hold, and each is seen to fail on a planted violation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VIOLATIONS = {
    "an upward import": ("core/types.py", "import roadworthy.bundle"),
    "serving reaching into build": ("serving/__init__.py", "import roadworthy.build"),
    "one package of build importing another": ("build/verify/__init__.py", "import roadworthy.build.benchmark"),
    "one backend importing another": ("runtimes/null.py", "import roadworthy.runtimes.openvino"),
    "a new backend importing another": ("runtimes/planted.py", "import roadworthy.runtimes.openvino"),
    "a new lowering importing another": ("build/lower/planted.py", "import roadworthy.build.lower.openvino"),
    "a module in no layer": ("planted.py", "import roadworthy.core"),
    "a module of serving in no layer": ("serving/planted.py", "import roadworthy.core"),
    "a cycle inside a function": ("core/errors.py", "def planted():\n    import roadworthy.core.text"),
    "a cycle under TYPE_CHECKING": (
        "core/errors.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from roadworthy.core import text",
    ),
    "torch on the serving side": ("serving/__init__.py", "import torch"),
    "torch in the core": ("core/types.py", "import torch"),
    "torch in a backend of another framework": ("runtimes/null.py", "import torch"),
}


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over the copy of the project at ``root``."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"]
    return subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root / "src"), "PATH": ""}, capture_output=True, text=True)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def test_the_contracts_hold(copy: Path) -> None:
    result = lint(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_planted_violation_is_caught(copy: Path, name: str) -> None:
    file, line = VIOLATIONS[name]
    path = copy / "src" / "roadworthy" / file
    before = path.read_text() if path.is_file() else None
    path.write_text(f"{before or ''}\n{line}\n")
    try:
        result = lint(copy)
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert result.returncode != 0, f"{name} was not found"
    assert "BROKEN" in result.stdout
