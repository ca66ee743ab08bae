"""One contestant while it runs."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from types import TracebackType

import contestants
import numpy as np
import tree
import wire
from contestants import CannotStart, Contestant
from models import Model

PATIENCE = 120.0
"""Seconds until a server that does not answer is given up."""
PORTS = 6
"""Consecutive ports that a contestant may use."""


class Server:
    """Started on entry and answering like the model itself; stopped, with all its processes, on exit.

    Raises CannotStart where it cannot be installed, does not answer in time, or answers differently.
    """

    def __init__(self, contestant: Contestant, model: Model, workers: int) -> None:
        self.contestant, self.model = contestant, model
        self.port = _free_ports()
        self.mark = f"{contestant.name}-{self.port}"
        environment = contestants.install(contestant)
        self.place = contestants.scratch(contestant)
        facts = contestants.told(environment, model, self.port, workers) if contestant.packages else {}
        with (self.place / "log").open("wb") as log:
            self.process = subprocess.Popen(
                contestants.words(contestant, environment, model, self.port, workers),
                cwd=self.place,
                env=os.environ | facts | {tree.MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Server:
        begun = time.monotonic()
        try:
            self._wait()
            self.ready_s = time.monotonic() - begun
            for name, ask in self.contestant.asks.items():
                answer = wire.ask(self.port, ask(self.model))
                if answer.shape != self.model.y.shape or not np.allclose(answer, self.model.y, rtol=1e-3, atol=1e-4):
                    raise CannotStart(f"its answer to {name} is not the model's")
        except CannotStart:
            self.stop()
            raise
        except OSError as problem:
            self.stop()
            raise CannotStart(f"it does not answer: {problem}") from problem
        except BaseException:
            self.stop()
            raise
        return self

    def _wait(self) -> None:
        request = next(iter(self.contestant.asks.values()))(self.model)
        deadline = time.monotonic() + PATIENCE
        problem: Exception | None = None
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise CannotStart(f"it ended with {self.process.returncode}: {self.last_words()}")
            try:
                wire.ask(self.port, request, timeout=10)
                return
            except (OSError, ValueError, KeyError) as error:
                problem = error
                time.sleep(0.1)
        raise CannotStart(f"no answer within {PATIENCE:.0f} s ({problem}): {self.last_words()}")

    def last_words(self) -> str:
        """The last line of its log."""
        lines = (self.place / "log").read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """SIGTERM to the process that was started, then to all of them; whatever does not follow is killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        tree.end(self.mark)
        self.process.wait(10)


def _free_ports() -> int:
    """The first of ``PORTS`` consecutive ports that are free now."""
    while True:
        first = random.randrange(20000, 30000, PORTS)
        try:
            for port in range(first, first + PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
