"""What one client may ask of the server: how much, how long, how many at a time."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """``body`` and ``head`` in bytes (``head``: request line and headers), ``body_seconds`` for a body to arrive,
    ``pending`` requests in hand for one model, ``drain_seconds`` for what was accepted to be answered on the way out.

    The depth of JSON is bounded by its parser (1024), the pixels of an image by the bundle's contract.
    """

    body: int = 16 * MIB
    head: int = 64 * 1024
    body_seconds: float = 30.0
    pending: int = 64
    drain_seconds: int = 30


DEFAULT = Limits()
