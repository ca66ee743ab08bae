"""A body long enough to be read from the socket straight to where it stays, instead of piece by piece through the parser."""

from __future__ import annotations

LEAST = 64 * 1024
"""Bytes that must still be to come; for fewer, reading in pieces is cheaper."""
FIRST = 2**20
"""Bytes that are allocated at first for a longer body, and doubled as it comes: a client can name any length."""


class LongBody:
    """``length`` bytes, of which ``begin`` are there already."""

    __slots__ = ("_end", "_length", "_whole")

    def __init__(self, length: int, begin: bytes) -> None:
        self._length = length
        self._whole = bytearray(max(len(begin), min(length, FIRST)))
        self._whole[: len(begin)] = begin
        self._end = len(begin)

    def room(self) -> memoryview:
        """Where the next bytes go: at least one, and none that would not belong to this body."""
        if self._end == len(self._whole):
            self._whole.extend(bytes(min(len(self._whole), self._length - self._end)))
        return memoryview(self._whole)[self._end :]

    def filled(self, count: int) -> bytearray | None:
        """The next ``count`` bytes are there; returns the whole body where those were the last."""
        self._end += count
        return self._whole if self._end == self._length else None
