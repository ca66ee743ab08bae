"""What a person sees of an export: where it lies, how far its answers are from the original's, and what was refused."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from roadworthy.build.exporting.job import Exported
from roadworthy.cli.console import terminal


def show_exports(exports: Sequence[Exported], *, as_json: bool) -> None:
    """Print each export, or all as one JSON list."""
    if as_json:
        terminal.show_json(list(exports))
        return
    for one in exports:
        _show(one)


def _show(one: Exported) -> None:
    found = one.evidence
    timed = f", {found.ms:.3g} ms a call" if found.ms is not None else ""
    said = (
        f"{found.target}: {found.plan.name}, largest error {found.max_rel:.2g} of the output's scale ({found.gate:.2g} is allowed){timed}"
    )
    terminal.output.print(escape(f"{said}; {found.verification}."), soft_wrap=True)
    for reason in one.reasons:
        terminal.output.print(escape(f"  {reason}"), soft_wrap=True)
    for refused in one.rejected:
        terminal.output.print(escape(f"  not {refused.plan.name}: {refused.reason}"), soft_wrap=True)
    terminal.output.print(f"Export  {escape(str(one.path))}, see README.md there\n", soft_wrap=True)
