"""A storm of requests that mean no good: each gets its 4xx and one sentence, no worker falls, memory stays where it was.

That each protocol reads what it is sent, byte by byte, is for the protocols' own tests; here many of them come at once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from dependability.harness import Server, ask, record, row, tree, workers
from dependability.hostile import Hostile, requests
from support.models import bundles
from support.servers.serving import PICTURE, SEES
from support.waiting import HANG_SECONDS

pytestmark = pytest.mark.slow

ROOM = 400 * 2**20
"""Bytes that a storm on eight connections may take for the moment: bodies of up to 16 MiB are being read on each, and read as JSON."""


def test_a_storm(serve: Callable[..., Server], breaker: Path, tmp_path: Path) -> None:
    picture = bundles.write_bundle(tmp_path / "picture", name="picture", signature=PICTURE, contract=SEES)
    server = serve(breaker, picture, workers=2)
    url = server.wait_ready()
    before, calm = workers(server.process.pid), tree(server.process.pid)
    peak = 0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, tree(server.process.pid).memory)

    watcher = threading.Thread(target=watch)
    watcher.start()
    storm = requests() * 2
    wrong: list[str] = []
    codes: Counter[int] = Counter()

    def send(bad: Hostile) -> None:
        try:
            answered = httpx.request(bad.method, url + bad.path, content=bad.body, headers=bad.headers, timeout=HANG_SECONDS)
        except httpx.TransportError as problem:
            wrong.append(f"{bad.what} at {bad.path}: {problem!r}")
            return
        codes[answered.status_code] += 1
        if not 400 <= answered.status_code < 500:
            wrong.append(f"{bad.what} at {bad.path}: {answered.status_code} {answered.text[:200]}")
        elif not sentence(answered):
            wrong.append(f"{bad.what} at {bad.path}: no sentence in {answered.text[:200]!r}")

    with ThreadPoolExecutor(8) as pool, httpx.Client(base_url=url) as client:
        for _ in pool.map(send, storm):
            pass
        over.set()
        watcher.join()
        assert ask(client, row()).status_code == 200
    after = tree(server.process.pid)
    record(
        "input",
        "storm",
        injected=f"{len(storm)} requests of {len(storm) // 2} kinds at once: JSON and gzip bombs, images of gigapixels, overflowing shapes",
        held="4xx with a sentence each, no worker lost, memory bounded",
        codes=dict(sorted(codes.items())),
        peak_mib=(peak - calm.memory) / 2**20,
        kept_mib=(after.memory - calm.memory) / 2**20,
    )
    assert not wrong, "\n".join(sorted(set(wrong)))
    assert workers(server.process.pid) == before
    assert peak - calm.memory < ROOM


def sentence(answered: httpx.Response) -> bool:
    """Whether the refusal says why, in the protocol's own member."""
    if answered.request.method == "HEAD":
        return True
    try:
        said = answered.json()
    except ValueError:
        return False
    return isinstance(said, dict) and bool(said.get("error") or said.get("message"))
