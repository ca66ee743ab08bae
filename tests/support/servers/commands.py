"""What the tests from a trained file to an answer share: the command in a process of its own, and a server."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import short_races, warm_children

ROADWORTHY = str(Path(sys.executable).with_name("roadworthy"))
SHORT_RACES = (sys.executable, short_races.__file__)
"""Goes before a Python program."""


def roadworthy(*words: str | Path, steps: str = "") -> str:
    """What the command prints, with short races; it must succeed. ``steps`` is the address of a server of ``warm_children``."""
    environment = os.environ | ({warm_children.ADDRESS: steps} if steps else {})
    run = subprocess.run([*SHORT_RACES, ROADWORTHY, *map(str, words)], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    return run.stdout


@contextmanager
def served(bundle: Path, name: str) -> Iterator[tuple[str, int]]:
    """The bundle served on a free port: its URL and process id; it ends with code 0 when asked to."""
    with subprocess.Popen([ROADWORTHY, "serve", bundle, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        match = re.search(rf"serving {name} at (\S+)", process.stdout.readline())
        assert match
        yield match[1], process.pid
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
