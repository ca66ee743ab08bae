"""A third party's runtime, found by entry point, that misbehaves on request.

Flavour ``echo``: y is x, but x[0, 1] seconds late, and where x[0, 0] is 13 it raises, where it is -1 it answers NaN and
infinity, where it is -2 it waits until the file named by TESTKIT_GATE exists. ``steady`` is never faster than two milliseconds.
``lying`` is off by one, ``silent`` leaves the output out,
``late`` takes a second to load, ``doomed`` ends its process then, ``many`` has several inputs and outputs, ``files`` takes
byte strings and gives their length and first byte as scores, and themselves, or fails on one. ``errs-on-1`` is off by one
on one thread alone, ``errs-on-2`` on two, ``errs-at-16`` in calls of 16 samples and more, and ``one-process`` loads on the
first number of threads it was asked for and on no other. Two calls at a time are an error.
"""

import os
import time
from pathlib import Path

import numpy as np

from roadworthy.core.errors import StepFailed

RUNS = ()
PACKAGES = ()
FRAMEWORK = False
NATIVE = False
OPTIONS = ("pinned",)
THREADS = {}


def load(path, signature, plan):
    if plan.flavour == "late":
        time.sleep(1)
    if plan.flavour == "doomed":
        os._exit(7)
    if plan.flavour == "one-process":
        first = THREADS.setdefault(path, plan.threads)
        if first != plan.threads:
            raise StepFailed(f"this process computes on {first} threads")
    return Session(plan.flavour, plan.threads)


class Session:
    def __init__(self, flavour, threads):
        self.flavour = flavour
        self.threads = threads
        self.busy = False

    def run(self, feeds):
        if self.busy:
            raise RuntimeError("two calls at a time")
        self.busy = True
        try:
            return self.answer(feeds)
        finally:
            self.busy = False

    def answer(self, feeds):
        if self.flavour == "many":
            a, b = feeds["a"], feeds["b"]
            return {"sum": a + b[:, None].astype(a.dtype), "flag": b > 0, "half": a.astype(np.float16), "count": b * 2}
        if self.flavour == "files":
            files = feeds["file"]
            if b"unreadable" in files.tolist():
                raise StepFailed("the model failed on this input: not a file that it knows")
            return {"scores": np.array([[len(file), sum(file[:1])] for file in files], np.float32), "same": files.copy()}
        x = feeds["x"]
        if self.flavour in ("steady", "errs-at-16"):
            time.sleep(0.002)
        if x[0, 0] == 13:
            raise RuntimeError("thirteen is more than this runtime\ncan bear")
        while x[0, 0] == -2 and not Path(os.environ["TESTKIT_GATE"]).exists():
            time.sleep(0.01)
        if x[0, 1] > 0:
            time.sleep(float(x[0, 1]))
        if x[0, 0] == -1:
            return {"y": np.array([[np.nan, np.inf]] * len(x), np.float32)}
        if self.flavour == "silent":
            return {}
        name, _, number = self.flavour.partition("-")
        errs = name == "lying" or (name == "errs" and (len(x) >= 16 if number == "at-16" else number == f"on-{self.threads}"))
        return {"y": x + 1 if errs else x.copy()}

    def close(self):
        pass
