"""How much of its work a step has done, told to the parent process while the step runs."""

from __future__ import annotations

import time

from roadworthy.core.isolation.usercode import Heard, Tell

SECONDS = 1.0
"""The parent is told at most this often."""


class _Parent:
    """This process's connection to its parent, and when that was last told something."""

    def __init__(self) -> None:
        self.tell: Tell | None = None
        self.last = 0.0


_parent = _Parent()


def connect(tell: Tell) -> None:
    """From now on ``tell`` carries what is done to the parent. Without it nothing is told."""
    _parent.tell = tell


def done(count: int, total: int, what: str) -> None:
    """``count`` of ``total`` (``what`` says of what) are done."""
    now = time.monotonic()
    if _parent.tell is not None and now - _parent.last >= SECONDS:
        _parent.last = now
        _parent.tell(Heard("done", f"{count:,} of {total:,} {what}"))
