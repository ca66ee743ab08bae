"""Messages of the DevTools protocol over two pipes: JSON, each ended by a zero byte; no port is opened and no package is needed."""

from __future__ import annotations

import json
import os
import select
import time
from collections import deque
from typing import Any

from roadworthy.core.errors import StepFailed

CHUNK = 2**16
MOST_EVENTS = 2000


class DevToolsPipe:
    """Calls over ``to`` and answers and events over ``back``, both descriptors of pipes, which this object closes."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        os.set_blocking(to, False)
        os.set_blocking(back, False)
        self._number = 0
        self._rest = bytearray()
        self.events: deque[dict[str, Any]] = deque(maxlen=MOST_EVENTS)
        """What the browser said unasked last, oldest first."""

    def call(self, method: str, limit_s: float, *, session: str = "", **parameters: Any) -> dict[str, Any]:
        """The result of ``method``; raises StepFailed where there is none within ``limit_s`` seconds, and for one that is an error."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        until = time.monotonic() + limit_s
        self._write(json.dumps(message).encode() + b"\0", until)
        while True:
            found = self._read(until)
            if found.get("id") != self._number:
                self.events.append(found)
                continue
            if "error" in found:
                raise StepFailed(f"the browser refused {method}: {found['error'].get('message')}")
            return dict(found["result"])

    def listen(self) -> None:
        """Take what the browser says unasked, without waiting; raises StepFailed where it ended."""
        while True:
            try:
                self.events.append(self._read(time.monotonic()))
            except PageTimeout:
                return

    def close(self) -> None:
        for descriptor in (self._to, self._back):
            os.close(descriptor)

    def _write(self, data: bytes, until: float) -> None:
        while data:
            try:
                data = data[os.write(self._to, data) :]
            except BlockingIOError:
                _wait(self._to, select.POLLOUT, until)
            except BrokenPipeError:
                raise StepFailed("the browser ended") from None

    def _read(self, until: float) -> dict[str, Any]:
        while (end := self._rest.find(b"\0")) < 0:
            _wait(self._back, select.POLLIN, until)
            try:
                got = os.read(self._back, CHUNK)
            except BlockingIOError:
                continue
            if not got:
                raise StepFailed("the browser ended")
            self._rest += got
        message = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return dict(json.loads(message))


class PageTimeout(StepFailed):
    """The browser did not answer in time: a page whose thread is blocked raises nothing by itself."""


def _wait(descriptor: int, event: int, until: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
        raise PageTimeout("the browser gave no answer in time")
