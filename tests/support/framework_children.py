"""A pytest plugin: a test whose child process imports a framework must bear the marker ``slow``, so that ``make fast`` stays fast.

``watched/sitecustomize.py`` runs at the start of each child and sends the name of each framework that is imported there to a socket.
"""

from __future__ import annotations

import os
import socket
import sys
import uuid
from pathlib import Path

import pytest

from roadworthy.core.isolation import forking

WATCHED = str(Path(__file__).with_name("watched"))
ADDRESS = "ROADWORTHY_TESTS_IMPORTS"
RECEIVER = pytest.StashKey[socket.socket]()


def pytest_configure(config: pytest.Config) -> None:
    """Each pytest process has a socket of its own; ``isolate`` gives its children ``sys.path``, other children get PYTHONPATH."""
    receiver = config.stash[RECEIVER] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.setblocking(False)
    os.environ[ADDRESS] = f"roadworthy-tests-{uuid.uuid4().hex}"
    receiver.bind(b"\0" + os.environ[ADDRESS].encode())
    config.add_cleanup(receiver.close)
    os.environ["PYTHONPATH"] = os.pathsep.join([WATCHED, *filter(None, [os.environ.get("PYTHONPATH")])])
    sys.path.insert(0, WATCHED)
    # A process that is forked for steps leaves the user's folders out; what it imports is seen all the same.
    installed = forking._without_users
    forking._without_users = lambda path: os.pathsep.join([WATCHED, installed(path)])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    _imported(item.config)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    found = _imported(item.config)
    if found and not item.get_closest_marker("slow"):
        pytest.fail(f"a child process of this test imports {', '.join(sorted(found))}: mark the test as slow", pytrace=False)


def _imported(config: pytest.Config) -> set[str]:
    """The frameworks that children have imported since the last call."""
    found = set()
    try:
        while told := config.stash[RECEIVER].recv(64):
            pid, name = told.decode().split()
            # A worker of pytest-xdist is a child too, of the process that started it.
            if int(pid) != os.getpid():
                found.add(name)
    except BlockingIOError:
        pass
    return found
