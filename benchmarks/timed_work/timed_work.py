"""A runtime whose calls are a known amount of work: each of the plan's threads hashes ``plan.flavour`` bytes, and nothing else takes time.

It comes in by entry point, as that of another distribution does, and is used by ``race_truth.py``.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from roadworthy.core.stages import Plan
from roadworthy.core.types import Arrays, Signature

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ()
FRAMEWORK = False
NATIVE = False
FEWEST = 4096
"""Bytes that the second thread hashes where the plan has one thread, so that every call hands work over."""


def load(path: Path, signature: Signature, plan: Plan) -> TimedWorkSession:
    return TimedWorkSession(signature, plan)


class TimedWorkSession:
    """The sum of the feeds, after the work."""

    def __init__(self, signature: Signature, plan: Plan) -> None:
        size = int(plan.flavour)
        self._data = memoryview(bytes(size))
        self._second = self._data if plan.threads == 2 else self._data[:FEWEST]
        self._pool = ThreadPoolExecutor(1)
        self._input, self._output = signature.inputs[0].name, signature.outputs[0].name

    def run(self, feeds: Arrays) -> Arrays:
        x = feeds[self._input]
        for _ in range(len(x)):
            other = self._pool.submit(hashlib.blake2b, self._second)
            hashlib.blake2b(self._data)
            other.result()
        return {self._output: x.sum(axis=1, keepdims=True)}

    def close(self) -> None:
        self._pool.shutdown()
