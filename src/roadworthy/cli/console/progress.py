"""The progress of a command, on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from roadworthy.build.workspace import Notify, Progress
from roadworthy.cli.console import terminal

SECONDS_BETWEEN = 5.0
"""Lines about one stage come at least so far apart where standard error is not a terminal."""


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Notify]:
    """A live display; plain lines where standard error is not a terminal, one for each stage and then one every few seconds at most."""
    if quiet:
        yield lambda event: None
        return
    if not terminal.status.is_terminal:
        yield Lines(lambda line: terminal.status.print(line, markup=False, soft_wrap=True)).tell
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


class Lines:
    """Progress as plain lines, which ``write`` gets; ``clock`` gives seconds."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._seen: set[str] = set()
        self._last = 0.0

    def tell(self, event: Progress) -> None:
        """A line for the begin of a stage and for what the user's code says; for anything else where the last line is long ago."""
        if event.said:
            self._write(event.said)
        elif event.stage not in self._seen:
            self._seen.add(event.stage)
            self._print(f"{event.stage} ...")
        elif (event.total > 1 or event.text) and self._clock() - self._last >= SECONDS_BETWEEN:
            counted = f" {event.done} of {event.total}" if event.total > 1 else ""
            self._print(f"{event.stage}{counted}{event.text and f': {event.text}'}")

    def _print(self, line: str) -> None:
        self._last = self._clock()
        self._write(line)
