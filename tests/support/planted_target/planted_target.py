"""A runtime of a third party whose candidates are for another target than a server: a linear map, run on the build host."""

from roadworthy.runtimes.null import load

RUNS: tuple[str, ...] = ("npz",)
PACKAGES: tuple[str, ...] = ()
FRAMEWORK = False
NATIVE = False

__all__ = ["FRAMEWORK", "NATIVE", "PACKAGES", "RUNS", "load"]
