"""Run a program, such as the command ``roadworthy``, with races of the fewest rounds: ``python short_races.py PROGRAM ARGUMENT...``.

For tests of whole deployments that judge no speed. No time budget decides what is tried. Where the environment names a server of
``warm_children``, the steps are its forks. All else is as the user has it.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

from roadworthy.build import peak, races
from roadworthy.build.compare import forms

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import warm_children


def shorten(set_attribute: Callable[[object, str, object], None] = setattr) -> None:
    """From now on every race of this process has the fewest rounds there can be, and no deployment measures the host's peak."""
    set_attribute(races, "RACE_SECONDS", 0.0)
    set_attribute(forms, "ROUNDS_SECONDS", 0.0)
    set_attribute(peak, "SECONDS", 0.0)


if __name__ == "__main__":
    shorten()
    if warm_children.ADDRESS in os.environ:
        warm_children.install(os.environ[warm_children.ADDRESS])
    del sys.argv[0]
    # As Python does for a program that it is given.
    sys.path[:2] = [str(Path(sys.argv[0]).resolve().parent)]
    runpy.run_path(sys.argv[0], run_name="__main__")
