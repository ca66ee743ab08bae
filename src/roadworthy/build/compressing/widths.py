"""Which widths are worth a look: parts of every block's channels, in multiples of a vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from roadworthy.build.compress import Block, Cuttable, Widths
from roadworthy.core.host import Host

SHARES = (0.25, 0.5, 0.75)
"""The parts of the channels that are cut, from a light cut to a deep one."""
UNITS = (8, 16)
"""Channels in a vector of float32 with AVX2 and with AVX-512; ARM's have 4 and take pairs."""
FEWEST = 4
"""Blocks with fewer channels than two units keep a multiple of this."""


@dataclass(frozen=True)
class WidthChoice:
    """One choice of widths, by which about ``share`` of the channels is cut."""

    share: float
    widths: Widths


def deeper(one: Widths, other: Widths) -> bool:
    """Whether ``one`` leaves no block wider than ``other`` does: a model of those widths can be cut to these."""
    return all(name in one and one[name] <= width for name, width in other.items())


def choices(cuttable: Cuttable, host: Host) -> tuple[WidthChoice, ...]:
    """Different choices, the light cuts first: of the blocks alone, and of the channels between them as well."""
    units = UNITS if host.has("avx512f") else UNITS[:1]
    parts = (cuttable.blocks, *(((*cuttable.blocks, *cuttable.streams),) if cuttable.streams else ()))
    found: dict[tuple[tuple[str, int], ...], WidthChoice] = {}
    for share, unit, blocks in product(SHARES, units, parts):
        widths = dict(_widths(blocks, share, unit))
        if widths:
            found.setdefault(tuple(sorted(widths.items())), WidthChoice(share, widths))
    return tuple(found.values())


def _widths(blocks: tuple[Block, ...], share: float, unit: int) -> Iterator[tuple[str, int]]:
    for block in blocks:
        whole = unit if block.channels >= 2 * unit else min(FEWEST, unit)
        step = whole if whole % block.multiple == 0 else block.multiple * whole
        kept = max(step, round(block.channels * (1 - share) / step) * step)
        if kept < block.channels:
            yield block.name, kept
