"""Hosts other than this machine: tests of plans run for each; tests that carry a plan out choose it by its precision."""

from __future__ import annotations

from dataclasses import replace

from roadworthy.core import cpu_mask, host
from roadworthy.core.host import NOTABLE, Host

FEATURES = {
    "none": ("x86_64", frozenset()),
    **{level: ("x86_64", one.features) for level, one in cpu_mask.LEVELS.items()},
    "arm64": ("aarch64", frozenset({"asimd", "asimddp", "i8mm", "bf16", "sve"})),
}
"""By name: the architecture and the CPU's features."""
CORES = (1, 2, 64)

_READ = host._cpuinfo


def pretended(name: str, cores: int) -> Host:
    """A host with these features and so many cores."""
    architecture, features = FEATURES[name]
    there = replace(true_host(), cpu=f"pretended {name}", architecture=architecture, cores=cores, machine_cores=cores)
    return replace(there, features=tuple(one for one in NOTABLE if one in features))


def pretend(name: str) -> None:
    """From now on ``this_host`` in this process, and in no child of it, says that the CPU has the features of ``name``."""
    host._cpuinfo = lambda: (f"pretended {name}", FEATURES[name][1])


def true_host() -> Host:
    """The machine as it is, whatever is pretended, under its mask if it has one: for tests that carry out every plan."""
    kept, host._cpuinfo = host._cpuinfo, _READ
    try:
        return host.this_host()
    finally:
        host._cpuinfo = kept


def has(*features: str) -> bool:
    """Whether the CPU itself has ``features``, masked or not: for what libraries do that follow no mask."""
    return set(features) <= _READ()[1]
