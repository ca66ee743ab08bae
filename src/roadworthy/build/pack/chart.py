"""The latency-against-accuracy chart as geometry: what goes where, so that the template only draws."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10
from typing import TypeAlias

from roadworthy.build.pack import figures
from roadworthy.core.evidence import Score
from roadworthy.core.stages import Measured, Rejected

LEFT, RIGHT, TOP, BOTTOM = 58, 16, 18, 46
STRIP = 64
"""Width of the strip at the right where rejected candidates stand: they were never timed."""
GLYPH, LINE = 6.3, 13
"""What one letter of the labels takes at most, in units of the drawing, and the height of a line."""

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Entry:
    """One thing to draw: the plan's name, what it is (winner, original, fallback, passed, rejected), and its evidence."""

    name: str
    role: str
    score: Score
    latency_ms: float | None


@dataclass(frozen=True)
class Point:
    """A marker at (x, y) with its interval's ends, its label (empty where there was no room) and its tooltip."""

    x: float
    y: float
    low: float
    high: float
    role: str
    title: str
    label: str
    label_x: float
    label_y: float
    anchor: str
    clipped: bool


@dataclass(frozen=True)
class Tick:
    """A grid line at ``at`` with its text."""

    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """A drawing of ``width`` by ``height``; the plot spans ``left`` to ``right`` and ``top`` to ``bottom``.

    ``strip`` is where the strip of untimed candidates begins, ``None`` without any. ``scale`` is 100 where the metric's
    change is drawn in points of a hundred, 1 where the metric is no share.
    """

    width: int
    height: int
    left: float
    right: float
    top: float
    bottom: float
    strip: float | None
    scale: int
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    budget: float
    points: tuple[Point, ...]


def entries(baseline: Measured, measured: tuple[Measured, ...], rejected: tuple[Rejected, ...], roles: dict[str, str]) -> tuple[Entry, ...]:
    """Everything with a score, the most telling last so that it is drawn on top."""
    timed = {one.verified.candidate.plan.name: one for one in (baseline, *measured)}
    found = [
        Entry(name, roles.get(name, "passed"), one.verified.score, one.timing.latency_ms.value)
        for name, one in timed.items()
        if one.verified.score
    ]
    refused = [Entry(one.plan.name, "rejected", one.score, None) for one in rejected if one.score]
    order = ("rejected", "passed", "fallback", "original", "winner")
    return tuple(sorted([*refused, *found], key=lambda entry: order.index(entry.role)))


def draw(shown: tuple[Entry, ...], budget: float, *, width: int, height: int) -> Chart | None:
    """The chart at that size; ``None`` where no timed candidate has a score.

    Across, the median latency on a logarithmic scale; up, the paired change of the metric against the original (zero),
    whose 95 % interval is the bar. A rejected candidate far below the rest is drawn at the lower edge, its figure beside it.
    """
    timed = [entry for entry in shown if entry.latency_ms]
    if not timed:
        return None
    scale = 100 if all(figures.is_share(entry.score) for entry in timed) else 1
    untimed = any(entry.latency_ms is None for entry in shown)
    bottom, inner = height - BOTTOM, width - RIGHT - (STRIP if untimed else 0)
    across = log_scale([entry.latency_ms or 1.0 for entry in timed], LEFT + 14, inner - 14)
    up = Linear(*_extent(timed, budget), bottom - 8, TOP + 8)
    points: list[Point] = []
    gaps = iter(range(1, len(shown)))
    untimed_count = len(shown) - len(timed)
    spots = [
        (across(entry.latency_ms) if entry.latency_ms else inner + STRIP * next(gaps) / (untimed_count + 1), up.clip(_y(entry)), entry)
        for entry in shown
    ]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y, _ in spots]
    for x, _, entry in spots:
        low, high = _bar(entry, up)
        taken.append((x - 2, high, x + 2, low))
    for x, y, entry in reversed(spots):
        points.append(_point(entry, x, y, up, taken, (LEFT, TOP, inner if entry.latency_ms else width - 2, bottom)))
    return Chart(
        width, height, LEFT, inner, TOP, bottom, inner if untimed else None, scale,
        across.ticks(6 if width > 500 else 3), up.ticks(scale), up(-budget), tuple(reversed(points)),
    )  # fmt: skip


def _y(entry: Entry) -> float:
    return -entry.score.drop.value


def _extent(timed: list[Entry], budget: float) -> tuple[float, float]:
    values = [-edge for entry in timed for edge in (entry.score.drop.low, entry.score.drop.high)]
    low, high = min(*values, -budget, 0.0), max(*values, 0.0)
    margin = max((high - low) * 0.06, 1e-4)
    return low - margin, high + margin


def _bar(entry: Entry, up: Linear) -> tuple[float, float]:
    """Where the interval's lower and upper end are drawn; an upper end is the smaller number."""
    return up.clip(-entry.score.drop.high), up.clip(-entry.score.drop.low)


def _point(entry: Entry, x: float, y: float, up: Linear, taken: list[Box], frame: Box) -> Point:
    clipped = _y(entry) < up.low
    change = figures.change(entry.score)
    label = change if clipped else entry.name
    place = _place(label, x, y, _bar(entry, up), taken, frame)
    if place is None and entry.role == "winner":
        place = _place(label, x, y, _bar(entry, up), [], frame)
    speed = figures.ms(entry.latency_ms) if entry.latency_ms else "not timed"
    label_x, label_y, anchor = place or (x, y, "start")
    return Point(
        x, y, *_bar(entry, up), entry.role, f"{entry.name} ({entry.role}): {change}, {speed}", label if place else "",
        label_x, label_y, anchor, clipped,
    )  # fmt: skip


def _place(label: str, x: float, y: float, bar: tuple[float, float], taken: list[Box], frame: Box) -> tuple[float, float, str] | None:
    """Where a label fits near (x, y) and its ``bar`` without lying on another thing or outside the frame; its box is then taken."""
    wide = GLYPH * len(label)
    beside = [(x + 11, y + up, "start") for up in (0, -15, 15)] + [(x - 11 - wide, y + up, "end") for up in (0, -15, 15)]
    clear = [
        (x - wide / 2, bar[1] - 10, "middle"),
        (x - 6, bar[1] - 10, "start"),
        (x + 6 - wide, bar[1] - 10, "end"),
        (x - wide / 2, bar[0] + 11, "middle"),
    ]
    for left, middle, anchor in (*beside, *clear):
        box = (left, middle - LINE / 2, left + wide, middle + LINE / 2)
        inside = box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]
        if inside and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            return {"start": left, "end": left + wide, "middle": x}[anchor], middle + 4, anchor
    return None


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@dataclass(frozen=True)
class Linear:
    """``low``..``high`` onto ``start``..``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def clip(self, value: float) -> float:
        return self(min(max(value, self.low), self.high))

    def ticks(self, scale: int) -> tuple[Tick, ...]:
        rough = (self.high - self.low) / 5
        power = 10 ** floor(log10(rough))
        step = next(power * unit for unit in (1, 2, 5, 10) if power * unit >= rough)
        decimals = max(0, -floor(log10(step * scale)))
        marks = range(ceil(self.low / step), floor(self.high / step) + 1)
        return tuple(Tick(self(mark * step), _signed(scale * mark * step, decimals)) for mark in marks)


def _signed(value: float, decimals: int) -> str:
    return "0" if value == 0 else f"{value:+.{decimals}f}".replace("-", figures.MINUS)


@dataclass(frozen=True)
class Log:
    """A logarithmic scale."""

    linear: Linear

    def __call__(self, value: float) -> float:
        return self.linear(log10(value))

    def ticks(self, most: int) -> tuple[Tick, ...]:
        """1, 2 and 5 of each decade, or the decades alone where that would be more than ``most``."""
        for units in ((1, 2, 5), (1, 3), (1,)):
            decades = range(floor(self.linear.low), ceil(self.linear.high) + 1)
            marks = [unit * 10.0**decade for decade in decades for unit in units]
            inside = [mark for mark in marks if self.linear.low <= log10(mark) <= self.linear.high]
            if len(inside) <= most:
                break
        return tuple(Tick(self(mark), f"{mark:g}") for mark in inside)


def log_scale(values: list[float], start: float, end: float) -> Log:
    """A logarithmic scale that holds all ``values`` between ``start`` and ``end``."""
    low, high = log10(min(values)), log10(max(values))
    margin = max(0.05, (high - low) * 0.03)
    return Log(Linear(low - margin, high + margin, start, end))
