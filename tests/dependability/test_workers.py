"""A worker that is killed, stopped, hangs, runs out of memory or cannot start: the others go on, and another one replaces it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from dependability.harness import (
    DEVOUR,
    EXIT,
    HANG,
    HANG_LOCKED,
    SEGFAULT,
    Server,
    ask,
    constant_load,
    fresh_ask,
    lives,
    load_newest,
    loading,
    outcome,
    record,
    row,
    workers,
    write_breaker,
)
from support.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.slow


def answers(url: str) -> bool:
    """Whether a request on a fresh connection is answered."""
    return outcome(lambda: fresh_ask(url)) == "200"


def full(server: Server, count: int, without: int) -> bool:
    """Whether ``count`` workers run, the one with the id ``without`` not among them, and the server is ready."""
    here = [one.pid for one in workers(server.process.pid)]
    return (
        len(here) == count
        and without not in here
        and httpx.get(f"{server.urls[0]}/v2/health/ready", timeout=HANG_SECONDS).status_code == 200
    )


@pytest.mark.parametrize("deed", ["SIGKILL", "SIGSEGV", "SIGSTOP"])
def test_a_worker_gets_a_signal_under_load(serve: Callable[..., Server], breaker: Path, deed: str) -> None:
    """Its requests in flight fail with a closed connection, no others fail, and none waits for ever."""
    server = serve(breaker, workers=2, limits={"call_seconds": 5.0})
    url = server.wait_ready()
    victim = workers(server.process.pid)[0].pid
    with constant_load(url) as hammer:
        time.sleep(1)
        os.kill(victim, getattr(signal, deed))
        back = until(lambda: full(server, 2, victim), "another worker replaces it")
        time.sleep(0.5)
        seen = hammer.stop()
    record(
        "worker",
        deed.lower(),
        injected=f"{deed} to one of two workers, 8 clients at work",
        held="only requests in flight there failed; replaced",
        failed=sum(seen.errors.values()),
        kinds=dict(seen.errors),
        answered=seen.answered,
        replaced_after_s=back,
    )
    assert set(seen.answers) == {200}
    assert set(seen.errors) <= {"closed", "reset"} and sum(seen.errors.values()) <= 8, seen.errors


@pytest.mark.parametrize(("name", "deed"), [("exit", EXIT), ("segfault", SEGFAULT), ("hang", HANG), ("hang with the lock", HANG_LOCKED)])
def test_a_request_that_ends_its_worker(serve: Callable[..., Server], steady: Path, name: str, deed: int) -> None:
    """The request fails within its time limit; the other worker answers the next ones at once."""
    server = serve(steady, workers=2, limits={"call_seconds": 1.0})
    url = server.wait_ready()
    before = {one.pid for one in workers(server.process.pid)}
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=url, timeout=HANG_SECONDS) as client:
        begun = time.monotonic()
        poison = pool.submit(outcome, lambda: ask(client, row(deed)))
        time.sleep(0.2)
        until(lambda: answers(url), "the other worker answers")
        what = poison.result()
        told = time.monotonic() - begun
    back = until(lambda: full(server, 2, 0) and {one.pid for one in workers(server.process.pid)} != before, "another worker replaces it")
    record(
        "worker",
        name.replace(" ", "-"),
        injected=f"a request on which the runtime does this to its process: {name}",
        held="told so, the others go on, the worker is replaced",
        told=what,
        told_after_s=told,
        replaced_after_s=back,
    )
    assert what in ("500", "503", "504", "RemoteProtocolError", "ReadError")


@pytest.fixture
def small_memory() -> Iterator[Callable[[int, int], None]]:
    """Puts a process and its later children under a memory limit in bytes; needs the right to make control groups."""
    made: list[Path] = []

    def limit(pid: int, size: int) -> None:
        second = Path("/sys/fs/cgroup/cgroup.controllers").exists()
        group = Path("/sys/fs/cgroup" if second else "/sys/fs/cgroup/memory") / f"roadworthy-{os.getpid()}"
        try:
            group.mkdir()
            made.append(group)
            (group / ("memory.max" if second else "memory.limit_in_bytes")).write_text(str(size))
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as problem:
            pytest.skip(f"no control group can be made here: {problem}")

    yield limit
    for group in made:
        for _ in range(100):
            try:
                group.rmdir()
                break
            except OSError:
                for pid in (group / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
                time.sleep(0.05)


def test_the_kernel_ends_a_worker_that_takes_all_memory(
    serve: Callable[..., Server], breaker: Path, small_memory: Callable[[int, int], None]
) -> None:
    server = serve(breaker, workers=2)
    url = server.wait_ready()
    victim = workers(server.process.pid)[0]
    small_memory(victim.pid, victim.memory_info().rss + 200 * 2**20)
    codes: list[str] = []
    with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client:
        # The server decides which worker gets a connection; the other one has memory enough.
        begun = time.monotonic()
        while lives(victim) and time.monotonic() - begun < HANG_SECONDS:
            codes.append(outcome(lambda: fresh_ask(url, row(DEVOUR))))
        until(lambda: answers(url), "the other worker answers")
        assert client.get("/v2/health/live").status_code == 200
    back = until(lambda: full(server, 2, victim.pid), "another worker replaces it")
    record(
        "worker",
        "out-of-memory",
        injected="a request that takes all memory, in a control group of 200 MiB",
        held="told so, the others go on, the worker is replaced",
        told=codes,
        replaced_after_s=back,
    )
    # The other worker responds 503 at its own limit; the connection of the one in the group ends with its process.
    assert set(codes) <= {"RemoteProtocolError", "ReadError", "503"} and set(codes) != {"503"}, codes


def test_a_memory_limit_of_the_process(serve: Callable[..., Server], breaker: Path) -> None:
    """Under RLIMIT_AS an allocation fails: the request is refused with a sentence, and the worker goes on."""
    server = serve(breaker, workers=1)
    url = server.wait_ready()
    (worker,) = workers(server.process.pid)
    room = worker.memory_info().vms + 400 * 2**20
    worker.rlimit(psutil.RLIMIT_AS, (room, room))
    with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client:
        refused = ask(client, row(DEVOUR))
        assert refused.status_code == 503 and "memory" in refused.json()["error"]
        assert ask(client, row()).status_code == 200
    assert [one.pid for one in workers(server.process.pid)] == [worker.pid]
    record(
        "worker",
        "memory-limit",
        injected="a request that takes all memory, under RLIMIT_AS",
        held="503 with a sentence; the worker lives",
        told=refused.json()["error"],
    )


def test_a_crash_loop_backs_off_and_says_why(serve: Callable[..., Server], tmp_path: Path, doom: Path) -> None:
    """Workers that cannot start are tried at growing intervals; the server is live, not ready, and ready again when the cause is gone."""
    server = serve(write_breaker(tmp_path / "fragile", "fragile"), workers=2)
    url = server.wait_ready()
    doom.touch()
    for one in workers(server.process.pid):
        one.kill()
    seen: set[int] = set()
    begun = time.monotonic()
    reason, ready = "", False
    while time.monotonic() - begun < 6 or len(seen) < 3 or ready:
        assert time.monotonic() - begun < HANG_SECONDS, "new workers are never started"
        seen |= {one.pid for one in workers(server.process.pid)}
        live = httpx.get(f"{url}/v2/health/live", timeout=HANG_SECONDS)
        assert live.status_code == 200
        ready = httpx.get(f"{url}/v2/health/ready", timeout=HANG_SECONDS).status_code == 200
        if not ready:
            refused = fresh_ask(url)
            assert refused.status_code == 503 and refused.headers["retry-after"]
            reason = refused.json()["error"]
        time.sleep(0.05)
    doom.unlink()
    back = until(lambda: answers(url), "well again")
    record(
        "worker",
        "crash-loop",
        injected="two workers killed, and new ones end while they load their model, for 6 s",
        held="live, not ready, 503 with its reason, ever rarer starts; well again when the cause is gone",
        starts=len(seen),
        reason=reason,
        back_after_s=back,
    )
    assert 2 <= len(seen) <= 8
    assert "worker" in reason, reason


def test_a_worker_is_replaced_while_a_new_version_hangs(serve: Callable[..., Server], tmp_path: Path) -> None:
    """A bundle whose opening hangs delays the next command and nothing else."""
    write_breaker(tmp_path / "breaker" / "1")
    server = serve(tmp_path, workers=2)
    url = server.wait_ready()
    first, second = workers(server.process.pid)
    write_breaker(tmp_path / "breaker" / "2", "late600", version="2")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(load_newest, url)
        until(lambda: loading(url, "2"), "the new version is being loaded")
        first.kill()
        time.sleep(2)
        second.kill()
        back = until(lambda: answers(url), "another worker replaces it")
        server.kill()
        with pytest.raises(httpx.TransportError):
            asked.result()
    record(
        "worker",
        "beside-a-load",
        injected="both workers killed, one after the other, while a new version is being opened that does not come to an end",
        held="replaced all the same",
        replaced_after_s=back,
    )


def in_service(url: str) -> int:
    """How many workers answer."""
    try:
        text = httpx.get(f"{url}/metrics", timeout=HANG_SECONDS).text
    except httpx.HTTPError:
        return 0
    return sum(line.startswith("roadworthy_worker_threads{") for line in text.splitlines())


def kill_one(server: Server, number: int) -> None:
    """Kill one of the workers; those that were killed before may not be back yet."""
    until(lambda: bool(workers(server.process.pid)), "a worker runs")
    running = workers(server.process.pid)
    running[number % len(running)].kill()


def test_a_worker_is_killed_during_swaps(serve: Callable[..., Server], tmp_path: Path) -> None:
    """Every load succeeds or is refused, and afterwards all workers answer with the same version."""
    write_breaker(tmp_path / "breaker" / "1", "plus1")
    server = serve(tmp_path, workers=2)
    url = server.wait_ready()
    told = []
    for number in range(2, 8):
        write_breaker(tmp_path / "breaker" / str(number), f"plus{number}", version=str(number))
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(load_newest, url)
            time.sleep(0.02 * number)
            kill_one(server, number)
            told.append(outcome(asked.result))
        until(lambda: answers(url), "a worker answers")
    until(lambda: in_service(url) == 2, "both are back")
    seen = {fresh_ask(url).json()["model_version"] for _ in range(20)}
    record(
        "worker",
        "amid-swaps",
        injected="a worker killed in the middle of each of six loads",
        held="every load ends with an answer or a closed connection; then all workers answer by one version",
        told=told,
        versions=sorted(seen),
    )
    assert len(seen) == 1, seen


def test_a_client_that_keeps_its_connection_reaches_the_next_worker(serve: Callable[..., Server], breaker: Path) -> None:
    """A client that got 503 while no worker ran is answered at a later try, even if its library keeps connections open."""
    server = serve(breaker, workers=1)
    url = server.wait_ready()
    codes = []
    with httpx.Client(base_url=url, timeout=HANG_SECONDS) as client:
        workers(server.process.pid)[0].kill()
        begun = time.monotonic()
        while time.monotonic() - begun < HANG_SECONDS and (not codes or codes[-1] != "200"):
            codes.append(outcome(lambda: ask(client, row())))
            time.sleep(0.05)
    assert codes[-1] == "200" and set(codes) <= {"503", "200", "RemoteProtocolError", "ReadError"}, codes


def test_no_worker_is_left_when_the_supervisor_is_killed(serve: Callable[..., Server], breaker: Path) -> None:
    server = serve(breaker, workers=2)
    server.wait_ready()
    below = psutil.Process(server.process.pid).children(recursive=True)
    server.process.kill()
    until(lambda: not any(map(lives, below)), "the workers end")
    record("worker", "no-supervisor", injected="SIGKILL to the supervisor", held="its workers end by themselves", workers=len(below))
