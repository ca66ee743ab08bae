"""How a deployment's time is shared by its stages, and what is said where it was too short."""

from __future__ import annotations

import math
from collections.abc import Sequence

from roadworthy.core.errors import NoCandidate, OutOfTime
from roadworthy.core.stages import Rejected, Verified

CLOSING, RACE, SEARCH = 0.15, 0.2, 0.05
"""The shares of the whole time that are kept: for the last proof, the bundle and its opening; for the race; and for one candidate at least.

What a stage leaves goes to the next. Without a candidate that passed, the search may use half of what is kept for the race.
"""
DOING = {
    "identify": "the source was examined",
    "metric": "the metric was imported",
    "data": "the samples were read",
    "load": "the model was loaded",
    "capture": "the model's graph was captured",
    "reference": "the original answered the samples",
    "score": "the original was scored",
}
"""What a deployment does in the steps before the search, by the first word of their names."""
MARGIN, LEAST_GROWTH = 1.5, 1.5
"""What is advised is that much more than what was seen to be needed, and so many times what there was."""


def ended_early(seconds: float, problem: OutOfTime) -> NoCandidate:
    """The error where the time ended in a step before the search."""
    doing = DOING.get(problem.step.split("-")[0], f"the step {problem.step} ran")
    return NoCandidate(
        f"the time budget of {shown(seconds)} ended while {doing}, before any candidate was tried: "
        f"give --time-budget {shown(advised(2 * seconds))} or more"
    )


def ended_in_search(seconds: float, before: float, searched: float, verified: Sequence[Verified], rejected: Sequence[Rejected]) -> str:
    """What was reached and which budget would do; empty where no plan was left out for want of time.

    ``before`` is how long everything before the search took, and ``searched`` the search itself, in seconds.
    """
    waiting = [one for one in rejected if one.stage == "time budget"]
    if not waiting:
        return ""
    done = len(verified) + len(rejected) - len(waiting)
    each = searched / max(done, 0.5)
    needed = max((before + each) * MARGIN / (1 - CLOSING - RACE), LEAST_GROWTH * seconds)
    return (
        f"the time budget of {shown(seconds)} ended first: the search began after {before:.0f} s and had {searched:.0f} s, in which "
        f"{done} of {done + len(waiting)} plans were tried; give --time-budget {shown(advised(needed))} or more"
    )


def advised(seconds: float) -> float:
    """``seconds`` as a round number that is not smaller: of ten seconds, from two minutes on of minutes."""
    step = 10.0 if seconds <= 120 else 60.0
    return step * math.ceil(seconds / step)


def shown(seconds: float) -> str:
    """As ``--time-budget`` takes it."""
    return f"{seconds / 60:.0f}m" if seconds >= 120 and seconds % 60 == 0 else f"{seconds:g}s"
