"""A real server whose parts fail at awkward moments: loads without a waiting client, processes killed amid them, files that vanish."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from support.models import bundles
from support.servers.serving import Server, json_request, write_echo
from support.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.slow

Serve = Callable[..., Server]
ASK = json_request({"x": np.ones((1, 12), np.float32)})
ECHO = json_request({"x": np.zeros((1, 2), np.float32)})


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Version 1 of a quick model, and of one that takes a second to load."""
    bundles.write_bundle(tmp_path / "models" / "linear" / "1")
    return tmp_path / "models"


def late(models: Path) -> Path:
    return write_echo(models / "late" / "1", "late", name="late")


def post(url: str, kind: str, name: str = "linear", *, timeout: float = HANG_SECONDS, **rest: Any) -> httpx.Response:
    return httpx.post(f"{url}/manage", json={"type": kind, "name": name, **rest}, timeout=timeout)


def state(url: str, name: str, version: str = "1") -> str | None:
    try:
        catalogue = httpx.get(f"{url}/manage", timeout=HANG_SECONDS).json()
    except httpx.TransportError:
        return None
    found = [
        one["state"] for served in catalogue["models"] if served["name"] == name for one in served["versions"] if one["version"] == version
    ]
    return found[0] if found else None


def answers(url: str, name: str = "linear", body: Any = ASK) -> bool:
    """Whether a fresh connection gets an answer."""
    try:
        return httpx.post(f"{url}/v2/models/{name}/infer", json=body, timeout=HANG_SECONDS).status_code == 200
    except httpx.TransportError:
        return False


def workers(url: str) -> set[int]:
    """The processes that answer, as the metrics name them."""
    lines = httpx.get(f"{url}/metrics", timeout=HANG_SECONDS).text.splitlines()
    return {int(line.split('pid="')[1].partition('"')[0]) for line in lines if line.startswith("roadworthy_worker_threads{")}


def children(server: Server) -> set[int]:
    return {child.pid for child in psutil.Process(server.process.pid).children() if child.status() != psutil.STATUS_ZOMBIE}


def test_a_load_is_completed_after_its_client_has_disconnected(serve: Serve, models: Path) -> None:
    url = serve(models, workers=2).wait_ready()
    late(models)
    with pytest.raises(httpx.TimeoutException):
        post(url, "Load", "late", timeout=0.5)
    assert state(url, "late") in ("loading", "ready")
    until(lambda: state(url, "late") == "ready", "the load goes on")
    assert answers(url, "late", ECHO)


def test_sigterm_amid_a_load(serve: Serve, models: Path) -> None:
    server = serve(models, workers=2)
    url = server.wait_ready()
    late(models)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(post, url, "Load", "late")
        until(lambda: state(url, "late") == "loading", "the load begins")
        assert server.stop() == 0
        answered = loading.result(HANG_SECONDS)
    assert answered.status_code in (200, 409, 503), answered.text
    assert "Traceback" not in server.errors()


def test_a_worker_killed_amid_a_load_is_replaced_by_one_that_has_it(serve: Serve, models: Path) -> None:
    server = serve(models, workers=2)
    url = server.wait_ready()
    late(models)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(post, url, "Load", "late")
        until(lambda: state(url, "late") == "loading", "the load begins")
        victim = max(workers(url))
        os.kill(victim, signal.SIGKILL)
        try:
            assert loading.result(HANG_SECONDS).status_code == 200
        except httpx.TransportError:
            pass  # it went by the worker that was killed
    until(lambda: state(url, "late") == "ready", "the load comes to its end")
    until(lambda: len(workers(url)) == 2 and victim not in workers(url), "another takes its place")
    for _ in range(10):
        assert answers(url, "late", ECHO) and answers(url)


def test_the_trial_process_may_end_between_two_bundles(serve: Serve, models: Path) -> None:
    server = serve(models, workers=1)
    url = server.wait_ready()
    for version in ("2", "3"):
        bundles.write_bundle(models / "linear" / version, version=version)
        loaded = post(url, "Load")
        assert loaded.status_code == 200 and state(url, "linear", version) == "ready", loaded.text
        (spare,) = children(server) - workers(url)
        os.kill(spare, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(spare)] if psutil.pid_exists(spare) else [], timeout=HANG_SECONDS)
    assert answers(url)


def test_a_worker_that_cannot_start_is_tried_again(serve: Serve, models: Path, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    rights = '[tokens.all]\ntoken = "a long random text"\nrights = ["inference", "management", "metrics"]\n'
    tokens.write_text(rights)
    tokens.chmod(0o600)
    server = serve(models, workers=1, tokens=str(tokens))
    url = server.wait_ready()
    asked = {"json": ASK, "headers": {"authorization": "Bearer a long random text"}, "timeout": HANG_SECONDS}
    assert httpx.post(f"{url}/v2/models/linear/infer", **asked).status_code == 200  # type: ignore[arg-type]
    tokens.write_text("[tokens")
    (worker,) = children(server)
    os.kill(worker, signal.SIGKILL)
    until(lambda: b"is not a valid file of tokens" in httpx.post(f"{url}/v2/models/linear/infer", **asked).content, "it says why")  # type: ignore[arg-type]
    assert httpx.get(f"{url}/v2/health/live").status_code == 200
    tokens.write_text(rights)
    until(lambda: httpx.post(f"{url}/v2/models/linear/infer", **asked).status_code == 200, "it comes back")  # type: ignore[arg-type]
    assert server.stop() == 0


def test_a_bundle_that_vanished_does_not_keep_the_others_from_coming_back(serve: Serve, models: Path) -> None:
    write_echo(models / "echo" / "1", "echo")
    server = serve(models, workers=1)
    server.count = 2
    url = server.wait_ready()
    assert answers(url) and answers(url, "echo", ECHO)
    shutil.rmtree(models / "echo")
    (worker,) = children(server)
    os.kill(worker, signal.SIGKILL)
    until(lambda: answers(url), "the other is served again")
    assert state(url, "echo") == "failed" and not answers(url, "echo", ECHO)


def test_a_bundle_that_ends_the_only_worker_keeps_no_other_out(serve: Serve, models: Path) -> None:
    write_echo(models / "doomed" / "1", "doomed", name="doomed")
    server = serve(models, workers=1)
    url = server.wait_ready()
    assert answers(url), "who is announced answers"
    assert state(url, "doomed") == "failed"
    assert server.stop() == 0
    assert "ended" in server.errors()


def test_a_watched_directory_may_hold_anything(serve: Serve, models: Path) -> None:
    server = serve(models, watch=0.1, workers=1)
    url = server.wait_ready()
    for name, manifest in (
        ("noise", b'{"name": "\xff", "version": "1"}'),
        ("deep", b'{"x": ' + b"[" * 100_000),
        ("empty", b""),
        ("list", b"[]"),
    ):
        (models / name).mkdir()
        (models / name / "manifest.json").write_bytes(manifest)
        until(lambda name=name: state(url, name) == "failed", f"a verdict on {name}")  # type: ignore[misc]
    (models / "linear" / "nothing").touch()
    bundles.write_bundle(models / "linear" / "2", version="2")
    until(lambda: state(url, "linear", "2") == "ready", "what is good is served")
    assert answers(url) and server.process.poll() is None
