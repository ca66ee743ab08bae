"""Progress where nothing draws: a line for each stage, then one every few seconds at most, from steps in child processes too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from roadworthy.build.workspace import Progress, open_workspace
from roadworthy.cli.console.progress import SECONDS_BETWEEN, Lines
from roadworthy.core.errors import StepFailed
from roadworthy.core.isolation import isolate, worker
from roadworthy.core.isolation.usercode import Heard
from roadworthy.core.isolation.worker import Limits
from support.isolated_steps import Number, work


def test_a_line_for_each_stage_and_then_one_every_few_seconds() -> None:
    now = 0.0
    written: list[str] = []
    lines = Lines(written.append, lambda: now)
    lines.tell(Progress("original", 0, 1))
    for second in range(1, 12):
        now = float(second)
        lines.tell(Progress("original", 0, 1, f"{second} of 12 samples"))
    lines.tell(Progress("candidates", 0, 20))
    lines.tell(Progress("candidates", 3, 20, "null-fp32-t1 verified"))
    now += SECONDS_BETWEEN
    lines.tell(Progress("original", 1, 1))
    lines.tell(Progress("candidates", 7, 20, "null-int8-t1: 640 of 5,000 samples"))
    assert written == [
        "original ...",
        "original: 5 of 12 samples",
        "original: 10 of 12 samples",
        "candidates ...",
        "candidates 7 of 20: null-int8-t1: 640 of 5,000 samples",
    ]


def test_what_the_users_code_says_is_never_left_out() -> None:
    written: list[str] = []
    lines = Lines(written.append, lambda: 0.0)
    for word in ("one", "two"):
        lines.tell(Progress("data", 0, 1, said=word))
    assert written == ["one", "two"]


def test_a_step_in_a_child_says_how_much_is_done(tmp_path: Path) -> None:
    told: list[str] = []
    with open_workspace(seconds=60, step_seconds=30, memory_mb=0, notify=lambda event: None) as workspace:
        assert replace(workspace, done=told.append).step(work, Number(1000), "work") == Number(1000)
    assert told[0] == "1 of 1,000 samples" and 2 <= len(told) < 1000


@pytest.mark.parametrize("longest", [0.0, 1e6])
def test_a_step_that_says_how_much_is_done_has_its_time_from_then_on(longest: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only the reports advance, each by most of what one step may take."""
    now = 0.0

    def hear(heard: Heard) -> None:
        nonlocal now
        now += 700.0

    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: now))
    limits = Limits(seconds=1000.0, longest=longest)
    if longest:
        assert isolate.call(work, Number(1000), limits=limits, hear=hear) == Number(1000)
        assert now > 1000
    else:
        with pytest.raises(StepFailed, match="ran longer than 1000 s"):
            isolate.call(work, Number(1000), limits=limits, hear=hear)
