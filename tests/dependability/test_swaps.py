"""Swaps of the model under load, through each protocol's management: no request fails, no connection is dropped, no version
answers that was not asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dependability.harness import Server, constant_load, fresh_ask, load_newest, quantile, record, tree, workers, write_breaker
from dependability.swaps import Address, by_oip, by_oip_grpc, by_tfserving_grpc, by_torchserve, swapping, write_version

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("swaps", [12, pytest.param(50, marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    "how", ["oip", "tfserving-grpc", *(pytest.param(how, marks=pytest.mark.soak) for how in ("oip-grpc", "torchserve"))]
)
def test_swaps_under_load(serve: Callable[..., Server], tmp_path: Path, how: str, swaps: int) -> None:
    write_version(tmp_path, 1)
    server = serve(tmp_path, workers=2, grpc_port=0)
    url = server.wait_ready()
    at = Address(url, server.grpc_address)
    swap = {"oip": by_oip, "oip-grpc": by_oip_grpc, "tfserving-grpc": by_tfserving_grpc(tmp_path), "torchserve": by_torchserve}[how]
    swapping(at, tmp_path, swap, 1, 2)
    before = tree(server.process.pid)
    with constant_load(url, rate=200) as hammer:
        watch, seconds = swapping(at, tmp_path, swap, 3, swaps)
        seen = hammer.stop()
    after = tree(server.process.pid)
    record(
        "swaps",
        how,
        injected=f"{swaps} swaps by {how}, while clients of three protocols and a load generator ask, one of them by version",
        held="no failed request, no dropped connection, no answer of a version not asked for",
        answered=seen.answered + sum(watch.answered.values()),
        wrong=len(watch.wrong) + sum(seen.errors.values()),
        reconnected=seen.opened - 8,
        swap_p50_ms=1e3 * quantile(seconds, 0.5),
        swap_max_ms=1e3 * seconds[-1],
        grown_mib=(after.memory - before.memory) / 2**20,
        descriptors=after.descriptors - before.descriptors,
        threads=after.threads - before.threads,
    )
    assert not watch.wrong, "\n".join(watch.wrong[:20])
    assert not seen.errors and set(seen.answers) == {200} and seen.opened <= 8, seen
    assert min(watch.answered.values()) > 0


def test_a_new_version_that_crashes_its_process_leaves_the_old_one_serving(serve: Callable[..., Server], tmp_path: Path) -> None:
    """A runtime that crashes its process while it loads: the client is told, and no worker that serves is lost."""
    write_version(tmp_path, 1)
    server = serve(tmp_path, workers=2)
    url = server.wait_ready()
    before = workers(server.process.pid)
    write_breaker(tmp_path / "breaker" / "2", "wrecked", version="2")
    with constant_load(url, rate=100) as hammer:
        refused = load_newest(url)
        seen = hammer.stop()
    answered = fresh_ask(url).json()
    record(
        "swaps",
        "wrecked",
        injected="a new version whose runtime ends its process by SIGSEGV while it is loaded",
        held="refused; no worker lost, no request failed",
        status=refused.status_code,
        reason=refused.text[:200],
        failed=sum(seen.errors.values()),
    )
    assert 400 <= refused.status_code < 600
    assert answered["model_version"] == "1"
    assert not seen.errors and set(seen.answers) == {200}, seen
    assert set(before) <= set(workers(server.process.pid))
