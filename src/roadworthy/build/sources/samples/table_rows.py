"""Which rows of a table an input chooses, seen in one call: the identifiers that reach the table are the numbers that were fed.

Values are compared, and not the way between the two: a cast, a reshape or a clip leaves them as they are.
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.types import Array, Arrays

FEWEST = 4
"""Fewer numbers than these are the same by chance."""


class TableRows:
    """What each input of ``feeds`` may hold, as far as ``see`` was told of tables; of several tables the smallest counts."""

    def __init__(self, feeds: Arrays) -> None:
        self._feeds = {name: array.reshape(-1) for name, array in feeds.items() if array.dtype.kind in "iu" and array.size >= FEWEST}
        self.found: dict[str, int] = {}

    def see(self, identifiers: Array, rows: int) -> None:
        """``identifiers`` chose among the ``rows`` of a table. Where two inputs hold them, neither is known to be meant."""
        flat = identifiers.reshape(-1)
        same = [name for name, array in self._feeds.items() if array.shape == flat.shape and bool(np.all(array == flat))]
        if len(same) == 1:
            self.found[same[0]] = min(rows, self.found.get(same[0], rows))
