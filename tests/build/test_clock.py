"""Where the time of a deployment goes: stages that add up to the whole, and steps that belong to the stage they started in."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest

from roadworthy.build.clock import Clock


def test_the_stages_add_up_to_the_whole_time_even_where_one_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    clock = Clock()
    for stage, seconds in (("data", 3.0), ("final", 5.0), ("race", 7.0), ("final", 11.0)):
        now += seconds
        clock.begin(stage)
    now += 13.0
    assert [(stage.name, stage.seconds) for stage in clock.read()] == [("inspect", 3.0), ("data", 5.0), ("final", 20.0), ("race", 11.0)]
    now += 1.0
    assert sum(stage.seconds for stage in clock.read()) == now - 100.0


def test_a_step_counts_in_the_stage_in_which_it_started_and_when_it_fails() -> None:
    clock = Clock()
    clock.begin("candidates")
    inside, over = threading.Event(), threading.Event()

    def slow() -> None:
        with clock.step("verify-slow"):
            inside.set()
            over.wait()

    thread = threading.Thread(target=slow)
    thread.start()
    inside.wait()
    with suppress(ValueError), clock.step("lower-fails"):
        raise ValueError
    clock.begin("race")
    over.set()
    thread.join()
    steps = {stage.name: [step.name for step in stage.steps] for stage in clock.read()}
    assert steps == {"inspect": [], "candidates": ["lower-fails", "verify-slow"], "race": []}
