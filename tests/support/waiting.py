"""Waiting for a condition. No test fails because it is slow: the only limit here ends what never happens."""

from __future__ import annotations

import time
from collections.abc import Callable

from roadworthy.serving.limits import ServerLimits

HANG_SECONDS = 120.0
"""Seconds after which something counts as hanging, even on a busy machine."""

PATIENT = ServerLimits(wait_seconds=HANG_SECONDS)
"""By default a server refuses a request that would wait for two seconds, which is common on a busy machine; only tests of that want it."""


def until(condition: Callable[[], bool], what: str) -> float:
    """Wait for ``condition``; the seconds it took. Fails, saying ``what``, where it never holds."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < HANG_SECONDS, f"never: {what}"
        time.sleep(0.02)
    return time.monotonic() - begun


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether ``condition`` comes to hold."""
    begun = time.monotonic()
    while not (held := condition()) and time.monotonic() - begun < HANG_SECONDS:
        time.sleep(0.01)
    return held
