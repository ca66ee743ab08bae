"""The server's log on standard error: one JSON object a line, written by a thread, so that no request waits for a slow reader."""

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
    from roadworthy.serving.protocols.messages import Reply, Request

CAPACITY = 10_000
"""Lines that may wait to be written; more are dropped."""

REQUESTS = logging.getLogger("roadworthy.requests")


class JsonLines(logging.Formatter):
    """Time (ISO 8601, UTC), level, logger and message, then the record's ``fields``, given by ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {"time": stamp(record.created), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class _DroppingHandler(QueueHandler):
    """Drops a line where the queue is full: a log that is not read must not stop the server."""

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            pass

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


def configure(stream: TextIO | None = None) -> Callable[[], None]:
    """From now on everything that the package logs (warnings and worse) goes to ``stream``, standard error by default.

    Returns a function that writes the lines that wait, to be called once by a process that ends without Python's exit handlers.
    """
    lines: queue.Queue[logging.LogRecord] = queue.Queue(CAPACITY)
    writer = logging.StreamHandler(stream or sys.stderr)
    writer.setFormatter(JsonLines())
    listener = QueueListener(lines, writer)
    listener.start()
    atexit.register(listener.stop)
    package = logging.getLogger("roadworthy")
    package.handlers[:] = [_DroppingHandler(lines)]
    package.setLevel(logging.WARNING)
    package.propagate = False
    REQUESTS.setLevel(logging.INFO)
    return listener.stop


class RequestLog:
    """One line for every answered request."""

    def write(self, request: Request, reply: Reply, seconds: float) -> None:
        """``seconds`` are from the request's last byte to the answer; ``status`` is 499 where the client did not wait for one."""
        fields = {
            "id": request.id.decode("latin-1"),
            "protocol": request.protocol_name,
            "method": request.method,
            "path": request.path,
            "model": request.model,
            "status": reply.status,
            "ms": round(seconds * 1000, 3),
            "bytes": len(reply.body),
            "client": request.peer,
        }
        REQUESTS.info("answered", extra={"fields": fields})


def stamp(seconds: float) -> str:
    """A moment in Unix seconds as ISO 8601 in UTC, with milliseconds."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{int(seconds % 1 * 1000):03d}Z"
