"""Untrusted FlatBuffers, read in place: every offset is checked before it is followed, and nothing is copied.

The layout is flatbuffers.dev/internals: a table begins with the distance back to its vtable, which holds the offset of each field.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_UINT32, _INT32, _UINT16 = struct.Struct("<I"), struct.Struct("<i"), struct.Struct("<H")
MOST = 2**24
"""Entries of a list of tables or numbers, at most."""


@dataclass(frozen=True)
class FlatTable:
    """The table at ``at`` in ``data``; any method raises ValueError or struct.error where the bytes are damaged."""

    data: memoryview
    at: int

    def scalar(self, field: int, form: str, otherwise: float = 0) -> int | float:
        """The number in ``field``, in struct's notation."""
        found = self._field(field)
        value: int | float = struct.unpack_from(f"<{form}", self.data, found)[0] if found else otherwise
        return value

    def table(self, field: int) -> FlatTable | None:
        """The table that ``field`` leads to."""
        found = self._field(field)
        return FlatTable(self.data, self._follow(found)) if found else None

    def tables(self, field: int) -> tuple[FlatTable, ...]:
        """The tables of the list in ``field``."""
        start, count = self._list(field, 4)
        return tuple(FlatTable(self.data, self._follow(start + 4 * number)) for number in range(count))

    def numbers(self, field: int, form: str) -> tuple[int | float, ...]:
        """The numbers of the list in ``field``."""
        start, count = self._list(field, struct.calcsize(f"<{form}"))
        return struct.unpack_from(f"<{count}{form}", self.data, start) if count else ()

    def length(self, field: int) -> int:
        """How many bytes the list in ``field`` holds."""
        return self._list(field, 1, most=len(self.data))[1]

    def raw(self, field: int) -> memoryview:
        """The bytes of the list in ``field``, not copied."""
        start, count = self._list(field, 1, most=len(self.data))
        return self.data[start : start + count]

    def floats(self, field: int) -> tuple[float, ...]:
        """The float32 numbers that the list of bytes in ``field`` holds."""
        start, count = self._list(field, 1)
        return struct.unpack_from(f"<{count // 4}f", self.data, start)

    def text(self, field: int) -> str:
        """The string in ``field``, empty where there is none."""
        start, count = self._list(field, 1)
        return bytes(self.data[start : start + count]).decode(errors="replace")

    def _field(self, number: int) -> int:
        vtable = self.at - _INT32.unpack_from(self.data, self._checked(self.at))[0]
        size = _UINT16.unpack_from(self.data, self._checked(vtable))[0]
        if 4 + 2 * number + 2 > size:
            return 0
        offset = _UINT16.unpack_from(self.data, self._checked(vtable + 4 + 2 * number))[0]
        return self._checked(self.at + offset) if offset else 0

    def _list(self, field: int, width: int, most: int = MOST) -> tuple[int, int]:
        found = self._field(field)
        if not found:
            return 0, 0
        start = self._follow(found)
        count = _UINT32.unpack_from(self.data, start)[0]
        if count > most or start + 4 + count * width > len(self.data):
            raise ValueError(f"a list claims {count} entries")
        return start + 4, count

    def _follow(self, at: int) -> int:
        return self._checked(at + _UINT32.unpack_from(self.data, self._checked(at))[0])

    def _checked(self, at: int) -> int:
        # struct counts a negative offset from the end of the buffer; an offset in a file never does.
        if not 0 <= at < len(self.data):
            raise ValueError(f"an offset leads to {at} of {len(self.data)} bytes")
        return at


def root(data: memoryview) -> FlatTable:
    """The table that the file begins with."""
    return FlatTable(data, FlatTable(data, 0)._follow(0))
