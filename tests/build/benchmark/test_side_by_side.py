"""Candidates timed beside each other with real processes and planted speeds; never wall time itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.build.benchmark import side_by_side
from roadworthy.core.errors import StepFailed
from roadworthy.core.isolation.worker import Worker
from support.models.linear import Linear

pytestmark = pytest.mark.slow


def test_each_is_held_against_the_fastest_of_the_others_and_what_fails_is_left_out(linear: Linear, tmp_path: Path) -> None:
    slow, quick, failing = linear.candidate("sleeps=0.004"), linear.candidate(), linear.candidate("crashes from=1")
    slower, same = linear.candidate("sleeps=0.0041"), linear.candidate("sleeps=0.0001")
    found = side_by_side(
        (slow, failing, quick), (slower, failing, same), linear.samples, seconds=4, log_dir=tmp_path, progress=lambda text, share: None
    )
    assert [one.candidate for one in found] == [slower, same]
    assert {one.other for one in found} == {quick.plan.name}, "the fastest, whatever failed before it"
    assert found[0].speedup.high < 1 and found[0].ms >= 4
    assert not Worker.running


def test_without_the_first_nothing_can_be_compared(linear: Linear, tmp_path: Path) -> None:
    with pytest.raises(StepFailed):
        side_by_side(
            [linear.candidate("crashes from=1")],
            [linear.candidate()],
            linear.samples,
            seconds=1,
            log_dir=tmp_path,
            progress=lambda text, share: None,
        )
