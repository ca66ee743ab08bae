"""What the rounds add up to: medians, and ratios paired within each round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from contestants import FIELD, OURS, YARDSTICK

LABELS = {one.name: one.label for one in FIELD}


@dataclass(frozen=True)
class Cell:
    """One server under one closed loop: medians over the rounds, and how many times as many requests Roadworthy answered.

    ``ratio`` is the median over the rounds of the same kind of request, ``low`` and ``high`` its extremes; ``faults`` counts what was
    not answered with 200.
    """

    per_second: float
    p50_ms: float
    p99_ms: float
    ratio: float
    low: float
    high: float
    faults: int


@dataclass(frozen=True)
class Row:
    """A server and one kind of its requests (``json`` or ``binary``), by number of connections."""

    name: str
    kind: str
    cells: dict[int, Cell]

    @property
    def label(self) -> str:
        return LABELS[self.name] + (", binary" if self.kind == "binary" else "")


def rows(race: dict[str, Any]) -> list[Row]:
    """Every server that finished a round, the quickest at most connections first."""
    kinds = {
        (name, kind): found["closed"][kind].keys() for one in race["rounds"] for name, found in one.items() for kind in found["closed"]
    }
    found = [Row(name, kind, {int(count): cell(race, name, kind, count) for count in counts}) for (name, kind), counts in kinds.items()]
    return sorted(found, key=lambda row: -list(row.cells.values())[-1].per_second)


def cell(race: dict[str, Any], name: str, kind: str, count: str) -> Cell:
    """One server, one kind of request, one number of connections."""
    mine = [(one, one[name]["closed"][kind][count]) for one in race["rounds"] if name in one]
    # A server without binary tensors is compared by the same JSON; Roadworthy has both.
    pairs = [(one[OURS]["closed"][kind][count]["per_second"], load["per_second"]) for one, load in mine if OURS in one]
    ratios = [ours / theirs for ours, theirs in pairs if theirs] or [float("nan")]
    loads = [load for _, load in mine]
    good = [load["answers"]["200"] for load in loads if "200" in load["answers"]]
    return Cell(
        median(load["per_second"] for load in loads),
        median(one["p50_ms"] for one in good) if good else float("nan"),
        median(one["p99_ms"] for one in good) if good else float("nan"),
        median(ratios), min(ratios), max(ratios),
        sum(load["sent"] - load["answers"].get("200", {"count": 0})["count"] for load in loads),
    )  # fmt: skip


def rivals(race: dict[str, Any]) -> list[Row]:
    """All but Roadworthy and the yardstick."""
    return [row for row in rows(race) if row.name not in (OURS, YARDSTICK)]


def ours(race: dict[str, Any], kind: str) -> Row | None:
    """Roadworthy's own row."""
    return next((row for row in rows(race) if (row.name, row.kind) == (OURS, kind)), None)


def aims(result: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """What was aimed at, what was found, and whether that is enough."""
    tiny, resnet = result["models"].get("tiny"), result["models"].get("resnet18")
    if tiny and (row := ours(tiny, "json")):
        others = [one for one in rivals(tiny) if one.kind == "json"]
        for count in (8, 32) if others else ():
            best = max(others, key=lambda one: one.cells[count].per_second).cells[count]
            quickest = min(one.cells[count].p99_ms for one in others)
            mine = row.cells[count]
            yield (
                f"tiny, {count} connections: 2 times the requests of the best",
                f"{best.ratio:.2f} [{best.low:.2f}, {best.high:.2f}]",
                best.ratio >= 2,
            )
            yield (
                f"tiny, {count} connections: lower p99 than any",
                f"{mine.p99_ms:.2f} ms, theirs {quickest:.2f} ms",
                mine.p99_ms < quickest,
            )
        for kind in ("json", "binary"):
            added = added_ms(tiny, kind, "one_thread_ms")
            yield f"tiny, 1 connection, {kind}: less than 0.4 ms added to the runtime's own call", f"{added:.3f} ms", added < 0.4
        idle = [one[OURS]["idle_cpu_s"] for one in tiny["rounds"] if "idle_cpu_s" in one.get(OURS, {})]
        if idle:
            yield "no CPU while idle", f"{idle[0]:.2f} s in 10 s", idle[0] < 0.1
    if resnet and ours(resnet, "binary"):
        for count in ("8", "32"):
            shares = [
                one[OURS]["closed"]["binary"][count]["per_second"] / alone["per_second"]
                for one, alone in zip(resnet["rounds"], resnet["reference"], strict=True)
                if OURS in one
            ]
            share = median(shares)
            yield f"resnet18, binary, {count} connections: within 5 % of the runtime in process", f"{100 * share:.1f} %", share >= 0.95
        added = added_ms(resnet, "binary", "all_cores_ms")
        yield "resnet18, binary, 1 connection: less than 0.4 ms added to the runtime's own call", f"{added:.2f} ms", added < 0.4


def added_ms(race: dict[str, Any], kind: str, alone: str) -> float:
    """What Roadworthy adds at one connection to the median of the runtime's own call, in the median round."""
    pairs = [(one[OURS], own) for one, own in zip(race["rounds"], race["reference"], strict=True) if OURS in one]
    return median(found["closed"][kind]["1"]["answers"]["200"]["p50_ms"] - own[alone] for found, own in pairs)
