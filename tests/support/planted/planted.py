"""A runtime of a third party that answers a linear map with one planted fault, named by the plan's flavour.

It comes in by entry point, as any other would: put this folder on the path (fixture ``planted``).
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from roadworthy.core.stages import Plan
from roadworthy.core.types import Array, Arrays, Signature

RUNS: tuple[str, ...] = ("planted",)
PACKAGES: tuple[str, ...] = ()
FRAMEWORK = False
NATIVE = False
OPTIONS: tuple[str, ...] = ("pinned",)


def load(path: Path, signature: Signature, plan: Plan) -> PlantedSession:
    with np.load(path / "model.npz" if path.is_dir() else path, allow_pickle=False) as file:
        if plan.precision == "fp64":
            raise RuntimeError("not implemented for 'Double'")
        return PlantedSession(file["weight"], file["bias"], signature, plan)


class PlantedSession:
    """``fault`` or ``fault=number``."""

    def __init__(self, weight: Array, bias: Array, signature: Signature, plan: Plan) -> None:
        self._weight, self._bias = weight, bias
        self._input, self._output = signature.inputs[0].name, signature.outputs[0].name
        self._fault, _, number = plan.flavour.partition("=")
        self._number = float(number or 0)
        self._sizes: set[int] = set()
        self._plan = plan

    def run(self, feeds: Arrays) -> Arrays:
        x = feeds[self._input]
        n = len(x)
        y = (x.reshape(n, -1) @ self._weight + self._bias).astype(np.float32)
        match self._fault:
            case "divides by the batch":
                y /= n
            case "crashes from":
                if n >= self._number:
                    os.kill(os.getpid(), signal.SIGSEGV)
            case "raises from":
                if n >= self._number:
                    raise ValueError("only one sample fits\nsomething deeper")
            case "is not a number above":
                y[x.reshape(n, -1)[:, 0] > self._number, 0] = np.nan
            case "errs by":
                y += self._number * np.abs(y).max() * np.sign(np.sin(37 * y))
            case "errs on" if self._plan.threads == self._number:
                y = y[::-1] + 1
            case "errs on one thread above" if self._plan.threads == 1:
                rows = x.reshape(n, -1)[:, 0] > self._number
                y[rows] = y[rows, ::-1] + 1
            case "errs in the order of threads":
                y += 1e-7 * self._plan.threads * np.abs(y).max()
            case "computes for":  # seconds of every thread, not of the clock
                end = time.thread_time() + self._number
                while time.thread_time() < end:
                    pass
            case "computes on one thread for" if self._plan.threads == 1:
                end = time.thread_time() + self._number
                while time.thread_time() < end:
                    pass
            case "crashes on" if self._plan.threads == self._number:
                os.kill(os.getpid(), signal.SIGSEGV)
            case "errs while spinning" if self._plan.spin:
                y = y[::-1] + 1
            case "errs at" if n == self._number:
                y = y[::-1] + 1
            case "sleeps":
                time.sleep(self._number)
            case "compiles for":
                if n not in self._sizes:
                    self._sizes.add(n)
                    time.sleep(self._number)
            case "swaps":  # the best class becomes the worst where the first feature says so
                rows = np.flatnonzero(x.reshape(n, -1)[:, 0] < self._number)
                y[rows, np.argmax(y[rows], axis=1)] = -1e3
            case "dies after":
                self._number -= 1
                if self._number < 0:
                    os._exit(3)
        return {self._output: y}

    def close(self) -> None:
        pass
