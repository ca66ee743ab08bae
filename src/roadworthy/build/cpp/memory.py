"""Where the values of a network lie in one piece of memory: those that are never needed at the same time share a place."""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.build.cpp.steps import Step
from roadworthy.build.cpp.values import Storage

ALIGNED = 16
"""Floats in 64 bytes."""


def planned(steps: Sequence[Step]) -> tuple[dict[Storage, int], int]:
    """The place of every storage of the steps in floats of one sample, and how many there are in all."""
    lives: dict[Storage, tuple[int, int]] = {}
    for number, step in enumerate(steps):
        for value in (*step.values, step.output):
            owner = value.storage.owner
            if not owner.pointer:
                lives[owner] = (lives.get(owner, (number, number))[0], number)
    places: dict[Storage, int] = {}
    for storage in sorted(lives, key=lambda one: -_size(one)):
        taken = sorted((places[other], _size(other)) for other in places if _meet(lives[storage], lives[other]))
        at = 0
        for start, size in taken:
            if at + _size(storage) <= start:
                break
            at = max(at, start + size)
        places[storage] = at
    return places, max((at + _size(storage) for storage, at in places.items()), default=0)


def _size(storage: Storage) -> int:
    """Floats that take as much memory, in whole cache lines. One whole number more may be read than there is."""
    size = storage.image.size // 2 + 1 if storage.integers else storage.image.size
    return -(-size // ALIGNED) * ALIGNED


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
