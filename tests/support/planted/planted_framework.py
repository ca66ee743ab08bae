"""The same, for a runtime that needs a training framework and is machine code for one CPU."""

from planted import load

RUNS: tuple[str, ...] = ()
PACKAGES: tuple[str, ...] = ()
FRAMEWORK = True
NATIVE = True

__all__ = ["FRAMEWORK", "NATIVE", "PACKAGES", "RUNS", "load"]
