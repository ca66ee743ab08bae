"""A command that is asked to end stops its children, removes its scratch and says by its exit code what ended it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))
WAITS = """
import os, subprocess, sys, tempfile, time
def load():
    subprocess.Popen(["sleep", "600"])
    open(os.path.join(tempfile.gettempdir(), "ballast"), "wb").write(b"x" * 100_000)
    print("waiting", os.getpid())
    time.sleep(600)
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    desk = tmp_path / "desk"
    desk.mkdir()
    (tmp_path / "scratch").mkdir()
    weight = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)
    np.savez(desk / "model.npz", weight=weight, bias=np.zeros(4, np.float32))
    (desk / "waits.py").write_text(WAITS)
    (desk / "trains.py").write_text("import os\nprint('waiting', os.getpid())\nwhile True: pass\ndef load(): pass\n")
    return desk


def ended(desk: Path, command: tuple[str, ...], *signals: int, before: Callable[[], object] | None = None) -> tuple[int, str]:
    """Start ``command``, send ``signals`` when its child is at work, and check that nothing is left of it."""
    files = sorted(path.name for path in desk.iterdir())
    scratch = desk.parent / "scratch"
    with subprocess.Popen(
        [ROADWORTHY, *command], cwd=desk, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=partial(_begin, before),
        env=os.environ | {"TMPDIR": str(scratch)},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said = ""
        while "waiting" not in said:
            said = process.stderr.readline()
            assert said, "it ended before its child was at work"
        child = int(said.split()[-1])
        for number in signals:
            process.send_signal(number)
        _, errors = process.communicate(timeout=120)
    assert "Traceback" not in errors
    assert not Path(f"/proc/{child}").exists()
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in desk.iterdir()) == files
    return process.returncode, errors


def _begin(before: Callable[[], object] | None) -> None:
    """A program that ran in the background, or under nohup, hands on to its children that these signals are ignored."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if before is not None:
        before()


DEPLOY = ("deploy", "model.npz", "--data", "waits.py:load", "-o", "bundle")


@pytest.mark.parametrize(("number", "code", "says"), [
    (signal.SIGTERM, 143, "error: ended by SIGTERM; nothing was written"),
    (signal.SIGHUP, 129, "error: ended by SIGHUP; nothing was written"),
    (signal.SIGINT, 130, "error: interrupted; nothing was written"),
])  # fmt: skip
def test_a_signal_ends_a_deployment_and_leaves_nothing(desk: Path, number: int, code: int, says: str) -> None:
    assert ended(desk, DEPLOY, number) == (code, f"\n{says}\n" if number == signal.SIGINT else f"{says}\n")


def test_code_that_trains_at_import_is_stopped_as_well(desk: Path) -> None:
    assert ended(desk, ("deploy", "model.npz", "--data", "trains.py:load", "-o", "bundle"), signal.SIGINT)[0] == 130


def test_a_comparison_ends_in_the_same_way(desk: Path) -> None:
    (desk / "other.npz").write_bytes((desk / "model.npz").read_bytes())
    command = ("compare", "model.npz", "other.npz", "--data", "waits.py:load", "-o", "page.html")
    assert ended(desk, command, signal.SIGTERM)[0] == 143


def test_an_impatient_second_signal_changes_nothing(desk: Path) -> None:
    code, _ = ended(desk, DEPLOY, signal.SIGTERM, signal.SIGTERM, signal.SIGINT)
    assert code in (143, 130)


def test_what_nohup_ignores_stays_ignored(desk: Path) -> None:
    assert ended(desk, DEPLOY, signal.SIGHUP, signal.SIGTERM, before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))[0] == 143


def test_json_says_it_too(desk: Path) -> None:
    program = (
        "import os, signal, sys\nfrom roadworthy import cli\nfrom roadworthy.build import deploy\n"
        "deploy.deploy = lambda job, notify: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.argv = ['roadworthy', 'deploy', 'model.npz', '-o', 'bundle', '--json']\ncli.main()\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=desk, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (143, '{"error":"ended by SIGTERM; nothing was written","exit_code":143}\n')


def test_importing_roadworthy_or_deploying_from_python_leaves_the_programs_handlers(desk: Path) -> None:
    program = (
        "import signal\nimport roadworthy as rw\nfrom roadworthy import cli\nfrom roadworthy.core.errors import DataError\n"
        "mine = lambda number, frame: None\n"
        "signal.signal(signal.SIGHUP, mine)\n"
        "try:\n    rw.deploy('model.npz', 'bundle', data='nothing.npz')\nexcept DataError: pass\n"
        "print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.getsignal(signal.SIGHUP) is mine)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=desk, capture_output=True, text=True)
    assert run.stdout == "True True\n", run.stderr


def test_a_killed_deployments_scratch_goes_with_the_next_run(desk: Path) -> None:
    scratch = desk.parent / "scratch"
    environment = os.environ | {"TMPDIR": str(scratch)}
    with subprocess.Popen([ROADWORTHY, *DEPLOY], cwd=desk, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        while "waiting" not in process.stderr.readline():
            pass
        process.kill()
    assert list(scratch.glob("*/ballast"))
    run = subprocess.run(
        [ROADWORTHY, "deploy", "model.npz", "--data", "nothing.npz", "-o", "bundle"], cwd=desk, capture_output=True, env=environment
    )
    assert run.returncode == 4
    assert list(scratch.glob("*/ballast")) == []
