"""What one client may ask of the server: how much, how long, how many at a time."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class ServerLimits:
    """Sizes in bytes, times in seconds. docs/serving.md explains each in one table.

    ``head`` is the request line with its headers; ``body`` also bounds what a compressed body unpacks to, and a gRPC message.
    ``depth`` is the nesting of JSON and ``pixels`` those of one image, whatever the bundle's contract would allow.
    ``head_seconds`` and ``body_seconds`` are for a request to arrive whole, ``idle_seconds`` for a connection between two
    requests, ``send_seconds`` for a client to take its answer. ``connections`` are open at a time in one worker.
    ``pending`` requests wait for one model in one worker, and none that would wait longer than ``wait_seconds`` by what calls
    took so far. A call of the runtime that takes ``call_seconds`` is taken for hung, and the worker replaced.
    ``drain_seconds`` are for what was accepted to be answered on the way out.
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
