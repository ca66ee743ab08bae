"""The limits on what clients may send and how long they may take."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class ServerLimits:
    """Sizes in bytes, times in seconds; a table in docs/serving.md explains each.

    ``head`` is the request line with its headers. ``body`` bounds the body of a request, what a compressed body becomes, and a gRPC
    message. ``depth`` is the nesting of JSON, ``pixels`` those of one image, even where the bundle allows more.
    A request must arrive within ``head_seconds`` and ``body_seconds``; a connection may be idle for ``idle_seconds`` between two requests;
    a client must take its response within ``send_seconds``. One worker has at most ``connections`` open at a time.
    At most ``pending`` requests wait for one model in one worker, and none that would wait longer than ``wait_seconds`` by what calls
    took so far. A call of the runtime that takes ``call_seconds`` is taken for hung, and its worker is replaced.
    When the server stops, accepted requests are answered within ``drain_seconds``.
    """

    body: int = 16 * MIB
    head: int = 64 * 1024
    depth: int = 32
    pixels: int = 25_000_000
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    idle_seconds: float = 75.0
    send_seconds: float = 30.0
    connections: int = 1024
    pending: int = 256
    wait_seconds: float = 2.0
    call_seconds: float = 60.0
    drain_seconds: float = 30.0


DEFAULT = ServerLimits()
