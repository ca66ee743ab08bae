"""A program as a session: right answers, and one sentence for a program that hangs, crashes or says no."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from roadworthy.core.errors import StepFailed
from roadworthy.runtimes.exported._program import ProgramSession
from support.programs import LINEAR, linear

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is missing here")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linear(tmp_path_factory.mktemp("linear"))


@pytest.fixture
def session(program: Path) -> Iterator[ProgramSession]:
    session = ProgramSession([str(program)], LINEAR, 30.0)
    yield session
    session.close()


def ask(session: ProgramSession, last: float, samples: int = 1) -> np.ndarray:
    x = np.tile(np.array([1, 2, last], np.float32), (samples, 1))
    return np.asarray(session.run({"x": x})["y"])


def test_calls_of_many_sizes_give_their_answers(session: ProgramSession) -> None:
    for samples in (1, 3, 200_000, 1):
        np.testing.assert_array_equal(ask(session, 4, samples), np.tile(np.float32([3, 8]), (samples, 1)))


def test_a_program_that_crashes_says_by_which_signal(session: ProgramSession) -> None:
    with pytest.raises(StepFailed, match=r"the program program failed: it ended in the middle of a call \(signal SIGABRT\)"):
        ask(session, 6)


def test_a_program_that_reports_an_error_is_quoted(session: ProgramSession) -> None:
    with pytest.raises(StepFailed, match=r"\(exit 3\): error: the model failed \(7\): seven is not allowed"):
        ask(session, 7)


def test_a_program_that_hangs_is_ended(program: Path) -> None:
    session = ProgramSession([str(program)], LINEAR, 0.2)
    with pytest.raises(StepFailed, match=r"it gave no answer within 0\.2 s"):
        ask(session, 5)
    assert session._child.returncode == -9
    session.close()


def test_a_program_that_is_killed_between_two_calls_is_reported(session: ProgramSession) -> None:
    ask(session, 4)
    session._child.kill()
    session._child.wait()
    with pytest.raises(StepFailed, match=r"it ended in the middle of a call \(signal SIGKILL\)"):
        ask(session, 4)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="the program absent does not start"):
        ProgramSession([str(tmp_path / "absent")], LINEAR)
