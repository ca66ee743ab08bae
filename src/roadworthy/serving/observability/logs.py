"""What the server says on standard error: one JSON object a line, written by a thread, so that a slow reader holds nobody up."""

from __future__ import annotations

import atexit
import logging
import queue
import sys
import time
from collections.abc import Callable
from logging.handlers import QueueHandler, QueueListener
from typing import TYPE_CHECKING, TextIO

import orjson

if TYPE_CHECKING:
    from roadworthy.serving.protocols import Reply
    from roadworthy.serving.transports.http.app import Request

ROOM = 10_000
"""Lines that may wait to be written; more are dropped."""

REQUESTS = logging.getLogger("roadworthy.requests")


class JsonLines(logging.Formatter):
    """Time (ISO 8601, UTC), level, logger and message, then what the record's ``fields`` say, by ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {"time": stamp(record.created), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class _Patient(QueueHandler):
    """Never waits: a log that nobody reads must not stop the server."""

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            pass

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


def configure(stream: TextIO | None = None) -> Callable[[], None]:
    """From now on everything that the package logs (warnings and worse) goes to ``stream``, standard error by default.

    What is given back writes out the lines that wait, once, for a process that does not end as Python's processes do.
    """
    lines: queue.Queue[logging.LogRecord] = queue.Queue(ROOM)
    writer = logging.StreamHandler(stream or sys.stderr)
    writer.setFormatter(JsonLines())
    listener = QueueListener(lines, writer)
    listener.start()
    atexit.register(listener.stop)
    package = logging.getLogger("roadworthy")
    package.handlers[:] = [_Patient(lines)]
    package.setLevel(logging.WARNING)
    package.propagate = False
    REQUESTS.setLevel(logging.INFO)
    return listener.stop


class RequestLog:
    """One line for every answered request."""

    def write(self, request: Request, reply: Reply, seconds: float) -> None:
        """``seconds`` are from the request's last byte to the answer; ``status`` is 499 where its client did not wait for one."""
        fields = {
            "id": request.id.decode("latin-1"),
            "protocol": request.protocol.name,
            "method": request.method,
            "path": request.path,
            "model": reply.model,
            "status": reply.status,
            "ms": round(seconds * 1000, 3),
            "bytes": len(reply.body),
            "client": request.peer,
        }
        REQUESTS.info("answered", extra={"fields": fields})


def stamp(seconds: float) -> str:
    """A moment in Unix seconds as ISO 8601 in UTC, with milliseconds."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"
