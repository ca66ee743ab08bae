"""Which channels go together: every channel of every layer has a number, and numbers are tied where the model combines the two."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from roadworthy.core.types import Array

FIXED = 0
"""The number of every channel that no layer of the model makes: it stays."""


class Ties:
    """Sets of channels that grow together (union-find); a set can have an obstacle, the reason why it stays."""

    def __init__(self) -> None:
        self._parent = [FIXED]
        self._obstacles: list[tuple[Array, str]] = []

    def new(self, count: int) -> Array:
        """The numbers of ``count`` more channels, int64 [count]."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def tie(self, one: Array, other: Array, reason: str) -> None:
        """Each channel of ``one`` is combined with the one of ``other`` at the same place; with one that is fixed, that is an obstacle."""
        for channels, others in ((one, other), (other, one)):
            self.stop(channels[others == FIXED], reason)
        if not np.array_equal(one, other):
            for a, b in zip(one.tolist(), other.tolist(), strict=True):
                if FIXED not in (a, b):
                    self._parent[self._find(a)] = self._find(b)

    def stop(self, channels: Array, reason: str) -> None:
        """The ``channels`` cannot be cut, for a ``reason`` in words after the name of the layer that makes them."""
        if np.any(channels != FIXED):
            self._obstacles.append((np.unique(channels[channels != FIXED]), reason))

    def sets(self) -> Array:
        """The set of each channel, as the number of one of its members: int64 [channels]."""
        return np.array([self._find(number) for number in range(len(self._parent))])

    def obstacle(self, channels: Array) -> str:
        """Why one of the ``channels`` themselves, not of those tied to them, cannot be cut; empty where they can."""
        return next((reason for stopped, reason in self._obstacles if np.isin(channels, stopped).any()), "")

    def stopped(self) -> Iterable[int]:
        """Every channel with an obstacle."""
        return (number for stopped, _ in self._obstacles for number in stopped.tolist())

    def _find(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number
