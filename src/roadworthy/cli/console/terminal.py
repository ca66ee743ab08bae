"""The two streams of the terminal, and what several views share."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from roadworthy.core import codec

WIDE = 160
"""Columns where the output goes to a file or a pipe, which have no width of their own."""

output = Console(highlight=False)
if not output.is_terminal:
    output = Console(highlight=False, width=WIDE)
status = Console(stderr=True, highlight=False)


def show_json(value: object) -> None:
    """``value`` on standard output, indented."""
    print(codec.to_json(value, indent=2).decode())


def mark(trusted: bool) -> str:
    """A question mark before a figure that is not certain."""
    return "" if trusted else "? "


def short(value: float) -> str:
    """Three significant digits, never with an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def size(count: int) -> str:
    """``count`` bytes in MiB or GiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def rows(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    """A plain table of strings."""
    table = Table(*headings)
    for line in lines:
        table.add_row(*(escape(cell) for cell in line))
    return table
