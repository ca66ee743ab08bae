"""A program around a model as a session: it runs in a child, requests go through its stdin and answers come through its stdout."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from roadworthy.core.errors import StepFailed
from roadworthy.core.text import LONGEST
from roadworthy.core.types import Arrays, Signature, TensorSpec

TIME_CALLS = 2**32 - 1
"""In place of a number of samples: the calls that follow are timed."""
PIPE = 2**20
"""Bytes of a pipe: fewer changes between the two processes for a large sample."""


class ProgramSession:
    """``command --stream`` in a child. A call that takes longer than ``limit_s`` seconds ends the child and raises StepFailed."""

    def __init__(self, command: Sequence[str], signature: Signature, limit_s: float = 60.0, environment: Mapping[str, str] | None = None):
        self._name = Path(command[0]).name
        self._signature = signature
        self._limit_s = limit_s
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the session)
        try:
            self._child = subprocess.Popen(
                [*command, "--stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, bufsize=0, env=environment
            )
        except OSError as problem:
            self._said.close()
            raise StepFailed(f"the program {self._name} does not start: {problem}") from problem
        assert self._child.stdin is not None and self._child.stdout is not None
        self._to, self._from = self._child.stdin.fileno(), self._child.stdout.fileno()
        for descriptor in (self._to, self._from):
            os.set_blocking(descriptor, False)
            _widen(descriptor)

    def run(self, feeds: Arrays) -> Arrays:
        """The outputs by name, in memory of their own; raises StepFailed where the program fails, ends or takes too long."""
        samples = self._signature.count(feeds)
        until = self._ask(struct.pack("<I", samples), feeds)
        (answered,) = struct.unpack("<I", self._read(4, until))
        if answered != samples:
            raise self._failed(f"it answered {answered} samples where {samples} were asked")
        return {spec.name: self._output(spec, samples, until) for spec in self._signature.outputs}

    def time_calls(self, feeds: Arrays, calls: int) -> tuple[int, ...]:
        """The nanoseconds of each of ``calls`` calls with ``feeds``, timed inside the program; raises StepFailed as ``run`` does."""
        until = self._ask(struct.pack("<III", TIME_CALLS, calls, self._signature.count(feeds)), feeds)
        return tuple(np.frombuffer(self._read(8 * calls, until), "<u8").tolist())

    def close(self) -> None:
        """End the child: its input ends, and where that is not enough it is killed."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._child.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._said.close()

    def _ask(self, header: bytes, feeds: Arrays) -> float:
        """Write a request; the time until which its answer may take."""
        until = time.monotonic() + self._limit_s
        arrays = [np.ascontiguousarray(feeds[spec.name], spec.dtype) for spec in self._signature.inputs]
        self._write([header, *(array.reshape(-1).view(np.uint8).data for array in arrays)], until)
        return until

    def _output(self, spec: TensorSpec, samples: int, until: float) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        shape = (samples, *(int(size) for size in spec.sample_shape))
        size = int(np.prod(shape)) * np.dtype(spec.dtype).itemsize
        return np.frombuffer(self._read(size, until), spec.dtype).reshape(shape)

    def _write(self, parts: Sequence[bytes | memoryview], until: float) -> None:
        for part in parts:
            rest = memoryview(part)
            while rest:
                try:
                    rest = rest[os.write(self._to, rest) :]
                except BlockingIOError:
                    self._wait(self._to, select.POLLOUT, until)
                except BrokenPipeError:
                    raise self._ended() from None

    def _read(self, size: int, until: float) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            try:
                got = os.readv(self._from, [rest])
            except BlockingIOError:
                self._wait(self._from, select.POLLIN, until)
                continue
            if not got:
                raise self._ended()
            rest = rest[got:]
        return data

    def _wait(self, descriptor: int, event: int, until: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise self._failed(f"it gave no answer within {self._limit_s:g} s")

    def _ended(self) -> StepFailed:
        try:
            code = self._child.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            return self._failed("it closed its output")
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
        return self._failed(f"it ended in the middle of a call ({how})")

    def _failed(self, what: str) -> StepFailed:
        """The error, after the end of the child: what follows on its pipes belongs to no call."""
        self._child.kill()
        self._child.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        last = f": {said.splitlines()[-1][:LONGEST]}" if said else ""
        return StepFailed(f"the program {self._name} failed: {what}{last}", detail=said)


def _widen(descriptor: int) -> None:
    """Make a pipe large; the system may allow less, and the pipe then stays as it is."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE)
    except (OSError, AttributeError):
        pass
