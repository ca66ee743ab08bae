"""Writes docs/dependability.md from the records that the fault tests keep: ``python tests/dependability/table.py``."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from dependability.harness import REPOSITORY, Record, records  # noqa: E402

PAGE = REPOSITORY / "docs" / "dependability.md"
ROWS = {
    "overload": (
        "Overload",
        "Open loop above capacity: goodput at least 90 % of capacity; what is accepted is answered in bounded time, the rest refused in "
        "50 ms with the protocol's own code and Retry-After; health and metrics answer in 100 ms throughout; back to normal in 5 s.",
    ),
    "swaps": ("Swaps under load", "No failed request, no dropped connection, no answer from a version not asked for."),
    "worker": (
        "A worker killed, hung or out of memory",
        "Only its requests in flight fail, with a clear error, never a hang; another takes over; a crash loop backs off and is not ready.",
    ),
    "stop": ("SIGTERM", "Accepted requests are all answered, readiness drops first, exit 0 within the grace time."),
    "gone": ("A client that goes away, a deadline that passes", "Queued work for it never runs."),
    "slow": ("Slow clients and idle ones", "Others are unaffected; each is closed by its deadline."),
    "input": ("Bad input", "4xx with one sentence, never 5xx, never a dead worker; memory bounded."),
    "bundle": ("Damaged bundles", "Refused before ready, with the file's name; the others serve."),
    "mixed": ("Mixed load", "Memory, descriptors and threads flat; the counters reconcile exactly."),
}
HEAD = """# Dependability

Each fault is injected into a real server process with real workers by `tests/dependability/`; those runs write this page, with all figures
(`python tests/dependability/run.py --long`). The tests check what must hold on any machine, however busy. The run also checks the figures,
within bounds that are wider than the promises of the table, because one machine runs the server, the clients and the load generator.
Goodput is given twice: as answers in time, and per CPU second of the workers, which other programs on the machine do not change.
A connection that ends without an answer is named as the client's library names it.
"""


def main() -> None:
    """Write the page."""
    kept = list(records())
    parts = [HEAD]
    for row, (title, promise) in ROWS.items():
        parts += [f"## {title}", "", promise, "", "| injected | held | figures |", "|---|---|---|"]
        mine = [one for one in kept if one.row == row]
        parts += [f"| {one.injected} | {one.held} | {figures(one.figures)} |" for one in sorted(mine, key=lambda one: (one.case, one.long))]
        if not mine:
            parts.append("| not run | | |")
        parts.append("")
    parts += [f"Seen on {where}." for where in sorted(machines(kept))]
    PAGE.write_text("\n".join(parts) + "\n")
    print(PAGE)


def machines(kept: list[Record]) -> set[str]:
    """Where and when: each machine with its first and last day."""
    return {
        f"{machine}, {' to '.join(sorted({min(days), max(days)}))}"
        for machine in {one.machine for one in kept}
        if (days := [one.when for one in kept if one.machine == machine])
    }


def figures(found: Mapping[str, Any]) -> str:
    """All figures of one record in a cell."""
    return "; ".join(f"{name_of(name)} {value_of(name, value)}" for name, value in found.items() if value not in ("", {}, None))


FOLDER = re.compile(r"/\S*?/pytest-\d+/[^/\s]+/")
"""Where a run kept its bundles, in the sentences that name their files."""

UNITS = {"_ms": " ms", "_s": " s", "_mib": " MiB", "_share": "", "_per_second": " a second"}


def name_of(name: str) -> str:
    """``accepted_p99_ms`` as "accepted p99"."""
    for suffix in UNITS:
        if name.endswith(suffix):
            name = name.removesuffix(suffix) if suffix != "_share" else name
    return name.replace("_", " ")


def value_of(name: str, value: Any) -> str:
    """With its unit, and no more digits than mean something."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {value_of('', one)}" for key, one in value.items())
    if isinstance(value, list):
        return " ".join(value_of("", one) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        value = f"{100 * value:.0f} %" if name.endswith("_share") else f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    unit = next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")
    return f"{FOLDER.sub('', str(value)).replace('|', '/').replace(chr(10), ' ')}{unit}"


if __name__ == "__main__":
    main()
