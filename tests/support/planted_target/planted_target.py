"""A runtime of a third party for a target of its own: a linear map, run on the build host."""

from roadworthy.runtimes.null import load

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ()
FRAMEWORK = False
NATIVE = False
ON_TARGET = True

__all__ = ["FRAMEWORK", "NATIVE", "ON_TARGET", "PACKAGES", "RUNS", "load"]
