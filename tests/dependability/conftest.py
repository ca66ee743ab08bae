"""A runtime that breaks on request, servers in processes of their own, and the end of all that a test leaves running."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dependability.harness import PLUGIN, Server, write_breaker
from roadworthy.core import registry


@pytest.fixture(scope="package", autouse=True)
def third_party() -> Iterator[None]:
    """The runtime of ``plugin/`` is known here, and in the servers that are started from here."""
    sys.path.insert(0, str(PLUGIN))
    registry.names.cache_clear()
    yield
    sys.path.remove(str(PLUGIN))
    registry.names.cache_clear()


@pytest.fixture(scope="session")
def breaker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cheap model that breaks on request."""
    return write_breaker(tmp_path_factory.mktemp("bundles") / "breaker")


@pytest.fixture(scope="session")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, at two milliseconds of CPU a sample: its calls have a thread of their own, and the event loop goes on."""
    return write_breaker(tmp_path_factory.mktemp("bundles") / "steady", "spin2")


@pytest.fixture(scope="session")
def worker_of_eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, at eight milliseconds of CPU a sample."""
    return write_breaker(tmp_path_factory.mktemp("bundles") / "spin", "spin8")


@pytest.fixture
def runs_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the models of servers started from now on write the tags of what they ran."""
    file = tmp_path / "runs"
    monkeypatch.setenv("BREAKER_RUNS", str(file))
    return file


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Until this file exists, HOLD waits in servers started from now on."""
    file = tmp_path / "gate"
    monkeypatch.setenv("BREAKER_GATE", str(file))
    return file


@pytest.fixture
def doom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file exists, a ``fragile`` model ends its process when it is loaded."""
    file = tmp_path / "doom"
    monkeypatch.setenv("BREAKER_DOOM", str(file))
    return file


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers, and ends those that a test leaves running, with all their workers."""
    started: list[Server] = []

    def start(*paths: Path, **options: object) -> Server:
        started.append(Server(*paths, **options))
        return started[-1]

    yield start
    for server in started:
        below = psutil.Process(server.process.pid).children(recursive=True) if server.process.poll() is None else []
        server.kill()
        for one in below:
            try:
                os.kill(one.pid, 9)
            except ProcessLookupError:
                pass
