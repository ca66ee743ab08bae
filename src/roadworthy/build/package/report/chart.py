"""The chart of accuracy over latency as geometry: the place of each element, so that the template only draws."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

from roadworthy.build.package.report import figures
from roadworthy.build.package.report.labels import Box, Label, Sheet
from roadworthy.core.evidence import Score
from roadworthy.core.stages import Measured, Rejected

LEFT, RIGHT, TOP, BOTTOM = 58, 16, 18, 46
STRIP = 64
"""Width of the strip at the right edge for rejected candidates, which were never timed."""
FEW = 10
"""Up to this number of points all get a label where there is room; of more only the ones in ``most_important``."""
COVERED = 3
"""The number of bars that an important label may cover where it finds no better place."""
ROLES = ("rejected", "passed", "fallback", "framework", "original", "winner")
"""From the back to the front."""


@dataclass(frozen=True)
class ChartEntry:
    """One candidate to draw: the plan's name and runtime, its role (one of ``ROLES``), and its evidence."""

    name: str
    role: str
    score: Score
    latency_ms: float | None
    runtime: str = ""


@dataclass(frozen=True)
class Point:
    """A marker at (x, y) with its interval's ends, its tooltip, and its label where it has one."""

    x: float
    y: float
    low: float
    high: float
    role: str
    title: str
    clipped: bool
    label: Label | None


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
    budget_label: Label
    points: tuple[Point, ...]


def entries(
    baseline: Measured, measured: tuple[Measured, ...], rejected: tuple[Rejected, ...], roles: dict[str, str]
) -> tuple[ChartEntry, ...]:
    """Every candidate with a score, the most important last so that it is drawn on top."""
    timed = {one.verified.candidate.plan.name: one for one in (baseline, *measured)}
    found = [
        ChartEntry(name, roles.get(name, "passed"), one.verified.score, one.timing.latency_ms.value, one.verified.candidate.plan.runtime)
        for name, one in timed.items()
        if one.verified.score
    ]
    refused = [ChartEntry(one.plan.name, "rejected", one.score, None, one.plan.runtime) for one in rejected if one.score]
    return tuple(sorted([*refused, *found], key=lambda entry: ROLES.index(entry.role)))


def draw(shown: tuple[ChartEntry, ...], budget: float, *, width: int, height: int) -> Chart | None:
    """The chart at that size; ``None`` where no timed candidate has a score.

    Across, the median latency on a logarithmic scale; up, the paired change of the metric against the original (zero),
    whose 95 % interval is the bar; where lower is better, a rise points down. A rejected candidate far below the rest is drawn at
    the lower edge, with its figure as the label.
    """
    timed = [entry for entry in shown if entry.latency_ms]
    if not timed:
        return None
    scale = 100 if all(entry.score.percent for entry in timed) else 1
    untimed = any(entry.latency_ms is None for entry in shown)
    bottom, inner = height - BOTTOM, width - RIGHT - (STRIP if untimed else 0)
    across = log_scale([entry.latency_ms or 1.0 for entry in timed], LEFT + 14, inner - 14)
    up = Linear(*_extent(timed, budget), bottom - 8, TOP + 8)
    gaps = iter(range(1, len(shown)))
    untimed_count = len(shown) - len(timed)
    spots = [
        (across(entry.latency_ms) if entry.latency_ms else inner + STRIP * next(gaps) / (untimed_count + 1), up.clip(_y(entry)), entry)
        for entry in shown
    ]
    markers = [(x - 6, y - 6, x + 6, y + 6) for x, y, _ in spots]
    bars = [(x - 2, _bar(entry, up)[1], x + 2, _bar(entry, up)[0]) for x, _, entry in spots]
    level = up(-budget)
    line: Box = (LEFT, level - 1, inner, level + 1)
    worse = figures.direction(timed[0].score)
    words = f"budget: {figures.number(scale * budget)}{' points' if scale == 100 else ''} {'higher' if worse > 0 else 'lower'}"
    budget_label = Sheet((LEFT, TOP, inner, bottom), markers, bars).line(words, level, "budget")
    sheet = Sheet((LEFT, TOP, width - 2 if untimed else inner, bottom), markers, bars, (line, budget_label.box))
    labels = _labels(spots, up, sheet)
    points = tuple(_point(entry, x, y, up, labels.get(number)) for number, (x, y, entry) in enumerate(spots))
    return Chart(
        width, height, LEFT, inner, TOP, bottom, inner if untimed else None, scale,
        across.ticks(6 if width > 500 else 3), up.ticks(-worse * scale), level, budget_label, points,
    )  # fmt: skip


def most_important(shown: tuple[ChartEntry, ...]) -> list[int]:
    """The numbers of the entries that a reader looks for, most important first: winner, original, the framework's fastest form,
    fallback, the Pareto frontier (no other is at least as fast and as accurate), and the fastest of each runtime.
    """
    named = [number for number, entry in enumerate(shown) if entry.role not in ("passed", "rejected")]
    named.sort(key=lambda number: -ROLES.index(shown[number].role))
    timed = [number for number, entry in enumerate(shown) if entry.latency_ms]
    timed.sort(key=lambda number: (shown[number].latency_ms, shown[number].score.drop.value, -ROLES.index(shown[number].role)))
    lowest = float("inf")
    frontier = []
    for number in timed:
        if shown[number].score.drop.value < lowest:
            lowest = shown[number].score.drop.value
            frontier.append(number)
    fastest: dict[str, int] = {}
    for number in timed:
        fastest.setdefault(shown[number].runtime, number)
    return list(dict.fromkeys((*named, *frontier, *fastest.values())))


def _labels(spots: list[tuple[float, float, ChartEntry]], up: Linear, sheet: Sheet) -> dict[int, Label]:
    """The labels of those points that get one, by the points' numbers."""
    shown = tuple(entry for _, _, entry in spots)
    first = most_important(shown)
    rest = [number for number, entry in enumerate(shown) if number not in first and (len(shown) <= FEW or _clipped(entry, up))]
    labels: dict[int, Label] = {}
    for number in (*first, *rest):
        x, y, entry = spots[number]
        text = figures.change(entry.score) if _clipped(entry, up) else entry.name
        spot = (text, x, y, _bar(entry, up), entry.role)
        label = sheet.point(*spot, most=COVERED if number in first else 0)
        if label is None and entry.role in ("winner", "original"):
            label = sheet.anywhere(*spot)
        if label:
            labels[number] = label
    return labels


def _y(entry: ChartEntry) -> float:
    return -entry.score.drop.value


def _extent(timed: list[ChartEntry], budget: float) -> tuple[float, float]:
    values = [-edge for entry in timed for edge in (entry.score.drop.low, entry.score.drop.high)]
    low, high = min(*values, -budget, 0.0), max(*values, 0.0)
    margin = max((high - low) * 0.06, 1e-4)
    return low - margin, high + margin


def _bar(entry: ChartEntry, up: Linear) -> tuple[float, float]:
    """Where the interval's lower and upper end are drawn; an upper end is the smaller number."""
    return up.clip(-entry.score.drop.high), up.clip(-entry.score.drop.low)


def _clipped(entry: ChartEntry, up: Linear) -> bool:
    return _y(entry) < up.low


def _point(entry: ChartEntry, x: float, y: float, up: Linear, label: Label | None) -> Point:
    speed = figures.ms(entry.latency_ms) if entry.latency_ms else "not timed"
    title = f"{entry.name} ({entry.role}): {figures.change(entry.score)}, {speed}"
    return Point(x, y, *_bar(entry, up), entry.role, title, _clipped(entry, up), label)


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
        decimals = max(0, -floor(log10(step * abs(scale))))
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
