"""Candidates timed beside each other with real processes and planted speeds; never wall time itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.build.benchmark import side_by_side
from roadworthy.core.errors import StepFailed
from roadworthy.core.isolation.worker import Worker
from support.models.linear import Linear

pytestmark = pytest.mark.slow


def test_each_is_timed_over_every_other_and_what_fails_is_left_out(linear: Linear, tmp_path: Path) -> None:
    candidates = [linear.candidate("sleeps=0.004"), linear.candidate(), linear.candidate("crashes from=1")]
    slow, quick, failed = side_by_side(candidates, linear.samples, seconds=4, log_dir=tmp_path, progress=lambda text, share: None)
    assert slow is not None and quick is not None and failed is None
    assert quick.faster_than(0).low > 1 and slow.faster_than(1).high < 1
    assert quick.faster_than(1).value == 1.0
    assert slow.ms >= 4 and slow.ms > quick.ms
    with pytest.raises(StepFailed, match="could not be timed"):
        quick.faster_than(2)
    assert not Worker.running


def test_without_the_first_nothing_can_be_compared(linear: Linear, tmp_path: Path) -> None:
    candidates = [linear.candidate("crashes from=1"), linear.candidate()]
    with pytest.raises(StepFailed):
        side_by_side(candidates, linear.samples, seconds=1, log_dir=tmp_path, progress=lambda text, share: None)
