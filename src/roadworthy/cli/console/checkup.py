"""The check of a bundle on this host."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from roadworthy.cli.checkup import Checkup
from roadworthy.cli.console import terminal
from roadworthy.core.evidence import Interval


def show_checkup(found: Checkup, *, as_json: bool) -> None:
    """What was checked, then today's latency beside the certificate's."""
    if as_json:
        terminal.show_json(found)
        return
    golden = found.golden
    for warning in found.warnings:
        terminal.output.print(f"[bold yellow]warning[/]    {escape(warning)}", soft_wrap=True)
    terminal.output.print(f"integrity  {found.files} files as they were packed")
    terminal.output.print(
        f"golden     {golden.samples} samples answered by {golden.variant}: error {golden.error:.2g}, at most {golden.gate:.2g} allowed"
    )
    for note in found.notes:
        terminal.output.print(f"note       {escape(note)}")
    table = Table("", "certificate", "here, today")
    table.add_row("CPU", escape(found.certified_on.cpu), escape(found.here.cpu))
    table.add_row("cores", str(found.certified_on.cores), str(found.here.cores))
    table.add_row("median ms, batch 1", _interval(found.certified_ms), _interval(found.today.latency_ms) + _uncertainty(found))
    terminal.output.print(table)


def _uncertainty(found: Checkup) -> str:
    today = found.today
    if today.trusted:
        return ""
    if today.noisy:
        return f" (not certain: other processes disturbed {today.noisy} of {today.rounds + today.noisy} rounds)"
    return f" (not certain: the {today.rounds} rounds do not agree)"


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.value:.3g} [{interval.low:.3g}, {interval.high:.3g}]"
