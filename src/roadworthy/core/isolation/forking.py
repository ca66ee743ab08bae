"""Steps as forks of a process that has imported what they need, seen from the parent; ``template`` is the other side.

A fork gets what a fresh process gets: a session, limits, a log, a temporary directory and a confinement of its own. Wherever a fork is
not possible (another system, threads in the template), the step starts afresh.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from roadworthy.core.isolation import launch, scratch, template, usercode
from roadworthy.core.isolation.launch import Given

START_SECONDS, FORK_SECONDS = 180.0, 30.0
"""How long the imports of a template, and one fork of it, may take before steps start afresh."""


class Fork:
    """The process of a step, whose parent process is a template."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self._connection = connection
        self._code: int | None = None

    def wait(self) -> int:
        """Wait for its end; the exit code, or the number of the signal that ended it, negative."""
        if self._code is None:
            self._connection.settimeout(None)
            with self._connection:
                _, code = _said(self._connection) or (template.ENDED, -signal.SIGKILL)
            self._code = code
        return self._code


def ask(control: socket.socket, given: Given) -> Fork:
    """A fork of the process behind ``control``. Raises OSError where that makes none."""
    request = {
        "temporary": str(given.temporary),
        "folder": str(Path.cwd()),
        "memory_mb": str(given.memory_mb),
        "confined": given.confined,
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with theirs:
            handed = [given.log, given.requests, given.answers, theirs.fileno()]
            socket.send_fds(control, [json.dumps(request).encode()], handed)
        ours.settimeout(FORK_SECONDS)
        started = _said(ours)
        if started is None or started[0] != template.STARTED:
            raise BrokenPipeError
    except BaseException:
        ours.close()
        raise
    return Fork(started[1], ours)


class Template:
    """A process that imports ``modules`` (see ``template``) and is forked for each step. Safe to use from several threads."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._lock = threading.Lock()
        self._ready = self._closed = False
        self._scratch = scratch.Directory()
        path = launch.environment()["PYTHONPATH"]
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    launch.python("roadworthy.core.isolation.template", str(theirs.fileno()), path, *modules),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=launch.environment() | {"PYTHONPATH": _without_users(path), "TMPDIR": str(self._scratch.path)},
                    start_new_session=True,
                )
        except BaseException:
            self._control.close()
            self._scratch.remove()
            raise

    def fork(self, given: Given) -> Fork | None:
        """A fork for one step; ``None`` where there can be none. Waits until the imports are done."""
        with self._lock:
            if self._closed:
                return None
            try:
                self._await_imports()
                return ask(self._control, given)
            except OSError:
                self._end()
                return None

    def close(self) -> None:
        """End the process and every fork of it."""
        # Who waits for the imports is woken.
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._end()

    def _await_imports(self) -> None:
        """Raises OSError where the process cannot be forked."""
        if not self._ready:
            self._control.settimeout(START_SECONDS)
            if self._control.recv(template.LARGEST).decode() != template.READY:
                raise BrokenPipeError
            self._ready = True

    def _end(self) -> None:
        if not self._closed:
            self._closed = True
            self._control.close()
            # It kills its forks when the socket closes; one that hangs in an import has none.
            try:
                self._process.wait(FORK_SECONDS if self._ready else 0)
            except subprocess.TimeoutExpired:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._scratch.remove()


class Templates:
    """The templates of one deployment, by their modules and by what these read when they are imported; each starts when it is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: dict[tuple[tuple[str, ...], frozenset[tuple[str, str]], frozenset[int]], Template] = {}

    def of(self, modules: tuple[str, ...]) -> Template | None:
        """The template for ``modules``, which may still be importing them; ``None`` where processes cannot be forked."""
        if sys.platform != "linux" or not modules:
            return None
        # Libraries read the environment, and the CPUs that they may use, when they are imported.
        wanted = modules, frozenset(launch.environment().items()), frozenset(os.sched_getaffinity(0))
        with self._lock:
            try:
                return self._started.get(wanted) or self._started.setdefault(wanted, Template(modules))
            except OSError:
                return None

    def close(self) -> None:
        """End every template, with its forks; a later step starts another."""
        with self._lock:
            started, self._started = self._started, {}
        for one in started.values():
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _without_users(path: str) -> str:
    """The folders of ``path`` that belong to Python, to installed packages or to Roadworthy."""
    own = str(Path(__file__).parents[3])
    return os.pathsep.join(folder for folder in path.split(os.pathsep) if folder == own or not usercode.is_users(f"{folder}{os.sep}"))


def _said(connection: socket.socket) -> tuple[str, int] | None:
    """A word and a number from the template; ``None`` where it is gone."""
    try:
        word, _, number = connection.recv(64).decode().partition(" ")
    except ConnectionResetError:
        return None
    return (word, int(number)) if number else None
