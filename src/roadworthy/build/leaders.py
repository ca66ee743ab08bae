"""The verified candidates by their first look, and which of them bounds a candidate that is looked at later."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from roadworthy.build.verify import Leader
from roadworthy.core import registry
from roadworthy.core.stages import Plan, Rejected, Verified


class Leaders:
    """Filled and asked by several threads; with ``keep`` no candidate has a leader, so that none leaves."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._seen: list[tuple[Plan, Leader]] = []
        self._lock = threading.Lock()

    def add(self, results: Sequence[Verified | Rejected]) -> None:
        """Those of ``results`` that passed may lead from now on."""
        passed = [one for one in results if isinstance(one, Verified) and one.look]
        with self._lock:
            self._seen += [(one.candidate.plan, Leader(one.candidate.plan.name, one.look.ms)) for one in passed if one.look]

    def of(self, plan: Plan) -> Leader | None:
        """The fastest so far that can take the place of ``plan``; ``None`` where ``plan`` is verified however slow it is.

        That is so for what needs a training framework, too: the report compares the winner with the framework's own fastest form.
        """
        if self._keep or registry.facts(plan.runtime).framework:
            return None
        with self._lock:
            able = [leader for other, leader in self._seen if takes_the_place(other, plan)]
        return min(able, key=lambda one: one.ms, default=None)


def takes_the_place(one: Plan, other: Plan) -> bool:
    """Whether ``one``, if it is faster, can be all that ``other`` could be: the winner, the fallback, what is chosen for its target.

    The fallback is not lossy, takes any batch size and runs on any CPU of this architecture; what is lossy can still fail on the samples
    that are kept for the winner. So a plan yields only to one that has none of these limits that it does not have itself.
    """
    mine, its = registry.facts(one.runtime), registry.facts(other.runtime)
    limits = (
        (one.lossy, other.lossy),
        (one.batch is not None, other.batch is not None),
        (mine.native, its.native),
        (mine.framework, its.framework),
    )
    return mine.target == its.target and all(limited <= too for limited, too in limits)
