"""The course of a race: what was known of those that were still in it at each check, who left and why, and why it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from roadworthy.core.evidence import Interval

Stop = Literal["leads", "level", "rounds", "time", "budget", "untimed"]
"""Why a race stopped. ``leads``: all others were certainly slower. ``level``: those that were left are equal within the margin.

``rounds``: the most rounds did not separate them. ``time``: the race's own time was over, ``budget``: the user's ``--time-budget`` left it
too little time. ``untimed``: no time decides (an objective of size or memory, or nothing to choose from).
"""

Leaving = Literal["slower", "far", "reported", "failed"]
"""Why a candidate left. ``slower``: certainly slower than another, by more than the margin as far as is known. ``far``: the same at first
sight. ``reported``: it cannot be chosen, and its figure for the report was known. ``failed``: its process ended.
"""


@dataclass(frozen=True)
class Standing:
    """One candidate at one check: the median of its rounds and its 95 % interval, which holds at all checks together."""

    plan: str
    figure: Interval


@dataclass(frozen=True)
class CourseCheck:
    """What was known after ``rounds`` rounds, ``seconds`` after the first began; ``standings`` are those still in, the best first."""

    rounds: int
    seconds: float
    standings: tuple[Standing, ...]


@dataclass(frozen=True)
class Departure:
    """``plan`` left after ``rounds`` rounds. ``by`` is the one that it is slower than, and ``ratio`` how many times as long it takes, with
    an interval; empty and ``None`` where no other candidate was the reason.
    """

    plan: str
    rounds: int
    why: Leaving
    by: str = ""
    ratio: Interval | None = None


@dataclass(frozen=True)
class Course:
    """One race: its ``figure`` is latency in ms a call (smaller is better) or throughput in samples a second.

    ``margin`` is the share below which a difference is none. ``checks`` has at most 40 of all checks: the first, the last, and those
    between at growing distances. ``seconds`` is how long the rounds took.
    """

    figure: Literal["latency", "throughput"]
    margin: float
    rounds: int
    seconds: float
    stopped: Stop
    checks: tuple[CourseCheck, ...]
    departures: tuple[Departure, ...]
