"""The progress of a command, on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from roadworthy.build.workspace import Notify, Progress
from roadworthy.cli.console import terminal


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Notify]:
    """A live display; one plain line a stage where standard error is not a terminal."""
    if quiet:
        yield lambda event: None
        return
    if not terminal.status.is_terminal:
        seen: list[str] = []

        def line(event: Progress) -> None:
            if event.said:
                terminal.status.print(event.said, markup=False, soft_wrap=True)
            elif event.stage not in seen:
                seen.append(event.stage)
                terminal.status.print(f"{event.stage} ...")

        yield line
        return
    columns = (SpinnerColumn(), TextColumn("{task.description:<12}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
    # Redrawn seldom, because the display uses the CPU that the candidates are timed on.
    with Bars(*columns, TextColumn("[dim]{task.fields[text]}"), console=terminal.status, refresh_per_second=2) as bars:
        tasks: dict[str, object] = {}

        def update(event: Progress) -> None:
            if event.said:
                bars.console.print(event.said, markup=False, soft_wrap=True)
                return
            if event.stage not in tasks:
                tasks[event.stage] = bars.add_task(event.stage, text="")
            bars.update(tasks[event.stage], completed=event.done, total=event.total, text=escape(event.text))  # type: ignore[arg-type]

        yield update
