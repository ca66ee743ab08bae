"""Everything at once for a while: memory, descriptors and threads stay flat; the server's counters are the clients', to the request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dependability import mixed
from dependability.harness import Server, record
from dependability.swaps import Address, write_version

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seconds", [15, pytest.param(60, marks=pytest.mark.soak)])
def test_mixed_load(serve: Callable[..., Server], tmp_path: Path, seconds: int) -> None:
    write_version(tmp_path, 1)
    write_version(tmp_path, 2)
    server = serve(tmp_path, workers=2, grpc_port=0)
    at = Address(server.wait_ready(), server.grpc_address)
    judge(at, tmp_path, server.process.pid, seconds, room=60 * 2**20)


def judge(at: Address, models: Path, server: int, seconds: float, *, room: int, long: bool = False) -> None:
    """Runs it, records the figures, and holds them against what must be: ``room`` are the bytes that memory may wander by."""
    before = mixed.served(at.url)
    books, samples = mixed.run(at, models, server, seconds, every=max(0.5, seconds / 500))
    counted = mixed.served(at.url) - before
    grown = {what: mixed.growth(samples, what) for what in ("memory", "descriptors", "threads")}
    ours = {key: count for key, count in counted.items() if key[0] in {protocol for protocol, _ in books.answered}}
    record(
        "mixed",
        "load",
        long=long,
        injected=f"{seconds:g} s of all protocols, {books.swaps} swaps, malformed requests, {books.hung_up} clients that hang up",
        held="memory, descriptors and threads flat; the server's counters equal the clients'",
        answered=sum(books.answered.values()),
        swaps=books.swaps,
        wrong=len(books.wrong),
        memory_mib=samples[-1].memory / 2**20,
        memory_growth_mib=grown["memory"] / 2**20,
        descriptor_growth=grown["descriptors"],
        thread_growth=grown["threads"],
        unaccounted=sum(abs(ours.get(key, 0) - books.answered.get(key, 0)) for key in {*ours, *books.answered}),
    )
    assert not books.wrong, "\n".join(books.wrong[:20])
    assert ours == dict(books.answered)
    assert grown["memory"] < room
    assert abs(grown["descriptors"]) <= 10 and abs(grown["threads"]) <= 4, grown
