"""A time budget bounds every step before the race, and is named where it was too short, with what was reached and what would do."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from roadworthy.build import time_budget
from roadworthy.build.races import contestants
from roadworthy.build.workspace import open_workspace
from roadworthy.core.errors import OutOfTime, StepFailed
from roadworthy.core.evidence import FirstLook
from roadworthy.core.stages import Plan, Rejected, Verified
from support import isolated_steps
from support.models import certificates

HOUR = isolated_steps.Number(3600)


def test_a_step_ends_with_the_time_budget_and_says_so() -> None:
    with open_workspace(seconds=5, step_seconds=3000, memory_mb=0, notify=lambda progress: None) as workspace:
        bounded = workspace.until(4.5)
        began = time.monotonic()
        with pytest.raises(OutOfTime, match="the time budget ended during the step hang") as caught:
            bounded.step(isolated_steps.sleep, HOUR, "hang")
        assert time.monotonic() - began < 1000 and caught.value.step == "hang"
        with pytest.raises(OutOfTime, match="ended before the step late"):
            bounded.step(isolated_steps.double, HOUR, "late")


def test_a_step_that_crashes_in_time_is_no_matter_of_time() -> None:
    opened = open_workspace(seconds=3000, step_seconds=3000, memory_mb=0, notify=lambda progress: None)
    with opened as workspace, pytest.raises(StepFailed) as caught:
        workspace.until(1.0).step(isolated_steps.die, isolated_steps.Number(11), "crash")
    assert not isinstance(caught.value, OutOfTime)


@pytest.mark.parametrize(
    ("step", "doing"),
    [("load", "the model was loaded"), ("capture-onnx", "the model's graph was captured"), ("other", "the step other ran")],
)
def test_what_was_done_when_the_time_ended_is_named(step: str, doing: str) -> None:
    said = time_budget.ended_early(40.0, OutOfTime("ended", step=step)).message
    assert said == f"the time budget of 40s ended while {doing}, before any candidate was tried: give --time-budget 80s or more"


def rejected(stage: str) -> Rejected:
    return Rejected(Plan("null"), stage, "why")  # type: ignore[arg-type]


def test_the_advice_is_what_the_stages_took_and_more_than_there_was() -> None:
    waiting = [rejected("time budget")] * 14
    said = time_budget.ended_in_search(40.0, 20.0, 6.0, [], [rejected("verify"), rejected("lower"), *waiting])
    assert said == (
        "the time budget of 40s ended first: the search began after 20 s and had 6 s, in which 2 of 16 plans were tried; "
        "give --time-budget 60s or more"
    )
    assert "give --time-budget 4m or more" in time_budget.ended_in_search(90.0, 70.0, 15.0, [], [rejected("lower"), *waiting])
    assert time_budget.ended_in_search(40.0, 20.0, 6.0, [], [rejected("verify"), rejected("first look")]) == ""


def looked_at(plan: Plan, ms: float, opened: float = 2.0) -> Verified:
    return replace(certificates.verified(plan, 0.0, 1e-7), look=FirstLook(ms, ms, opened))


ORIGINAL = certificates.verified(Plan("pytorch"), 0.0, 0.0)
FALLBACK, FAST, SLOW = (
    looked_at(Plan("onnxruntime"), 3.0),
    looked_at(Plan("openvino", batch=1), 1.0),
    looked_at(Plan("litert", batch=1), 2.0),
)
FORM = looked_at(Plan("torchscript"), 0.5)


def test_a_race_with_time_for_all_leaves_out_none() -> None:
    every = (ORIGINAL, SLOW, FORM, FAST, FALLBACK)
    assert contestants(every, 60.0) == (every, ())


@pytest.mark.parametrize(("seconds", "left"), [(0.0, [SLOW, FORM]), (15.1, [FORM]), (20.1, [])])
def test_a_short_race_keeps_a_fallback_and_the_fastest(seconds: float, left: list[Verified]) -> None:
    kept, out = contestants((ORIGINAL, SLOW, FORM, FAST, FALLBACK), seconds)
    assert [one.plan for one in out] == [one.candidate.plan for one in left]
    assert all(one.stage == "time budget" and "no time left to race it" in one.reason and one.score for one in out)
    assert kept[0] is ORIGINAL and {FALLBACK.candidate.plan, FAST.candidate.plan} <= {one.candidate.plan for one in kept}


def test_without_a_first_look_all_race() -> None:
    unseen = replace(FAST, look=None)
    assert contestants((ORIGINAL, unseen, SLOW), 0.0) == ((ORIGINAL, unseen, SLOW), ())
