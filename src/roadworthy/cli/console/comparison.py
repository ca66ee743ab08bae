"""A comparison: whether the models are the same function, and what each form of each costs."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from roadworthy.cli.console import terminal
from roadworthy.core.comparison import Comparison, Form, Side


def show_comparison(comparison: Comparison, page: Path | None, *, as_json: bool) -> None:
    """Whether the models are the same function, and why not; then what every form of each costs."""
    if as_json:
        terminal.show_json(comparison)
        return
    for pairing in comparison.pairings:
        colour = "green" if pairing.same else "red"
        terminal.output.print(
            f"[bold {colour}]{'the same function' if pairing.same else 'not the same function'}[/]  {escape(pairing.verdict)}"
        )
        if not pairing.same and pairing.first:
            terminal.output.print(f"first to differ  {escape(pairing.first)}")
        for words in () if pairing.same else pairing.explanations:
            terminal.output.print(f"why              {escape(words)}")
        for words in pairing.notes:
            terminal.output.print(f"[dim]note             {escape(words)}[/]")
        terminal.output.print(
            f"[dim]layers           {len(pairing.layers)} pairs matched, {sum(pair.same for pair in pairing.layers)} agree[/]"
        )
    for side in comparison.sides:
        if side.forms:
            terminal.output.print(_forms(side))
        for entry in side.failed:
            terminal.output.print(f"[red]failed[/] {escape(entry.plan.name)} [dim]({entry.stage})[/]: {escape(entry.reason)}")
        for words in side.notes:
            terminal.output.print(f"[dim]{escape(words)}[/]")
    if page is not None:
        terminal.output.print(f"\nPage  {page}", soft_wrap=True)


def _forms(side: Side) -> Table:
    table = Table(title=f"{side.name}, {side.framework}, {side.parameters:,} parameters", title_justify="left", box=SIMPLE)
    table.add_column("form", no_wrap=True)
    headings = ("1: ms", "x orig.", "8: ms", "32: ms", "samples/s", "import", "load", "first 1", "8", "32", "made s", "MB")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    original = side.forms[0]
    for form in side.forms:
        table.add_row(*_form(form, form is original), style="bold" if form is original else "cyan" if form.family == "shared" else None)
    if not all(one.trusted and one.paired for form in side.forms for one in form.steady):
        table.caption = "? too few undisturbed rounds, or rounds that do not agree"
    return table


def _form(form: Form, original: bool) -> tuple[str, ...]:
    firsts = {one.batch: one.ms for one in form.first_calls}
    single = form.at(1)

    def warm(batch: int) -> str:
        one = form.at(batch)
        return "-" if one is None else f"{terminal.mark(one.trusted)}{terminal.short(one.ms.value)}"

    return (
        f"{form.plan.name}{' (orig.)' if original else ''}",
        warm(1),
        f"{terminal.mark(single.paired)}{terminal.short(single.ratio.value)}" if single and single.ratio else "-",
        warm(8),
        warm(32),
        f"{terminal.mark(form.trusted)}{form.throughput:.0f} at {form.best_batch}",
        f"{form.import_ms / 1000:.2f}",
        f"{form.load_ms / 1000:.2f}",
        *(terminal.short(firsts[batch]) if batch in firsts else "-" for batch in (1, 8, 32)),
        f"{form.made_s:.1f}",
        f"{form.memory_mb:.0f}",
    )
