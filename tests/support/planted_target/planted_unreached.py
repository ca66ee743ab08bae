"""The same for a target that cannot run here."""

from roadworthy.runtimes.null import load

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ()
FRAMEWORK = False
NATIVE = False

__all__ = ["FRAMEWORK", "NATIVE", "PACKAGES", "RUNS", "load"]
