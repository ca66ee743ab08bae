"""The error for an item that is too large to be prepared, whatever its kind."""

from __future__ import annotations

from roadworthy.core.errors import DataError


class ItemTooLarge(DataError):
    """A text of too many characters, or a sound of too many samples."""


def refuse_more(size: int, most: int | None, what: str) -> None:
    """Raise ItemTooLarge where ``what`` become more than ``most`` bytes."""
    if most is not None and size > most:
        raise ItemTooLarge(f"{what} become {size >> 20} MiB, more than the limit of {most >> 20}; send fewer at a time")
