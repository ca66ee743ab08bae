"""Real clients for the tests of serving: each set of pinned packages in an environment of its own, its scripts in processes of their own.

The scripts lie in ``tests/serving/clients``. They take the server's address, know nothing of Roadworthy, and print one JSON value.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from support import kept

SCRIPTS = Path(__file__).parent / "scripts"
CACHE = kept.FOLDER / "clients"
"""Not below XDG_CACHE_HOME: every run of the tests has another one, and an environment takes seconds to make."""


def client_python(name: str, *requirements: str, no_deps: tuple[str, ...] = ()) -> Path:
    """The Python of an environment that holds ``requirements`` with what they need, then ``no_deps`` without; all pinned.

    It is made once and kept below the user's cache directory. The test is skipped, with pip's last word, where it cannot be made.
    """
    made = _made(name, requirements, no_deps)
    if isinstance(made, str):
        pytest.skip(f"no environment for {name} can be made here: {made}")
    return made


def drive(python: Path, script: str, *arguments: str | Path, timeout: float = 120) -> Any:
    """What ``tests/support/clients/scripts/<script>`` prints, read as JSON; it must succeed."""
    run = run_in(python, "-W", "ignore", SCRIPTS / script, *arguments, timeout=timeout)
    assert run.returncode == 0, f"{script} failed:\n{run.stdout}\n{run.stderr}"
    return json.loads(run.stdout)


def run_in(program: Path, *arguments: str | Path, timeout: float = 120, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program of an environment, to its end, with ``variables`` in its environment."""
    command = [program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=_clean() | variables)


@cache
def _made(name: str, requirements: tuple[str, ...], no_deps: tuple[str, ...]) -> Path | str:
    """The environment's Python, or why there is none."""
    wanted = json.dumps([sys.version, requirements, no_deps])
    home = CACHE / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    python, complete = home / "bin" / "python", home / "complete"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(home.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete.exists():
            return python
        # What an interrupted run left behind.
        shutil.rmtree(home, ignore_errors=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1"]
        steps = [[sys.executable, "-m", "venv", str(home)]]
        if requirements:
            steps.append([*install, *requirements])
        if no_deps:
            steps.append([*install, "--no-deps", *no_deps])
        for step in steps:
            run = subprocess.run(step, capture_output=True, text=True, env=_clean())
            if run.returncode:
                return (run.stderr.strip() or run.stdout.strip() or "pip says nothing").splitlines()[-1]
        complete.write_text(wanted)
    return python


def _clean() -> dict[str, str]:
    """This process's environment without its own modules."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}


def torchserve_programs() -> Path:
    """The folder of TorchServe's program, whose Python has everything that this one has; skipped without Java."""
    if shutil.which("java") is None:
        pytest.skip("TorchServe needs Java 17, and there is no java here")
    python = client_python("torchserve-server", no_deps=("torchserve==0.12.0",))
    (packages,) = (python.parents[1] / "lib").glob("python*/site-packages")
    # PyTorch, the runtime and Roadworthy itself are those of the interpreter that runs the tests.
    own = [path for path in sys.path if path.endswith("site-packages")] + [str(Path(__file__).parents[3] / "src")]
    (packages / "tests.pth").write_text("".join(f"{path}\n" for path in own))
    return python.parent
