"""The page of ``roadworthy compare``: one file that loads nothing, without scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from roadworthy.build.package.report import figures
from roadworthy.build.package.report.chart import Linear, Tick, log_scale
from roadworthy.core.comparison import Comparison, Form
from roadworthy.core.errors import BackendMissing, RoadworthyError

WIDE, NARROW = 760, 340
"""The widths that each chart is drawn in: letters keep their size on a phone."""
LEFT, RIGHT, TOP, BOTTOM, ROW = 10, 14, 6, 40, 36
TEXT = 84
"""Width at the right end of a row for its figure."""


@dataclass(frozen=True)
class Segment:
    """A stretch of a bar, or with ``at`` a dot between the ends of its interval."""

    start: float
    end: float
    kind: str
    title: str
    at: float | None = None


@dataclass(frozen=True)
class FormRow:
    """One form of the side with number ``side``: its name stands above what is drawn at ``y``, its figure at ``text_x``."""

    y: float
    side: int
    label: str
    text: str
    text_x: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Drawing:
    """A chart of ``width`` by ``height`` with one row for each form."""

    width: int
    height: int
    left: float
    right: float
    bottom: float
    axis: str
    ticks: tuple[Tick, ...]
    rows: tuple[FormRow, ...]


Draw = Callable[[Comparison, int], Drawing | None]


def write(comparison: Comparison, path: Path) -> None:
    """Write the page to ``path``; RoadworthyError where that cannot be written."""
    page = render(comparison)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as problem:
        raise RoadworthyError(f"the comparison cannot be written to {path}: {problem.strerror}") from problem


def render(comparison: Comparison) -> str:
    """The page as HTML. Names may be hostile: everything is escaped, and the page's own policy lets a browser load nothing.

    Raises BackendMissing without Jinja2.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as problem:
        raise BackendMissing("the page needs Jinja2: pip install 'roadworthy[build]'") from problem
    here = files("roadworthy.build.package.report")
    style = here.joinpath("report.css").read_text() + here.joinpath("comparison.css").read_text()
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"f": figures, "label": label, "first_call": first_call}
    page = environment.from_string(here.joinpath("comparison.html.j2").read_text())
    return page.render(
        c=comparison,
        charts=[(name, _both(draw, comparison)) for name, draw in (("speed", speeds), ("start", starts), ("throughput", throughputs))],
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    ).lstrip()


def label(form: Form) -> str:
    """The name of a form: its runtime and flavour, and its threads where it has only one."""
    return " ".join(part for part in (form.plan.runtime, form.plan.flavour, "" if form.plan.threads != 1 else "1 thread") if part)


def first_call(form: Form, batch: int) -> float | None:
    """The first call of a batch size, in ms."""
    return next((one.ms for one in form.first_calls if one.batch == batch), None)


def speeds(comparison: Comparison, width: int) -> Drawing | None:
    """Time at batch 1, on a logarithmic scale, fastest first."""
    shown = [(number, form, one) for number, form in _forms(comparison) if (one := form.at(1))]
    shown.sort(key=lambda entry: entry[2].ms.value)
    rows = [(number, form, one.ms.low, one.ms.value, one.ms.high, figures.ms(one.ms.value)) for number, form, one in shown]
    return _dots(rows, width, "milliseconds a call, logarithmic")


def throughputs(comparison: Comparison, width: int) -> Drawing | None:
    """Samples a second, on a logarithmic scale, most first."""
    shown = sorted(((number, form) for number, form in _forms(comparison) if form.throughput), key=lambda entry: -entry[1].throughput)
    rows = [
        (
            number,
            form,
            form.throughput,
            form.throughput,
            form.throughput,
            f"{figures.number(form.throughput)}/s at {form.best_batch}{'' if form.trusted else ' ?'}",
        )
        for number, form in shown
    ]
    return _dots(rows, width, "samples a second, logarithmic")


def starts(comparison: Comparison, width: int) -> Drawing | None:
    """Import, load and first call as one bar, in seconds, shortest first."""
    shown = [
        (number, form, (form.import_ms / 1e3, form.load_ms / 1e3, (first_call(form, 1) or 0.0) / 1e3))
        for number, form in _forms(comparison)
    ]
    if not shown:
        return None
    shown.sort(key=lambda entry: sum(entry[2]))
    across = Linear(0.0, max(sum(parts) for _, _, parts in shown) or 1.0, LEFT, width - RIGHT - TEXT)
    rows = []
    for index, (number, form, parts) in enumerate(shown):
        edges = [0.0, parts[0], parts[0] + parts[1], sum(parts)]
        segments = tuple(
            Segment(across(low), across(high), kind, f"{kind}: {figures.number(high - low)} s")
            for kind, low, high in zip(("import", "load", "first"), edges[:-1], edges[1:], strict=True)
        )
        rows.append(_row(index, number, form, f"{figures.number(edges[-1])} s", segments[-1].end, segments))
    ticks = tuple(Tick(tick.at, tick.text.removeprefix("+")) for tick in across.ticks(1))
    return _drawing(width, "seconds", ticks, rows)


def _forms(comparison: Comparison) -> list[tuple[int, Form]]:
    return [(number, form) for number, side in enumerate(comparison.sides) for form in side.forms]


def _both(draw: Draw, comparison: Comparison) -> list[tuple[str, Drawing]]:
    drawn = [(name, draw(comparison, width)) for name, width in (("wide", WIDE), ("narrow", NARROW))]
    return [(name, one) for name, one in drawn if one is not None]


def _dots(shown: Sequence[tuple[int, Form, float, float, float, str]], width: int, axis: str) -> Drawing | None:
    if not shown:
        return None
    edges = [edge for _, _, low, _, high, _ in shown for edge in (low, high)]
    across = log_scale(edges, LEFT, width - RIGHT - TEXT)
    rows = []
    for index, (number, form, low, value, high, text) in enumerate(shown):
        segment = Segment(across(low), across(high), "dot", text, across(value))
        rows.append(_row(index, number, form, text, segment.end, (segment,)))
    return _drawing(width, axis, across.ticks(6 if width > 500 else 3), rows)


def _row(index: int, side: int, form: Form, text: str, end: float, segments: tuple[Segment, ...]) -> FormRow:
    return FormRow(
        TOP + ROW * index + ROW - 10, side, label(form) + (" (original)" if form.family == "original" else ""), text, end + 9, segments
    )


def _drawing(width: int, axis: str, ticks: tuple[Tick, ...], rows: list[FormRow]) -> Drawing:
    height = TOP + ROW * len(rows) + BOTTOM
    return Drawing(width, height, LEFT, width - RIGHT - TEXT, height - BOTTOM + 6, axis, ticks, tuple(rows))
