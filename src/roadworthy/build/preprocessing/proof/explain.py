"""Which of the deployment's steps differ from training's: found by changes, one after another, until nothing but rounding is left."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from roadworthy.build.preprocessing.proof.changes import Change, Steps, changes_of
from roadworthy.build.preprocessing.proof.levels import Gap
from roadworthy.build.preprocessing.proof.prepared import Compared

ROUNDS = 4
"""The most changes that are made one after another."""
BEST = 8
"""So many of the changes that fit the worst image best are tried on more images."""
SECONDS = 120.0
"""The longest that changes are tried."""
HALF, LESS = 0.5, 0.95
"""A change counts where it leaves at most half of the mean difference; one that leaves less than all of it counts where others after it
leave nothing.
"""


@dataclass(frozen=True)
class Explanation:
    """The ``changes`` in the order in which they were found, the steps after them, and what then is left (``None``: other shapes)."""

    changes: tuple[Change, ...]
    steps: Steps
    left: Gap | None


def explain(steps: Steps, compared: Compared, places: Sequence[int], to: tuple[int, int]) -> Explanation:
    """What changes ``steps`` into what training does, as far as it is found; training gives the size ``to``.

    All changes are tried on the first of ``places``, the worst image; all of these decide among the best.
    """
    found: tuple[Change, ...] = ()
    shift, left = (0, 0), compared.gap(steps, (0, 0), places)
    certain = Explanation((), steps, left)
    deadline = time.monotonic() + SECONDS
    while len(found) < ROUNDS and (left is None or not left.equal):
        tried = sorted(_tried(steps, shift, to, compared, places[0], deadline), key=lambda one: _rank(one[1]))
        final = [(change, gap) for change, _ in tried[:BEST] if (gap := compared.gap(change.steps, change.shift, places))]
        if not final:
            break
        change, gap = min(final, key=lambda one: _rank(one[1]))
        if left is not None and not gap.equal and gap.mean > LESS * left.mean:
            break
        found, shift, left = (*found, change), change.shift, gap
        steps = change.steps
        if left.equal or (len(found) == len(certain.changes) + 1 and (certain.left is None or gap.mean <= HALF * certain.left.mean)):
            certain = Explanation(found, steps, left)
    return certain


def _tried(
    steps: Steps, shift: tuple[int, int], to: tuple[int, int], compared: Compared, worst: int, deadline: float
) -> Iterator[tuple[Change, Gap]]:
    """Each change that gives samples of training's shape, and what is left on the worst image; no more of them after the deadline."""
    for change in _unlike(steps, shift, to):
        if time.monotonic() > deadline:
            return
        if (gap := compared.gap(change.steps, change.shift, [worst])) is not None:
            yield change, gap


def _unlike(steps: Steps, shift: tuple[int, int], to: tuple[int, int]) -> list[Change]:
    """Each change once; a shift that was found stays."""
    changes: dict[tuple[Steps, tuple[int, int]], Change] = {}
    for change in changes_of(steps, to):
        moved = change.shift if change.shift != (0, 0) else shift
        if (change.steps, moved) != (steps, shift):
            changes.setdefault((change.steps, moved), Change(change.words, change.remedy, change.steps, moved))
    return list(changes.values())


def _rank(gap: Gap) -> tuple[int, float]:
    """Less is better: equal to the bit, then within rounding, then the mean difference."""
    places = {"equal to the bit": 0, "equal within float32 rounding": 1}
    return (places.get(gap.verdict, 2), gap.mean)
