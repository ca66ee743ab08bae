"""A third party's runtime that breaks its process on request: y is x plus the number in its flavour (``plus3``).

The flavour's other words: ``spinN`` costs N milliseconds of CPU a sample, without the interpreter's lock, as native code does;
``fragile`` ends its process while it loads where the file named by BREAKER_DOOM exists, ``wrecked`` always does (natively);
``lateN`` takes N seconds to load.
A row of x is [deed, amount, tag]. Each row that runs leaves its tag as a line of the file named by BREAKER_RUNS.
"""

import ctypes
import hashlib
import os
import re
import signal
import time
from functools import cache
from pathlib import Path

RUNS = ()
PACKAGES = ()
FRAMEWORK = False
NATIVE = False

ECHO, SLEEP, RAISE, HANG, HANG_LOCKED, EXIT, SEGFAULT, DEVOUR, HOLD = range(9)
"""Answer; ``amount`` seconds late; raise; never return; the same with the interpreter's lock in hand; end the process, by itself or
by a signal; take memory, which ends well below what the machine has; wait until the file named by BREAKER_GATE exists."""
HOARD = 4 << 30


def load(path, signature, plan):
    words = dict(re.findall(r"([a-z]+)(\d*)", plan.flavour))
    doom = os.environ.get("BREAKER_DOOM")
    if "wrecked" in words:
        os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(int(words.get("late", 0)))
    if "fragile" in words and doom and Path(doom).exists():
        os._exit(3)
    return Session(int(words.get("plus", 0)), int(words.get("spin", 0)) / 1000)


class Session:
    def __init__(self, plus, spin):
        self.plus, self.spin = plus, spin
        self.busy = False
        runs = os.environ.get("BREAKER_RUNS")
        self.runs = os.open(runs, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if runs else None

    def run(self, feeds):
        if self.busy:
            raise RuntimeError("two calls at a time")
        self.busy = True
        try:
            x = feeds["x"]
            for deed, amount, tag in x.tolist():
                if self.runs is not None:
                    os.write(self.runs, b"%d\n" % tag)
                if self.spin:
                    burn(self.spin)
                if deed:
                    do(int(deed), amount)
            return {"y": x + self.plus}
        finally:
            self.busy = False

    def close(self):
        if self.runs is not None:
            os.close(self.runs)
            self.runs = None


def burn(seconds):
    """So much of this thread's CPU time, in one call that lets go of the interpreter's lock once, as native code does."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", max(1, int(seconds * pace())))


@cache
def pace():
    """Rounds of the hash a second of CPU."""
    begun = time.thread_time()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 20_000)
    return 20_000 / (time.thread_time() - begun)


def do(deed, amount):
    match deed:
        case 1:
            time.sleep(amount)
        case 2:
            raise RuntimeError("this runtime raises on request")
        case 3:
            while True:
                ctypes.CDLL(None).pause()
        case 4:
            while True:
                ctypes.PyDLL(None).sleep(3600)
        case 5:
            os._exit(9)
        case 6:
            os.kill(os.getpid(), signal.SIGSEGV)
        case 7:
            hoard = [os.urandom(1 << 20) * 16 for _ in range(HOARD >> 24)]
            raise MemoryError(f"{len(hoard)} pieces and no end")
        case 8:
            while not Path(os.environ["BREAKER_GATE"]).exists():
                time.sleep(0.01)
