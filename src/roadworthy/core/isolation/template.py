"""A process that imports modules once and is then only forked: each step is a copy of it, and none sees what another did.

``python -m roadworthy.core.isolation.template CONTROL PATH MODULE...`` answers ``ready`` on the socket ``CONTROL``, or why it cannot be
forked, and then makes a fork for each request, until its parent closes the socket or ends. Nothing of the user's is read or imported
here. ``PATH`` is where the forks look for modules; the user's folders in it are of no use to the template itself.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from roadworthy.core.isolation import child

READY = "ready"
STARTED, ENDED = "started", "ended"
LARGEST = 1 << 17
"""Bytes of the largest request."""
POLL = 1.0
"""Seconds between two looks at whether the parent still lives: a copy of its end of the socket may outlive it."""
HARMLESS = {"jemalloc_bg_thd"}
"""Threads that may run at a fork: jemalloc gives memory back in one, and forks without it (its manual, ``background_thread``)."""


@dataclass(frozen=True)
class _Forked:
    """A fork of this process, and the socket on which its parent is told of it."""

    pid: int
    handle: int
    connection: socket.socket


def main(control: int, path: str, *modules: str) -> None:
    """Import ``modules``, say so on the socket ``control``, and serve forks."""
    os.set_inheritable(control, False)
    with socket.socket(fileno=control) as parent:
        problem = imported(modules)
        parent.send((problem or READY).encode())
        if not problem:
            ForkServer(parent, path).serve()


def imported(modules: Iterable[str]) -> str:
    """Import each; the reason why this process cannot be forked afterwards, or "".

    What cannot be imported is left to the step that needs it, which says why.
    """
    for module in modules:
        with suppress(Exception):
            importlib.import_module(module)
    # Python warns of threads at every fork; they are looked at here.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork")
    # Libraries that know of forks (OpenBLAS) end their threads at the first one.
    if not (pid := os.fork()):
        os._exit(0)
    os.waitpid(pid, 0)
    # What is imported is never garbage: a collection in a fork would copy its pages.
    gc.freeze()
    return _threads()


def _threads() -> str:
    """The names of other threads of this process: they hold locks that a fork would never see released."""
    names = set()
    for task in Path("/proc/self/task").iterdir():
        if task.name != str(os.getpid()):
            with suppress(OSError):
                names.add((task / "comm").read_text().strip())
    return ", ".join(sorted(names - HARMLESS))


class ForkServer:
    """The template's work: forks on request, and word of how each ended."""

    def __init__(self, parent: socket.socket, path: str) -> None:
        self._parent = parent
        self._path = path.split(os.pathsep)
        self._owner = os.getppid()
        # What libraries have opened stays open in a fork; what is opened from now on belongs to this process or to one step.
        self._kept = _open_descriptors() - {parent.fileno()}
        self._steps: set[_Forked] = set()

    def serve(self) -> None:
        """Until the parent closes its end or is gone; then every fork is killed."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._parent, selectors.EVENT_READ)
                while os.getppid() == self._owner:
                    for key, _ in selector.select(POLL):
                        if key.fileobj is self._parent:
                            request, descriptors, _, _ = socket.recv_fds(self._parent, LARGEST, 4)
                            if not request:
                                return
                            self._start(selector, json.loads(request), descriptors)
                        elif key.fileobj == key.data.handle:
                            selector.unregister(key.data.handle)
                            _tell_end(key.data)
                        else:
                            self._release(selector, key.data)
        finally:
            for step in self._steps:
                _kill(step)

    def _start(self, selector: selectors.BaseSelector, request: dict[str, str], descriptors: list[int]) -> None:
        connection = socket.socket(fileno=descriptors.pop())
        template = os.getpid()
        # Nothing that waits to be written may be written twice.
        sys.stdout.flush()
        sys.stderr.flush()
        pid = 0 if (threads := _threads()) else os.fork()
        if not threads and not pid:
            self._become_step(template, connection, request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        if threads:
            connection.close()
            return
        step = _Forked(pid, os.pidfd_open(pid), connection)
        self._steps.add(step)
        selector.register(step.handle, selectors.EVENT_READ, step)
        selector.register(connection, selectors.EVENT_READ, step)

    def _release(self, selector: selectors.BaseSelector, step: _Forked) -> None:
        """The parent is done with ``step``. Until now its process id could not become that of another process."""
        _kill(step)
        for watched in (step.handle, step.connection):
            with suppress(KeyError):
                selector.unregister(watched)
        os.close(step.handle)
        step.connection.close()
        self._steps.discard(step)

    def _become_step(self, template: int, connection: socket.socket, request: dict[str, str], descriptors: list[int]) -> None:
        """In the fork: be what a fresh process of a step is, and answer its calls. Does not return."""
        code = 1
        try:
            log, requests, answers = descriptors
            os.setsid()
            os.dup2(log, 1)
            os.dup2(log, 2)
            connection.send(f"{STARTED} {os.getpid()}".encode())
            connection.detach()
            for descriptor in _open_descriptors() - self._kept - {requests, answers}:
                with suppress(OSError):
                    os.close(descriptor)
            self._enter_environment(request["temporary"])
            sys.path[:] = [*self._path, *(place for place in sys.path if place not in self._path)]
            os.chdir(request["folder"])
            _draw_anew()
            gc.enable()
            child.main(requests, answers, int(request["memory_mb"]), request["confined"], parent=template)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _enter_environment(self, temporary: str) -> None:
        """The variables of a fresh process; those by which a library keeps to the template's own temporary directory go."""
        for name in [name for name, value in os.environ.items() if tempfile.gettempdir() in value]:
            del os.environ[name]
        os.environ |= {"TMPDIR": temporary, "PYTHONPATH": os.pathsep.join(self._path)}
        tempfile.tempdir = None


def _draw_anew() -> None:
    """Give this process random numbers of its own where a library drew its seed when it was imported; ``random`` does so by itself."""
    if drawing := sys.modules.get("numpy.random"):
        drawing.seed()


def _open_descriptors() -> set[int]:
    listed = [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    # The listing itself was one of them.
    return {descriptor for descriptor in listed if Path(f"/proc/self/fd/{descriptor}").is_symlink()}


def _tell_end(step: _Forked) -> None:
    """How the step's process ended. It is not waited for yet, so that its process id stays its own."""
    found = os.waitid(os.P_PID, step.pid, os.WEXITED | os.WNOWAIT)
    if found is not None:
        code = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        with suppress(OSError):
            step.connection.send(f"{ENDED} {code}".encode())


def _kill(step: _Forked) -> None:
    """End the step's process and its group, and let the kernel forget it."""
    with suppress(ProcessLookupError):
        os.killpg(step.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(step.pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(step.pid, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], *sys.argv[3:])
