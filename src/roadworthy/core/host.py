"""What this machine is: its CPU's features, the cores and the memory that this process may really use."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from roadworthy.core import cpu_mask
from roadworthy.core.errors import UsageError

NOTABLE = (
    "sse4_2", "avx", "fma", "f16c", "avx2", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16", "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip
"""CPU flags that decide which kernels an inference runtime may use, by their Linux names."""


MAX_WORKERS = 8
"""The most worker processes that a server starts by itself."""


@dataclass(frozen=True)
class Host:
    """One machine as a certificate names it. ``cores`` counts what this process may use, cgroup quota included."""

    cpu: str
    architecture: str
    features: tuple[str, ...]
    cores: int
    machine_cores: int
    memory_mb: int
    system: str
    python: str

    def has(self, *features: str) -> bool:
        """Whether the CPU has every one of ``features``."""
        return all(feature in self.features for feature in features)


def this_host() -> Host:
    """The machine that runs this process, with no more CPU features than ``ROADWORTHY_CPU_MASK`` leaves (see ``mask``).

    The name of the CPU says so where there is a mask. Raises UsageError for a mask that is none, or on another architecture.
    """
    model, flags = _cpuinfo()
    level, architecture = cpu_mask.mask(), platform.machine()
    if level and architecture != "x86_64":
        raise UsageError(f"{cpu_mask.MASK} has levels of x86-64 CPUs only, and this machine is {architecture}: unset it")
    return Host(
        cpu=f"{model} ({cpu_mask.MASK}={level})" if level else model,
        architecture=architecture,
        features=_notable(cpu_mask.visible(flags)),
        cores=usable_cores(),
        machine_cores=os.cpu_count() or 1,
        memory_mb=usable_memory_mb(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def library_caps() -> dict[str, str]:
    """What the environment of a process lacks for its libraries to keep to the mask; empty without one."""
    _, flags = _cpuinfo()
    return cpu_mask.library_caps(frozenset(_notable(flags)), os.environ) if cpu_mask.mask() else {}


def usable_cores() -> int:
    """Whole cores this process may use: its affinity mask, cut by the cgroup's CPU quota (version 2, then 1)."""
    allowed = _affinity()
    quota = _cgroup_quota()
    return max(1, min(allowed, int(quota)) if quota else allowed)


def default_workers(cores: int) -> int:
    """How many worker processes a server starts on so many cores by default: one for each core, at most ``MAX_WORKERS``."""
    return max(1, min(cores, MAX_WORKERS))


def usable_memory_mb() -> int:
    """Memory this process may use in MiB: the machine's, cut by the cgroup's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        text = _read(Path("/sys/fs/cgroup") / name).strip()
        if text.isdigit():
            total = min(total, int(text))
    return total // 2**20


def _notable(flags: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in NOTABLE if name in flags)


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cgroup_quota() -> float | None:
    quota, _, period = _read(Path("/sys/fs/cgroup/cpu.max")).strip().partition(" ")
    if quota.isdigit() and period.isdigit():
        return int(quota) / int(period)
    quota = _read(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")).strip()
    period = _read(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")).strip()
    if quota.isdigit() and period.isdigit():
        return int(quota) / int(period)
    return None


def _cpuinfo() -> tuple[str, frozenset[str]]:
    fields = dict.fromkeys(("model name", "flags", "Features"), "")
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        key, _, value = line.partition(":")
        if key.strip() in fields and not fields[key.strip()]:
            fields[key.strip()] = value.strip()
    model = fields["model name"] or platform.processor() or "unknown CPU"
    return model, frozenset((fields["flags"] or fields["Features"]).split())


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
