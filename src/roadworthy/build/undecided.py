"""The candidate that may be faster than the winner and was rejected for want of samples alone."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.bundle.certificate import Undecided
from roadworthy.core.stages import Measured, Rejected


def faster_undecided(rejected: Sequence[Rejected], winner: Measured) -> Undecided | None:
    """The fastest of ``rejected`` at first sight that is faster than the ``winner`` there and would have passed with more samples.

    An original that won had no first look: it is compared by its time in the race, which is the shorter one.
    """
    seen = winner.verified.look
    ms = seen.ms if seen else winner.timing.latency_ms.value
    found = [
        Undecided(one.plan.name, one.score.metric, one.look.ms, ms, one.score.samples, one.score.needed * _parts(one))
        for one in rejected
        if one.look and one.look.ms < ms and one.score and one.score.needed
    ]
    return min(found, key=lambda one: one.ms, default=None)


def _parts(one: Rejected) -> int:
    """How many parts as large as the one it was judged on the samples are split into."""
    return 2 if one.score and one.score.part in ("choosing", "final") else 1
