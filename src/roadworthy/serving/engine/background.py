"""Tasks that no caller awaits: a task started here is kept alive until it ends, as the event loop keeps only weak references."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_tasks: set[asyncio.Task[Any]] = set()


def start(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Run ``work`` in a task from now on."""
    task = asyncio.get_running_loop().create_task(work)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def repeat(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Call ``work`` every ``seconds``, for ever; an error is logged and the next call follows."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception:
            LOG.exception("%s failed; it is tried again", work)
