"""The far side of ``isolate``: a process that reads calls from one pipe and writes answers to another."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import resource
import signal
import sys
import tempfile
import threading
import traceback
from pathlib import Path

from roadworthy.core import codec, errors, text
from roadworthy.core.isolation import confinement, first_import, messages, reported, usercode
from roadworthy.core.isolation.confinement import Confinement
from roadworthy.core.isolation.usercode import Heard

PR_SET_PDEATHSIG = 1
HEADROOM_MB = 4096


def main(requests: int, answers: int, memory_mb: int, confined: str = "", *, parent: int | None = None) -> None:
    """Answer until the parent closes its end; ``confined`` is a Confinement as JSON, or nothing.

    ``parent`` is the process id of a parent that must still live, where that may have ended already.
    """
    if confined:
        confinement.enter(codec.from_json(Confinement, confined.encode()), Path(tempfile.gettempdir()))
    # A parent that is killed outright must not leave a model running; Linux alone can promise that.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The parent watches resident memory and says so in words; this hard stop is for growth too fast to watch.
    ceiling = (memory_mb + HEADROOM_MB) * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (ceiling, ceiling))
    # The pipes are for this process, not for the compilers it may start.
    os.set_inheritable(requests, False)
    os.set_inheritable(answers, False)
    first_import.watch()
    with open(requests, "rb") as reader, open(answers, "wb", buffering=0) as writer:
        answer = _Answers(writer)
        usercode.connect(answer.tell)
        reported.connect(answer.tell)
        for line in reader:
            answer.write(_guarded(line))


class _Answers:
    """The pipe to the parent: whole lines, of whichever thread."""

    def __init__(self, pipe: io.FileIO) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew)

    def write(self, line: bytes) -> None:
        """One line without its end."""
        view = memoryview(line + b"\n")
        with self._lock:
            while view:
                view = view[self._pipe.write(view) :]

    def tell(self, heard: Heard) -> None:
        """A line that is not an answer."""
        self.write(b"!" + codec.to_json(heard))

    def _renew(self) -> None:
        # Another thread may have held the lock at the moment of the fork; that thread is not in the new process.
        self._lock = threading.Lock()


def _guarded(line: bytes) -> bytes:
    try:
        return b"+" + messages.answer(line)
    except MemoryError:
        return b"-" + codec.to_json(messages.Fault("StepFailed", "ran out of memory", traceback.format_exc()))
    except errors.RoadworthyError as problem:
        return b"-" + codec.to_json(messages.Fault(type(problem).__name__, problem.message, problem.detail or traceback.format_exc()))
    except OSError as problem:
        kind = "OutOfSpace" if problem.errno == errno.ENOSPC else type(problem).__name__
        return b"-" + codec.to_json(messages.Fault(kind, text.first_line(problem, empty="no message"), traceback.format_exc()))
    except Exception as problem:
        return b"-" + codec.to_json(
            messages.Fault(type(problem).__name__, text.first_line(problem, empty="no message"), traceback.format_exc())
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
