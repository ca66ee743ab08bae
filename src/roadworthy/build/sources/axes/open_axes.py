"""The sizes that a symbolic axis may have: its least and its largest, and the number of which it must be a multiple, found by calls.

Every symbol is tried alone, with the others at the sizes of the samples. Symbols that the model takes together only are one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from roadworthy.build.sources import inputs
from roadworthy.build.sources.axes.sized_calls import SizedCalls
from roadworthy.core.errors import SourceError
from roadworthy.core.types import Signature, SizeRange, TensorSpec

STEPS = 3
"""So many sizes in a row, on one side of the samples' own, must be taken for a multiple to hold."""
LARGEST = 2048
"""A limit above this size is not looked for."""
LONGEST_SECONDS = 0.3
"""A call that takes longer is not made twice as long."""
SMALLER, LARGER = 0.6, 1.4
"""Where the other sizes lie at which answers are compared, as shares of the samples' own."""


@dataclass(frozen=True)
class OpenAxes:
    """``specs`` with the symbols that were proven, each with its range; ``closed`` says of each other symbol why it is a number now."""

    specs: tuple[TensorSpec, ...]
    ranges: tuple[SizeRange, ...]
    closed: dict[str, str]

    def notes(self, base: Mapping[str, int]) -> tuple[str, ...]:
        """A sentence for each symbol that became a number."""
        return tuple(
            f"{symbol} is left open by the file and stays {base[symbol]}, as in the samples: the model does not take other sizes ({why})"
            for symbol, why in self.closed.items()
        )


def proof(axis: SizeRange) -> str:
    """A sentence for the certificate."""
    sizes = ", ".join(map(str, axis.sizes))
    return f"{axis.symbol} is open: the model takes {axis}; answers are compared at {sizes}, the first being that of the samples"


def find(calls: SizedCalls, count: int) -> OpenAxes:
    """The ranges of the symbols of ``calls.specs``, by calls of ``count`` samples."""
    symbols = inputs.symbols_of(calls.specs)
    ranges = {symbol: range_of(calls, (symbol,), count) for symbol in symbols}
    specs = calls.specs
    for size in dict.fromkeys(calls.base[symbol] for symbol in symbols):
        bound = tuple(symbol for symbol in symbols if ranges[symbol] is None and calls.base[symbol] == size)
        if len(bound) > 1 and (found := range_of(calls, bound, count)) is not None:
            # The model takes them at one size only: they are one axis under several names.
            ranges[bound[0]] = found
            specs = tuple(_named(spec, bound) for spec in specs)
            ranges = {symbol: one for symbol, one in ranges.items() if symbol not in bound[1:]}
    closed = {symbol: _why(calls, symbol, count) for symbol, found in ranges.items() if found is None}
    open_ = tuple(one for one in ranges.values() if one is not None)
    named = replace(calls, specs=specs)
    if failing := next((case for case in Signature(specs, (), sizes=open_).size_cases() if not named.takes(count, case)), None):
        said = ", ".join(f"{symbol} = {size}" for symbol, size in failing.items())
        closed |= {one.symbol: f"it does not take {said} at once" for one in open_}
        open_ = ()
    return OpenAxes(tuple(spec.at({symbol: calls.base[symbol] for symbol in closed}) for spec in specs), open_, closed)


def range_of(calls: SizedCalls, symbols: tuple[str, ...], count: int) -> SizeRange | None:
    """The sizes that the model takes for all of ``symbols`` at once; ``None`` where it takes that of the samples alone."""
    base = calls.base[symbols[0]]

    def takes(size: int) -> bool:
        return calls.takes(count, dict.fromkeys(symbols, size))

    for multiple in (number for number in range(1, base + 1) if base % number == 0):
        below = [size for step in range(1, STEPS + 1) if (size := base - step * multiple) > 0]
        above = [base + step * multiple for step in range(1, STEPS + 1)]
        if all(map(takes, above)) or (below and all(map(takes, below))):
            break
    else:
        return None
    least = multiple * _edge(lambda steps: takes(multiple * steps), base // multiple, 0)
    most = _largest(lambda size: takes(multiple * size), base // multiple, LARGEST // multiple)
    limit = None if most is None else most * multiple
    return SizeRange(symbols[0], _proven(base, least, limit, multiple), least, limit, multiple)


def _edge(takes: Callable[[int], bool], good: int, bad: int) -> int:
    """The number next to ``bad`` that is taken, where ``good`` is, by halving."""
    while abs(good - bad) > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if takes(middle) else (good, middle)
    return good


def _largest(takes: Callable[[int], bool], good: int, most: int) -> int | None:
    """The largest number that is taken, from ``good`` on by doubling; ``None`` where none up to ``most`` is refused."""
    while 2 * good <= most:
        started = time.monotonic()
        if not takes(2 * good):
            return _edge(takes, good, 2 * good)
        if time.monotonic() - started > LONGEST_SECONDS:
            break
        good *= 2
    return None


def _proven(base: int, least: int, most: int | None, multiple: int) -> tuple[int, ...]:
    """The sizes at which answers are compared, the samples' own first: one below and one above it, and the limits that were found."""
    steps, limit = base // multiple, most // multiple if most is not None else None
    smaller = max(least // multiple, min(steps - 1, int(steps * SMALLER)))
    larger = max(steps + 1, int(steps * LARGER))
    larger = larger if limit is None else min(limit, larger)
    return tuple(dict.fromkeys((base, smaller * multiple, larger * multiple, least, *(() if most is None else (most,)))))


def _named(spec: TensorSpec, one: tuple[str, ...]) -> TensorSpec:
    return replace(spec, shape=tuple(one[0] if size in one else size for size in spec.shape))


def _why(calls: SizedCalls, symbol: str, count: int) -> str:
    """Why the symbol is the size of the samples, in words."""
    base = calls.base[symbol]
    try:
        calls.answer(count, {symbol: base + 1})
    except SourceError as problem:
        return problem.message
    return f"it takes {base + 1} and not the sizes beside it"
