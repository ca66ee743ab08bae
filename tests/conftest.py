"""Fixtures that tests of several folders share."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from roadworthy.core.host import Host, library_caps
from support import hosts, kept, warm_children
from support.models import bundles
from support.waiting import HANG_SECONDS

pytest_plugins = ["support.framework_children"]

# As the command does: before any library is loaded that reads them.
os.environ.update(library_caps())

# Left alone, httpx gives up after five seconds.
httpx._config.DEFAULT_TIMEOUT_CONFIG.__init__(HANG_SECONDS)  # type: ignore[misc]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pretend", choices=list(hosts.FEATURES), help="plan as if this CPU had other features; what is carried out is real")


def pytest_configure(config: pytest.Config) -> None:
    # What fixtures of a session deploy is kept apart from the user's own deployments.
    shared = tempfile.mkdtemp(prefix="roadworthy-tests-")
    config.add_cleanup(lambda: shutil.rmtree(shared, ignore_errors=True))
    os.environ |= {"XDG_CACHE_HOME": f"{shared}/cache", "XDG_STATE_HOME": f"{shared}/state"}
    kept.in_cache(f"{shared}/cache")
    if name := config.getoption("--pretend"):
        hosts.pretend(name)


def pytest_report_header() -> str:
    here = hosts.host.this_host()
    return f"cpu: {here.cpu}, {here.cores} cores: {' '.join(here.features)}"


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """A server here takes the package's log over, OpenVINO's converter sets the root's level; the next test finds both as they were."""
    root, package = logging.getLogger(), logging.getLogger("roadworthy")
    levels, handlers, propagates = (root.level, package.level), list(package.handlers), package.propagate
    yield
    root.setLevel(levels[0])
    package.setLevel(levels[1])
    package.handlers[:] = handlers
    package.propagate = propagates


@pytest.fixture(autouse=True)
def no_earlier_deployments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that another test deployed is used again: a test may plant a fault where its key does not see it."""
    own = f"{os.environ['XDG_CACHE_HOME']}/{uuid.uuid4().hex}"
    monkeypatch.setenv("XDG_CACHE_HOME", f"{own}/cache")
    monkeypatch.setenv("XDG_STATE_HOME", f"{own}/state")
    kept.in_cache(f"{own}/cache")


@pytest.fixture(params=[(name, cores) for name in hosts.FEATURES for cores in hosts.CORES], ids=lambda one: f"{one[0]}-{one[1]}")
def any_host(request: pytest.FixtureRequest) -> Host:
    """Each host that a plan may be made for, with 1, 2 and 64 cores."""
    return hosts.pretended(*request.param)


@pytest.fixture(scope="session")
def real() -> Path:
    """Real models and data beside the repository; absent on most machines, and then the test is skipped."""
    path = Path(__file__).parents[2] / "shared" / "real"
    if not path.is_dir():
        pytest.skip(f"needs the real models and data at {path}")
    return path


@pytest.fixture(scope="session")
def null_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed bundle of a linear map on the null runtime; no test changes it."""
    return bundles.write_bundle(tmp_path_factory.mktemp("bundles") / "linear")


@pytest.fixture(scope="session")
def torch_server() -> Iterator[str]:
    """A server of forks that has imported PyTorch and what its steps import."""
    with warm_children.server("torch", "torch.export", "torch.onnx", "torch._dynamo", "onnxscript", "onnx") as address:
        yield address


@pytest.fixture(scope="session")
def tensorflow_server() -> Iterator[str]:
    """A server of forks that has imported TensorFlow and what its steps import."""
    with warm_children.server("tensorflow", "keras", "tf2onnx", "onnx", "h5py") as address:
        yield address


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two MiB that really fills up; the test is skipped where it cannot be mounted."""
    disk = tmp_path / "small-disk"
    disk.mkdir()
    try:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)
