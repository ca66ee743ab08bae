"""The course of the race as geometry: the median of every candidate check by check, who left and when, so that the template only draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from roadworthy.build.package.report import figures
from roadworthy.build.package.report.chart import Linear, Tick, log_scale
from roadworthy.bundle.course import Course, CourseCheck, Departure

if TYPE_CHECKING:
    from jinja2 import Environment

LEFT, TOP, BOTTOM, EDGE = 58, 20, 46, 12
LABELS = 210
"""Width at the right edge for the names of the leaders, where the drawing is wide enough for them."""
LINE = 14
"""Height of one name."""
LEADERS = 5
"""Candidates in colour: the ones with a role, and of the others the best that stayed to the end."""
SHOWN = 3.0
"""The drawing ends at this many times the best figure; who was never nearer is counted in words."""
STOPPED = {
    "leads": "all others were certainly slower than the leader",
    "level": "those that were left are equal within {margin}",
    "rounds": "the most rounds that a race may have did not separate those that were left",
    "time": "its time was over before those that were left were separated",
    "budget": "the time budget of the deployment left it no more time",
    "untimed": "no time decides this choice",
}
LEFT_BECAUSE = {
    "slower": "certainly slower than {by}",
    "far": "at first sight certainly slower than {by}",
    "reported": "cannot be chosen, and its figure was known",
    "failed": "its process ended",
}
ROLES = ("other", "ahead", "fallback", "framework", "original", "winner")
"""From the back to the front."""


@dataclass(frozen=True)
class CourseLine:
    """One candidate: its medians as an SVG path, the area of its intervals (leaders only), where it ends, and whether it left there.

    ``label`` is the height of its name at the right edge; ``None`` without one. ``dot`` marks a line of a single check.
    """

    plan: str
    role: str
    path: str
    area: str
    end: tuple[float, float]
    left: bool
    title: str
    label: float | None


@dataclass(frozen=True)
class CourseChart:
    """A drawing of ``width`` by ``height``; the plot spans ``LEFT`` to ``right`` and ``top`` to ``bottom``. ``beyond`` were never near."""

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[CourseLine, ...]
    beyond: int


def render(course: Course, roles: dict[str, str], environment: Environment) -> str:
    """The section of the page about the race, as HTML."""
    sizes = (("wide", 760, 340), ("narrow", 350, 320))
    charts = [(name, drawn) for name, width, height in sizes if (drawn := draw(course, roles, width=width, height=height))]
    page = environment.from_string(files("roadworthy.build.package.report").joinpath("course.html.j2").read_text())
    unit = "ms a call" if course.figure == "latency" else "samples a second"
    shown = {line.role for _, drawn in charts for line in drawn.lines}
    return page.render(course=course, charts=charts, why=why(course), unit=unit, shown=shown, reason=departure)


def why(course: Course) -> str:
    """Why the race stopped, and after how long, in one sentence."""
    reason = STOPPED[course.stopped].format(margin=f"{100 * course.margin:g} %")
    rounds = f"{course.rounds} round{'s' if course.rounds != 1 else ''}"
    return f"The race stopped after {rounds} in {figures.number(course.seconds)} s: {reason}."


def departure(one: Departure) -> str:
    """Why a candidate left, in words."""
    ratio = f" ({figures.times(one.ratio.value)} its time, {figures.span(one.ratio)})" if one.ratio else ""
    return LEFT_BECAUSE[one.why].format(by=one.by or "another") + ratio


def draw(course: Course, roles: dict[str, str], *, width: int, height: int) -> CourseChart | None:
    """The chart at that size; ``None`` without a check. ``roles`` names the winner, the original and others by plan.

    Across, rounds on a logarithmic scale; up, the median of each candidate so far. Of leaders the 95 % interval is an area.
    """
    seen = _standings(course.checks)
    if not seen:
        return None
    slow = _slowness(course)
    best = min(slow(points[-1][1]) for points in seen.values())
    near = {plan: points for plan, points in seen.items() if min(slow(point[1]) for point in points) <= SHOWN * best}
    gone = {one.plan: one for one in course.departures}
    wide = width > 500
    right, bottom = width - (LABELS if wide else EDGE), height - BOTTOM
    given = _coloured(course, near, roles)
    across = log_scale([float(check.rounds) for check in course.checks], LEFT, right)
    up = _scale(course, near, given, bottom, TOP)
    lines = [_line(plan, points, given.get(plan, "other"), gone.get(plan), across, up) for plan, points in near.items()]
    lines.sort(key=lambda line: ROLES.index(line.role))
    return CourseChart(
        width, height, LEFT, right, TOP, bottom, across.ticks(6 if wide else 4), _ticks(up),
        tuple(_named(lines, bottom) if wide else lines), len(seen) - len(near),
    )  # fmt: skip


Point = tuple[int, float, float, float]
"""The number of rounds, the median, and the ends of its interval."""


def _standings(checks: tuple[CourseCheck, ...]) -> dict[str, list[Point]]:
    """Of each plan, what was known at each check."""
    found: dict[str, list[Point]] = {}
    for check in checks:
        for standing in check.standings:
            figure = standing.figure
            found.setdefault(standing.plan, []).append((check.rounds, figure.value, figure.low, figure.high))
    return found


def _slowness(course: Course) -> Callable[[float], float]:
    """A figure as a time, of which less is better."""
    return (lambda value: value) if course.figure == "latency" else (lambda value: 1 / value)


def _coloured(course: Course, near: dict[str, list[Point]], roles: dict[str, str]) -> dict[str, str]:
    """The roles of those in colour: the named ones, then the best of those that stayed longest."""
    stayed = [standing.plan for check in reversed(course.checks) for standing in check.standings]
    others = [plan for plan in dict.fromkeys(stayed) if plan in near and plan not in roles]
    named = {plan: role for plan, role in roles.items() if plan in near and role in ROLES}
    return named | dict.fromkeys(others[: max(0, LEADERS - len(named))], "ahead")


def _scale(course: Course, near: dict[str, list[Point]], given: dict[str, str], bottom: float, top: float) -> Linear:
    """From the lowest to the highest figure that is drawn; what lies beyond is cut at the edge."""
    ends = [end for plan, points in near.items() if plan in given for point in points for end in point[2:]]
    values = [point[1] for points in near.values() for point in points] + ends
    best = min(values) if course.figure == "latency" else max(values)
    low, high = (best, min(max(values), best * SHOWN)) if course.figure == "latency" else (max(min(values), best / SHOWN), best)
    margin = max(0.06 * (high - low), 0.02 * high)
    return Linear(low - margin, high + margin, bottom, top)


def _line(plan: str, points: list[Point], role: str, gone: Departure | None, across: Callable[[float], float], up: Linear) -> CourseLine:
    path = "M" + "L".join(f"{across(rounds):.1f} {up.clip(value):.1f}" for rounds, value, _, _ in points)
    upper = [f"{across(rounds):.1f} {up.clip(high):.1f}" for rounds, _, _, high in points]
    lower = [f"{across(rounds):.1f} {up.clip(low):.1f}" for rounds, _, low, _ in reversed(points)]
    rounds, value, low, high = points[-1]
    words = f"left after {gone.rounds} rounds: {departure(gone)}" if gone else "stayed to the end"
    title = f"{plan}: {figures.number(value)} ({figures.number(low)} to {figures.number(high)}) after {rounds} rounds; {words}"
    area = "" if role == "other" else f"M{'L'.join((*upper, *lower))}Z"
    return CourseLine(plan, role, path, area, (across(rounds), up.clip(value)), gone is not None, title, None)


def _named(lines: list[CourseLine], bottom: float) -> list[CourseLine]:
    """The lines with the heights of the leaders' names: each beside the end of its line, or as near below as no other name is."""
    heights: dict[str, float] = {}
    wanted = sorted((line for line in lines if line.role != "other"), key=lambda line: line.end[1])
    at = 0.0
    for number, line in enumerate(wanted):
        room_below = LINE * (len(wanted) - 1 - number)
        at = max(at + LINE, TOP + 4, min(line.end[1] + 4, bottom - room_below))
        heights[line.plan] = at
    return [replace(line, label=heights.get(line.plan)) for line in lines]


def _ticks(up: Linear) -> tuple[Tick, ...]:
    rough = (up.high - up.low) / 5
    power = 10 ** floor(log10(rough))
    step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= rough)
    decimals = max(0, -floor(log10(step)))
    return tuple(Tick(up(mark * step), f"{mark * step:,.{decimals}f}") for mark in range(ceil(up.low / step), floor(up.high / step) + 1))
