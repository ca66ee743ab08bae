"""Steps whose process is forked from one that has imported a framework already, for tests of what a step answers.

The product forks the steps of one deployment from processes of its own, and starts the contestants of a race afresh. Here one server,
which the whole run of tests shares, imports a framework once, and every step of every deployment is a fork of it, by the product's own
code. How a step starts is tested elsewhere, with real starts. A step whose environment differs in what a library reads when it is
loaded does so too.

``python warm_children.py ADDRESS MODULE...`` is the server: it ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from roadworthy.core.isolation import forking, launch, template
from roadworthy.core.isolation.launch import Given, Process

ADDRESS = "ROADWORTHY_TESTS_WARM"
"""In the environment: the address of the server, for processes that install it by ``install``."""
LOADED = ("ATEN_", "DNNL_", "KERAS_", "KMP_", "LD_", "MKL_", "OMP_", "ONEDNN_", "ROADWORTHY_", "TF_", "TORCH", "XLA_")
"""How variables begin that a library may read when it is loaded."""


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
    began = _read_by_libraries(launch.environment())
    afresh = launch.fresh

    def start(given: Given) -> Process:
        return _WarmFork(address, given) if _read_by_libraries(launch.environment()) == began else afresh(given)

    set_attribute(launch, "fresh", start)
    set_attribute(forking.Templates, "of", lambda self, modules: None)


def _read_by_libraries(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith(LOADED)}


class _WarmFork:
    """A step as a fork of the server, to which it keeps a connection of its own."""

    def __init__(self, address: str, given: Given) -> None:
        self._control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.connect(b"\0" + address.encode())
        self._control.send(json.dumps(launch.environment()).encode())
        self._fork = forking.ask(self._control, given)
        self.pid = self._fork.pid

    def wait(self) -> int:
        """The exit code, negative for a signal."""
        code = self._fork.wait()
        self._control.close()
        return code


def main(address: str, *modules: str) -> None:
    threads = template.imported(modules)
    assert not threads, threads
    # Nobody waits for the servers of the connections.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, selectors.DefaultSelector() as selector:
        listener.bind(b"\0" + address.encode())
        listener.listen()
        print("ready", flush=True)
        selector.register(0, selectors.EVENT_READ)
        selector.register(listener, selectors.EVENT_READ)
        while not any(key.fileobj == 0 for key, _ in selector.select()):
            connection, _ = listener.accept()
            if not os.fork():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                selector.close()
                listener.close()
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                _serve(connection)
                os._exit(0)
            connection.close()


def _serve(connection: socket.socket) -> None:
    """Be the template of one step."""
    variables = json.loads(connection.recv(template.LARGEST))
    os.environ.clear()
    os.environ.update(variables)
    template.ForkServer(connection, variables["PYTHONPATH"]).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
