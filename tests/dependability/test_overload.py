"""Open loop at 2, 5 and 10 times the capacity: what is accepted is answered, the rest refused in the protocol's words, health answers.

How fast, and how much of the capacity is left, is recorded and held to its bounds by ``run.py``: this machine may be busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from dependability.harness import DIALECTS, JSON, Server, ask, in_hand, load, port_of, probing, quantile, record, row, workers
from roadworthy.serving.limits import DEFAULT
from support.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.slow

SECONDS = 0.008
"""What a sample costs: a worker can answer no more than one in this time, on any machine."""
WORKERS = 2


@pytest.mark.parametrize("times", [2, 5, 10])
def test_overload(serve: Callable[..., Server], worker_of_eight: Path, times: int) -> None:
    server = serve(worker_of_eight, workers=WORKERS, limits={"wait_seconds": DEFAULT.wait_seconds})
    url = server.wait_ready()
    spoken = DIALECTS["oip"]
    request = ("127.0.0.1", port_of(url), "POST", spoken.path("breaker"), JSON, spoken.body(row()))
    load().run(*request, connections=8, seconds=0.5)
    before = spent(server)
    capacity = capacity_of(request)
    worth = 2 * capacity / (spent(server) - before)
    before = spent(server)
    rate = times * WORKERS / SECONDS
    with load().start(*request, connections=600, seconds=4, rate=rate, timeout=HANG_SECONDS) as storm, ThreadPoolExecutor(16) as pool:
        ends = time.monotonic() + 3.5
        probe = pool.submit(probing, url, lambda: time.monotonic() < ends)
        told = {dialect: [pool.submit(refusal, url, dialect, ends) for _ in range(5)] for dialect in DIALECTS}
        seen = storm.wait()
        probed, codes = probe.result(), {dialect: max(one.result() for one in each) for dialect, each in told.items()}
    worth_then = seen.answers[200].count / (spent(server) - before)
    calm = until(lambda: is_calm(url), "back to normal")
    # Whatever else this machine does comes and goes: what it can do now counts too.
    capacity = (capacity + capacity_of(request)) / 2
    good, refused = seen.answers[200], seen.answers.get(503)
    record(
        "overload",
        f"x{times}",
        injected=f"Poisson arrivals at {times} times what two workers can do at most with an 8 ms model, on up to 600 connections",
        held="goodput as a share of capacity, the accepted requests' p99, how fast the rest was refused, health and metrics, the way back",
        capacity_per_second=capacity,
        goodput_share=seen.per_second / capacity,
        goodput_a_cpu_second_share=worth_then / worth,
        accepted_p99_ms=good.p99_ms,
        refused=refused.count if refused else 0,
        refused_p50_ms=refused.p50_ms if refused else None,
        refused_p99_ms=refused.p99_ms if refused else None,
        health_p50_ms=1e3 * quantile(probed.seconds, 0.5),
        health_p90_ms=1e3 * quantile(probed.seconds, 0.9),
        health_p99_ms=1e3 * quantile(probed.seconds, 0.99),
        back_to_normal_s=calm,
        lost=sum(seen.errors.values()),
        unsent=seen.unsent,
        refusals=codes,
    )
    assert {200} <= set(seen.answers) <= {200, 503} and not seen.errors, seen
    assert not probed.failures
    told_so = dict.fromkeys(DIALECTS, (503, True))
    if times > 2:
        assert refused and codes == told_so
    else:
        # A load generator that is kept waiting itself sends less than twice what they can do.
        assert all(code in ((200, False), told_so[dialect]) for dialect, code in codes.items())


def spent(server: Server) -> float:
    """Seconds of CPU that the workers have used."""
    return sum(sum(one.cpu_times()[:2]) for one in workers(server.process.pid))


def capacity_of(request: tuple[object, ...]) -> float:
    """Answers a second to as many clients as keep it busy."""
    found = load().run(*request, connections=8, seconds=2, timeout=HANG_SECONDS)
    assert not found.errors and set(found.answers) <= {200, 503}, found
    return float(found.per_second)


def refusal(url: str, dialect: str, ends: float) -> tuple[int, bool]:
    """The status with which this protocol says "later", and whether it says when."""
    with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client:
        while time.monotonic() < ends:
            answered = ask(client, row(), dialect=dialect)
            if answered.status_code != 200:
                return answered.status_code, int(answered.headers["retry-after"]) >= 1
    return 200, False


def is_calm(url: str) -> bool:
    """Whether a single request is answered again, and nothing waits."""
    with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client:
        return ask(client, row()).status_code == 200 and in_hand(url) == 0
