"""The figures as text, as ``docs/serving-benchmark.md`` and as its chart."""

from __future__ import annotations

from html import escape
from math import isfinite
from pathlib import Path
from typing import Any

from contestants import FIELD, OURS, YARDSTICK
from figures import LABELS, Row, aims, rows

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, CHART = DOCS / "serving-benchmark.md", DOCS / "serving-benchmark.svg"
TITLES = {"tiny": "A tiny CNN (1x28x28, 9,098 parameters)", "resnet18": "ResNet-18 (3x224x224)"}


def text(result: dict[str, Any]) -> list[str]:
    """Everything but the chart, as Markdown."""
    lines = [host(result), ""]
    for name, race in result["models"].items():
        lines += [f"## {TITLES[name]}", "", *closed(race), ""]
        lines += [f"Alone in a process, without a server: {alone(race)}.", ""]
    if tiny := result["models"].get("tiny"):
        lines += ["## At half and at twice its own capacity", "", *opened(tiny), "", "## What it costs", "", *costs(tiny), ""]
    lines += ["## The aims", "", "| aim | found | |", "|---|---|---|"]
    lines += [f"| {aim} | {found} | {'reached' if enough else 'missed'} |" for aim, found, enough in aims(result)]
    return [*lines, "", "## The field", "", *field(result)]


def host(result: dict[str, Any]) -> str:
    return (
        f"{result['cpu']}, {result['cores']} cores, shared by each server and the load generator; ONNX Runtime {result['onnxruntime']}, "
        f"float32; rounds: {result['rounds']}, of {result['seconds']:g} s a load; {result['date']}; load average before "
        f"{result['load_average']:.1f}; {result['took_s'] / 60:.0f} minutes."
    )


def closed(race: dict[str, Any]) -> list[str]:
    """Requests a second, median and p99 in milliseconds, and Roadworthy's ratio, by connections."""
    found = rows(race)
    counts = list(found[0].cells) if found else []
    heads = ["server", *(f"{count} conn., req/s | p50 ms | p99 ms | Roadworthy is" for count in counts)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * (1 + 4 * len(counts)) + "|"]
    for row in found:
        cells = [f"**{row.label}**" if row.name == OURS else row.label]
        for cell in row.cells.values():
            ratio = "" if row.name == OURS else f"{cell.ratio:.2f}x [{cell.low:.2f}, {cell.high:.2f}]" if isfinite(cell.ratio) else "–"
            fault = f" ({cell.faults} failed)" if cell.faults else ""
            cells += [f"{cell.per_second:,.0f}{fault}", f"{cell.p50_ms:.2f}", f"{cell.p99_ms:.2f}", ratio]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def alone(race: dict[str, Any]) -> str:
    one = race["reference"]
    middle = {key: sorted(each[key] for each in one)[len(one) // 2] for key in one[0]}
    return (
        f"{middle['one_thread_ms']:.3f} ms a call on one thread, {middle['all_cores_ms']:.3f} ms on all cores, "
        f"{middle['per_second']:,.0f} calls a second at best"
    )


def opened(race: dict[str, Any]) -> list[str]:
    """What becomes of requests that come at a rate of their own, whether or not earlier ones were answered."""
    heads = ("server", "capacity (best of the above), req/s", "at half: p50 ms", "p99 ms")
    heads += ("at twice: good", "p50 ms", "p99 ms", "refused", "failed or unsent")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, found in thorough(race):
        half, twice = found["open"]["half"], found["open"]["twice"]
        calm, good = half["answers"].get("200"), twice["answers"].get("200")
        cells = [LABELS[name], f"{found['capacity']:,.0f}"]
        cells += [f"{calm['p50_ms']:.2f}", f"{calm['p99_ms']:.2f}"] if calm else ["–", "–"]
        cells += [f"{100 * twice['per_second'] / found['capacity']:.0f} %"]
        cells += [f"{good['p50_ms']:.1f}", f"{good['p99_ms']:.1f}"] if good else ["–", "–"]
        cells += [f"{sum(one['count'] for status, one in twice['answers'].items() if status != '200'):,}"]
        cells += [f"{sum(twice['errors'].values()) + twice['unsent']:,}"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def costs(race: dict[str, Any]) -> list[str]:
    """Start, memory and CPU of the whole tree of processes."""
    lines = ["| server | start to first answer, s | memory of all its processes, MiB | CPU in 10 s of idleness, s |", "|---|---|---|---|"]
    for name, found in thorough(race):
        lines.append(f"| {LABELS[name]} | {found['ready_s']:.1f} | {found['memory_mb']:.0f} | {found['idle_cpu_s']:.2f} |")
    return lines


def thorough(race: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The visits that measured everything, in the order of the field."""
    order = [one.name for one in FIELD]
    found = [(name, one) for visits in race["rounds"] for name, one in visits.items() if "open" in one]
    return sorted(found, key=lambda each: order.index(each[0]))


def field(result: dict[str, Any]) -> list[str]:
    """Who took part, with which settings, and who did not and why."""
    out: dict[str, str] = {}
    for name, race in result["models"].items():
        for contestant, reason in race["out"].items():
            out[contestant] = f"out ({name}): {reason}"
    took_part = {name for race in result["models"].values() for one in race["rounds"] for name in one}
    lines = ["| server | packages | settings | |", "|---|---|---|---|"]
    for one in FIELD:
        if one.name in took_part or one.name in out:
            reason = out.get(one.name, "").replace("|", "/").replace("\n", " ")
            lines.append(f"| {one.label} | {', '.join(one.packages) or 'this repository'} | {one.settings} | {reason} |")
    return lines


INTRODUCTION = """# Roadworthy beside other servers

Written by `python benchmarks/serving/run.py --docs`. Every server answers for the same ONNX file with ONNX Runtime, on one
thread for each of as many workers as there are cores (Roadworthy by its own plan), through the protocol that is natural to it: the Open
Inference Protocol, or its own JSON with the same numbers. All are driven by one load generator (`benchmarks/serving/load.cpp`) on
connections that are kept alive, and take turns round by round on one machine; ratios are paired within a round and given with
their extremes. Before it is timed, a server must answer like the model. "uvicorn, model inline" is the yardstick: what is
left when nothing is checked, batched or managed.
"""


def write(result: dict[str, Any]) -> None:
    """The page and its chart."""
    lines = text(result)
    picture = []
    if tiny := result["models"].get("tiny"):
        CHART.write_text(chart(rows(tiny), result))
        picture = [f"![requests a second on the tiny CNN]({CHART.name})", ""]
    PAGE.write_text("\n".join([INTRODUCTION, *picture, *lines]) + "\n")


WIDTH, LEFT, BAR, GAP, TOP = 860, 210, 20, 8, 54


def chart(found: list[Row], result: dict[str, Any]) -> str:
    """Requests a second at 8 and at 32 connections, JSON, as bars."""
    found = [row for row in found if row.kind == "json"]
    panel = (WIDTH - LEFT) / 2
    height = TOP + len(found) * (BAR + GAP) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        '<text x="8" y="20" font-size="15" font-weight="bold">Requests a second, tiny CNN, JSON</text>',
    ]
    for number, count in enumerate((8, 32)):
        left = LEFT + number * panel
        most = max(row.cells[count].per_second for row in found)
        parts.append(f'<text x="{left:.0f}" y="{TOP - 10}" fill="#555">{count} connections</text>')
        for place, row in enumerate(found):
            y, value = TOP + place * (BAR + GAP), row.cells[count].per_second
            colour = {OURS: "#0b6e4f", YARDSTICK: "#bbb"}.get(row.name, "#7a92b8")
            width = max(1.0, value / most * (panel - 75))
            parts.append(f'<rect x="{left:.0f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
            parts.append(f'<text x="{left + width + 5:.1f}" y="{y + 15}">{value:,.0f}</text>')
            if not number:
                weight = ' font-weight="bold"' if row.name == OURS else ""
                parts.append(f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end"{weight}>{escape(row.label)}</text>')
    note = f"{result['cpu']}, {result['cores']} cores, load generator included; median over rounds: {result['rounds']}; {result['date']}"
    parts += [f'<text x="8" y="{height - 10}" font-size="11" fill="#555">{escape(note)}</text>', "</svg>"]
    return "\n".join(parts) + "\n"
