"""Steps whose process is forked from one that has imported a framework already, for tests of what a step answers.

``isolate`` starts each step in a fresh Python, where ``import tensorflow`` takes six seconds of CPU. Here a server process imports it
once, and each step is a fork of that process, which then does what ``python -m roadworthy.core.isolation.child`` does. How a step starts
is tested elsewhere, with real starts. A step whose environment differs in what a library reads when it is loaded starts afresh.

``python warm_children.py ADDRESS MODULE...`` is the server: it ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from roadworthy.core.isolation import child, scratch, worker

ADDRESS = "ROADWORTHY_TESTS_WARM"
"""In the environment: the address of the server, for processes that install it by ``install``."""
LOADED = ("ATEN_", "DNNL_", "KERAS_", "KMP_", "LD_", "MKL_", "OMP_", "ONEDNN_", "ROADWORTHY_", "TF_", "TORCH", "XLA_")
"""How variables begin that a library may read when it is loaded."""
LARGEST = 1 << 17
"""Bytes of the largest request."""


@contextlib.contextmanager
def server(*modules: str) -> Iterator[str]:
    """A server that has imported ``modules``: its address."""
    address = f"roadworthy-tests-warm-{uuid.uuid4().hex}"
    command = [sys.executable, "-B", __file__, address, *modules]
    path = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == b"ready\n"
        try:
            yield address
        finally:
            process.stdin.close()


def install(address: str, set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
    """From now on the steps of this process are forks of the server at ``address``, which has this process's environment."""
    began = _read_by_libraries(os.environ)

    def popen(
        command: list[str], *, stdin: int, stdout: Any, stderr: Any, pass_fds: tuple[int, int], env: dict[str, str], **rest: Any
    ) -> Any:
        if _read_by_libraries(env) == began:
            return _Fork(address, command[-2:], stdout.fileno(), pass_fds, env)
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds, env=env, **rest)

    set_attribute(worker, "subprocess", SimpleNamespace(Popen=popen, DEVNULL=subprocess.DEVNULL))


def _read_by_libraries(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith(LOADED) and name != scratch.SHARED}


class _Fork:
    """What ``isolate`` uses of a Popen."""

    def __init__(self, address: str, arguments: list[str], log: int, pipes: tuple[int, int], env: dict[str, str]) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.connect(b"\0" + address.encode())
        socket.send_fds(self._connection, [json.dumps([arguments, env]).encode()], [log, *pipes])
        self.pid = int(self._connection.recv(64))
        self._code: int | None = None

    def wait(self) -> int:
        """The exit code, negative for a signal."""
        if self._code is None:
            self._code = int(self._connection.recv(64))
            self._connection.close()
        return self._code


def main(address: str, *modules: str) -> None:
    for name in modules:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, selectors.DefaultSelector() as selector:
        listener.bind(b"\0" + address.encode())
        listener.listen()
        print("ready", flush=True)
        selector.register(0, selectors.EVENT_READ)
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == 0:
                    return
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    pid = _fork(connection)
                    connection.send(str(pid).encode())
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))
                else:
                    pid, connection = key.data
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    with connection, contextlib.suppress(OSError):
                        connection.send(str(code).encode())


def _fork(connection: socket.socket) -> int:
    """The process id of a child that answers the request of ``connection``."""
    request, (log, *pipes), _, _ = socket.recv_fds(connection, LARGEST, 3)
    pid = os.fork()
    if pid:
        for descriptor in (log, *pipes):
            os.close(descriptor)
        return pid
    code = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        # The listener and the other steps' connections belong to the server.
        os.closerange(3, min(pipes))
        os.closerange(max(pipes) + 1, os.sysconf("SC_OPEN_MAX"))
        (memory_mb, confined), variables = json.loads(request)
        os.environ.clear()
        os.environ.update(variables)
        sys.path[:] = variables["PYTHONPATH"].split(os.pathsep)
        tempfile.tempdir = None
        child.main(pipes[0], pipes[1], int(memory_mb), confined)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
